//! Datadog's agent and clients: series v1 and v2, logs, events, and the check of a key. What the agent sends besides, about itself and as
//! sketches, is ignored, so that it goes on.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, System, post};
use crate::io::intake::refusal::{JSON, Refusal, answer};
use crate::io::intake::token::{self, UnknownToken};
use crate::model::event::Kind;

static DATADOG: System = System { name: "datadog", refused };

static SERIES_V1: Endpoint = Endpoint::new(&DATADOG, Examine::Is(Content::of("datadog_series_v1", Kind::Metric), ok));
static SERIES_V2: Endpoint = Endpoint::new(
    &DATADOG,
    Examine::Is(Content::of("datadog_series_v2", Kind::Metric), || answer(StatusCode::ACCEPTED, JSON, r#"{"errors":[]}"#)),
);
static LOGS: Endpoint =
    Endpoint::new(&DATADOG, Examine::Is(Content::of("datadog_logs", Kind::Log), || answer(StatusCode::ACCEPTED, JSON, "{}")));
static EVENTS: Endpoint = Endpoint::new(&DATADOG, Examine::Is(Content::of("datadog_events", Kind::Log), ok));
static OTHERS: Endpoint = Endpoint::new(&DATADOG, Examine::Ignore(ok));

/// The paths.
pub fn routes() -> Router<Arc<Intake>> {
    let mut router = Router::new()
        .route("/api/v1/validate", get(validate))
        .route("/api/v1/series", post(&SERIES_V1))
        .route("/api/v2/series", post(&SERIES_V2))
        .route("/api/v2/logs", post(&LOGS))
        .route("/v1/input", post(&LOGS))
        .route("/v1/input/{key}", post(&LOGS))
        .route("/api/v1/events", post(&EVENTS));
    for path in ["/intake/", "/api/v1/check_run", "/api/v1/metadata", "/api/v1/collector", "/api/beta/sketches"] {
        router = router.route(path, post(&OTHERS));
    }
    router
}

fn ok() -> Response {
    answer(StatusCode::ACCEPTED, JSON, r#"{"status":"ok"}"#)
}

async fn validate(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    match intake.tokens.sender(&token::shown(&head.headers, &head.uri)) {
        Ok(_) => answer(StatusCode::OK, JSON, r#"{"valid":true}"#),
        Err(UnknownToken) => refused(&head, &Refusal::Unauthorized),
    }
}

/// Datadog answers a key that it does not know with 403.
fn refused(_: &Parts, refusal: &Refusal) -> Response {
    let status = if *refusal == Refusal::Unauthorized { StatusCode::FORBIDDEN } else { refusal.status() };
    refusal.answer_as(status, JSON, json!({ "errors": [refusal.to_string()] }).to_string())
}
