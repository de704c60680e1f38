//! Durations as people write them: `30s`, `5m`, `1h 30m`.

use std::time::Duration;

/// The text is no duration.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no duration ({cause}): write for example 30s, 5m or 1h")]
pub struct BadDuration {
    text: String,
    cause: humantime::DurationError,
}

/// Reads a duration to whole milliseconds.
pub fn parse_ms(text: &str) -> Result<i64, BadDuration> {
    match humantime::parse_duration(text.trim()) {
        Ok(duration) => Ok(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        Err(cause) => Err(BadDuration { text: text.to_string(), cause }),
    }
}

/// Writes a duration the way people say it: `5m`, `1h 30m`, `45s`, `0s`.
pub fn format_ms(duration_ms: i64) -> String {
    let whole = Duration::from_millis(duration_ms.unsigned_abs());
    let sign = if duration_ms < 0 { "-" } else { "" };
    format!("{sign}{}", humantime::format_duration(whole))
}
