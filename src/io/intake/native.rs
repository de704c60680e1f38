//! squelch's own formats: `POST /events` and `/events/{metrics,logs,spans,alerts}` take JSON, one object a line, and Arrow.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::json;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, Received, System, Taken, post};
use crate::io::intake::refusal::{JSON, Refusal, answer};
use crate::model::event::Kind;

static NATIVE: System = System { name: "native", refused };

const fn endpoint(examine: fn(&Received<'_>) -> Result<Taken, Refusal>) -> Endpoint {
    Endpoint::new(&NATIVE, Examine::Ask(examine))
}

static MIXED: Endpoint = endpoint(|received| Ok(taken(received, None)));
static METRICS: Endpoint = endpoint(|received| Ok(taken(received, Some(Kind::Metric))));
static LOGS: Endpoint = endpoint(|received| Ok(taken(received, Some(Kind::Log))));
static SPANS: Endpoint = endpoint(|received| Ok(taken(received, Some(Kind::Span))));
static ALERTS: Endpoint = endpoint(|received| Ok(taken(received, Some(Kind::Alert))));

/// The paths.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new()
        .route("/events", post(&MIXED))
        .route("/events/metrics", post(&METRICS))
        .route("/events/logs", post(&LOGS))
        .route("/events/spans", post(&SPANS))
        .route("/events/alerts", post(&ALERTS))
}

fn taken(received: &Received<'_>, kind: Option<Kind>) -> Taken {
    let is_arrow = received.media_type() == "application/vnd.apache.arrow.stream";
    let format = if is_arrow { "arrow_ipc" } else { "native_json" };
    Taken { content: Some(Content { format, kind, encoding: None }), answer: answer(StatusCode::OK, JSON, r#"{"stored":true}"#) }
}

fn refused(_: &Parts, refusal: &Refusal) -> Response {
    refusal.answer(JSON, json!({ "error": refusal.to_string() }).to_string())
}
