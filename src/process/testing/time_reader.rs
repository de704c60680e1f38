//! Times of a test: a duration since its start, or an instant.

use serde_json::Value;

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::duration;
use crate::model::time::{EARLIEST_MS, LATEST_MS, TimestampMs, parse_rfc3339};

/// The start of tests that name none. Like the beginning of Unix time it is a Thursday, 00:00 UTC, so that windows of any length begin
/// with it that would begin there.
pub(crate) const USUAL_START_MS: TimestampMs = 1_767_225_600_000;

/// An instant: `10m` after `start`, or RFC 3339.
pub(crate) fn instant(key: &str, node: &Node, start: TimestampMs) -> Result<TimestampMs, Diagnostic> {
    let wrong = |what: String, hint: String| Diagnostic::new(node.span.clone(), format!("`{key}`: {what}"), hint);
    let text = match node.scalar() {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.as_i64() == Some(0) => return Ok(start),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(wrong("no time".into(), "write for example 10m, or 2026-03-14T02:47:00Z".into())),
    };
    if let Some(at) = parse_rfc3339(&text) {
        return if (EARLIEST_MS..=LATEST_MS).contains(&at) {
            Ok(at)
        } else {
            Err(wrong(format!("{text} lies before 1973 or after 9999"), "events cannot have this time".into()))
        };
    }
    match duration::parse_ms(&text) {
        Ok(after) => Ok(start.saturating_add(after).min(LATEST_MS)),
        Err(_) if text.contains(['-', ':']) => {
            let hint = "write the duration since the start, or RFC 3339: 2026-03-14T02:47:00Z";
            Err(wrong(format!("{text:?} is no time"), hint.into()))
        }
        Err(error) => Err(wrong(format!("{text:?} {}", error.what), error.hint)),
    }
}

/// A duration of more than nothing.
pub(crate) fn positive(key: &str, node: &Node) -> Result<i64, Diagnostic> {
    let wrong = |what: String, hint: String| Diagnostic::new(node.span.clone(), format!("`{key}`: {what}"), hint);
    let text = match node.scalar() {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => return Err(wrong("no duration".into(), "write for example 30s, 5m or 1h".into())),
    };
    match duration::parse_ms(&text) {
        Ok(0) => Err(wrong(format!("{text:?} is no time at all"), "write for example 30s, 5m or 1h".into())),
        Ok(duration_ms) => Ok(duration_ms),
        Err(error) => Err(wrong(format!("{text:?} {}", error.what), error.hint)),
    }
}
