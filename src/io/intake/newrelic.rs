//! New Relic's clients: `/metric/v1` and `/log/v1`. Spans and custom events, which some of them send besides, are ignored.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, Received, System, Taken, post};
use crate::io::intake::refusal::{JSON, Refusal, answer};
use crate::model::event::Kind;

static NEWRELIC: System = System { name: "newrelic", refused };

static METRICS: Endpoint =
    Endpoint::new(&NEWRELIC, Examine::Ask(|received| Ok(taken(received, Some(Content::of("newrelic_metrics", Kind::Metric))))));
static LOGS: Endpoint =
    Endpoint::new(&NEWRELIC, Examine::Ask(|received| Ok(taken(received, Some(Content::of("newrelic_logs", Kind::Log))))));
static OTHERS: Endpoint = Endpoint::new(&NEWRELIC, Examine::Ask(|received| Ok(taken(received, None))));

/// The paths.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new()
        .route("/metric/v1", post(&METRICS))
        .route("/log/v1", post(&LOGS))
        .route("/trace/v1", post(&OTHERS))
        .route("/v1/accounts/events", post(&OTHERS))
}

/// The beginning of a body is enough to tell requests apart.
const ID_BYTES: usize = 4_096;

fn taken(received: &Received<'_>, content: Option<Content>) -> Taken {
    let body = received.body;
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, &body[..body.len().min(ID_BYTES)]);
    Taken { content, answer: answer(StatusCode::ACCEPTED, JSON, json!({ "requestId": id.to_string() }).to_string()) }
}

/// New Relic answers a key that it does not know with 403.
fn refused(_: &Parts, refusal: &Refusal) -> Response {
    let status = if *refusal == Refusal::Unauthorized { StatusCode::FORBIDDEN } else { refusal.status() };
    refusal.answer_as(status, JSON, json!({ "error": { "message": refusal.to_string() } }).to_string())
}
