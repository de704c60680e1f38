//! Durations as people write them: `30s`, `5m`, `1h 30m`.

use std::time::Duration;

/// The text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {what}: {hint}")]
pub struct BadDuration {
    text: String,
    /// What is wrong with it, as the end of a sentence: "must not be negative".
    pub what: &'static str,
    /// How to mend it.
    pub hint: String,
}

/// Reads a duration to whole milliseconds.
pub fn parse_ms(text: &str) -> Result<i64, BadDuration> {
    match humantime::parse_duration(text.trim()) {
        Ok(duration) => Ok(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        Err(_) => Err(bad(text.trim())),
    }
}

fn bad(text: &str) -> BadDuration {
    let positive = text.trim_start_matches('-');
    let (what, hint) = if positive.len() < text.len() && humantime::parse_duration(positive).is_ok() {
        ("must not be negative", format!("did you mean {positive}?"))
    } else if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        ("lacks its unit", format!("did you mean {text}s?"))
    } else {
        ("is no duration", "write for example 30s, 5m or 1h".to_string())
    };
    BadDuration { text: text.to_string(), what, hint }
}

/// Writes a duration the way people say it: `5m`, `1h 30m`, `45s`, `0s`.
pub fn format_ms(duration_ms: i64) -> String {
    let whole = Duration::from_millis(duration_ms.unsigned_abs());
    let sign = if duration_ms < 0 { "-" } else { "" };
    format!("{sign}{}", humantime::format_duration(whole))
}
