//! Durations as people write them: `30s`, `5m`, `1h 30m`.

use serde::{Deserialize, Deserializer};

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

/// For fields of settings that are milliseconds: `#[serde(rename = "wait", deserialize_with = "duration::deserialize_ms")]`.
pub fn deserialize_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    parse_ms(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
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

/// Writes a duration the way people write it: `5m`, `1h 30m`, `14d`, `0s`. No months, which are not all as long.
pub fn format_ms(duration_ms: i64) -> String {
    let sign = if duration_ms < 0 { "-" } else { "" };
    let mut rest = duration_ms.unsigned_abs();
    let mut text = String::new();
    for (unit, unit_ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= unit_ms {
            text.push_str(if text.is_empty() { sign } else { " " });
            text.push_str(&(rest / unit_ms).to_string());
            text.push_str(unit);
            rest %= unit_ms;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{format_ms, parse_ms};

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "250ms", "45s", "1h 30m", "1d", "14d", "60d", "400d 1s"] {
            assert_eq!(parse_ms(text).map(format_ms), Ok(text.to_string()));
        }
        assert_eq!(format_ms(-90_000), "-1m 30s");
    }
}
