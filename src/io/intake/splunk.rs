//! Splunk's HTTP event collector: `/services/collector` with events and raw lines, and its health. Its answers carry a code that clients look at.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, System, post};
use crate::io::intake::refusal::{JSON, Refusal, answer};
use crate::model::event::Kind;

static SPLUNK: System = System { name: "splunk", refused };

/// Raw lines are told from events where they are decoded.
static EVENTS: Endpoint = Endpoint::new(&SPLUNK, Examine::Is(Content::of("splunk_hec", Kind::Log), success));

/// The paths.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new()
        .route("/services/collector", post(&EVENTS))
        .route("/services/collector/event", post(&EVENTS))
        .route("/services/collector/event/1.0", post(&EVENTS))
        .route("/services/collector/raw", post(&EVENTS))
        .route("/services/collector/raw/1.0", post(&EVENTS))
        .route("/services/collector/health", get(health))
        .route("/services/collector/health/1.0", get(health))
}

fn success() -> Response {
    coded(StatusCode::OK, "Success", 0)
}

fn coded(status: StatusCode, text: &str, code: u8) -> Response {
    answer(status, JSON, json!({ "text": text, "code": code }).to_string())
}

async fn health(State(intake): State<Arc<Intake>>) -> Response {
    match intake.store.unreachable() {
        None => coded(StatusCode::OK, "HEC is healthy", 17),
        Some(_) => coded(StatusCode::SERVICE_UNAVAILABLE, "HEC is unhealthy, queues are full", 18),
    }
}

fn refused(head: &Parts, refusal: &Refusal) -> Response {
    let (status, text, code) = match refusal {
        Refusal::Unauthorized if head.headers.contains_key(header::AUTHORIZATION) => (StatusCode::FORBIDDEN, "Invalid token", 4),
        Refusal::Unauthorized => (StatusCode::UNAUTHORIZED, "Token is required", 2),
        Refusal::Empty => (StatusCode::BAD_REQUEST, "No data", 5),
        Refusal::Malformed(_) | Refusal::UnsupportedType(_) => (StatusCode::BAD_REQUEST, "Invalid data format", 6),
        Refusal::TooLarge { .. } | Refusal::NotCut(_) => (StatusCode::PAYLOAD_TOO_LARGE, "Request entity too large", 27),
        Refusal::Slow | Refusal::Overloaded | Refusal::Unavailable(_) => (refusal.status(), "Server is busy", 9),
    };
    refusal.answer_as(status, JSON, json!({ "text": text, "code": code }).to_string())
}
