//! Answers: JSON, and errors as JSON texts.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::model::time::{LATEST_MS, TimestampMs, format_rfc3339, parse_rfc3339};

/// The only receiver: who is notified is decided by squelch's own routes.
pub(crate) const RECEIVER: &str = "squelch";

/// An answer, or why there is none.
pub(crate) type Reply = Result<Response, Refusal>;

/// Why there is no answer: a status and a text.
#[derive(Debug)]
pub(crate) struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

pub(crate) fn ok(body: &Value) -> Reply {
    Ok(Json(body).into_response())
}

pub(crate) fn refusal(status: StatusCode, why: &str) -> Refusal {
    Refusal(status, why.into())
}

pub(crate) fn bad(why: impl ToString) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, why.to_string())
}

/// What squelch needs is not there, for example NATS.
pub(crate) fn unavailable(why: String) -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// A time of a message as Alertmanager writes it, so much later.
pub(crate) fn time(value: &Value, later_ms: i64) -> String {
    written(value.as_str().and_then(parse_rfc3339).map_or(LATEST_MS, |at| at.saturating_add(later_ms).min(LATEST_MS)))
}

/// With milliseconds, always.
pub(crate) fn written(at: TimestampMs) -> String {
    let text = format_rfc3339(at);
    if text.contains('.') { text } else { text.replace('Z', ".000Z") }
}
