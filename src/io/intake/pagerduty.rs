//! PagerDuty's Events API v2, inbound: whatever can notify PagerDuty can send to `/v2/enqueue`. The routing key in the body is the token. Change
//! events, which notify nobody, are ignored.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, Received, System, Taken, post};
use crate::io::intake::refusal::{JSON, Refusal, answer};
use crate::io::intake::token;
use crate::model::event::Kind;

static PAGERDUTY: System = System { name: "pagerduty", refused };

static EVENTS: Endpoint = Endpoint { system: &PAGERDUTY, examine: Examine::Ask(taken), token_in_body: Some(routing_key) };
static CHANGES: Endpoint =
    Endpoint { system: &PAGERDUTY, examine: Examine::Ignore(|| processed("")), token_in_body: Some(routing_key) };

/// The paths.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new().route("/v2/enqueue", post(&EVENTS)).route("/v2/change/enqueue", post(&CHANGES))
}

/// What is looked at of an event.
#[derive(Deserialize)]
struct Event {
    routing_key: Option<String>,
    event_action: Option<String>,
    dedup_key: Option<String>,
}

fn routing_key(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Event>(body).ok()?.routing_key
}

fn taken(received: &Received<'_>) -> Result<Taken, Refusal> {
    let wrong = |why: &str| Refusal::Malformed(why.into());
    let event: Event = serde_json::from_slice(received.body).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let dedup_key = event.dedup_key.filter(|key| !key.is_empty());
    match event.event_action.as_deref() {
        Some("trigger") => {}
        Some("acknowledge" | "resolve") if dedup_key.is_some() => {}
        Some("acknowledge" | "resolve") => return Err(wrong("'dedup_key' is missing or blank")),
        _ => return Err(wrong("'event_action' must be trigger, acknowledge or resolve")),
    }
    // As PagerDuty does, a key is made for whoever has none.
    let made = || token::hash(received.body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let answer = processed(&dedup_key.unwrap_or_else(made));
    Ok(Taken { content: Some(Content::of("pagerduty_events", Kind::Alert)), answer })
}

fn processed(dedup_key: &str) -> Response {
    let body = json!({ "status": "success", "message": "Event processed", "dedup_key": dedup_key });
    answer(StatusCode::ACCEPTED, JSON, body.to_string())
}

fn refused(_: &Parts, refusal: &Refusal) -> Response {
    let body = json!({ "status": "invalid event", "message": "Event object is invalid", "errors": [refusal.to_string()] });
    refusal.answer(JSON, body.to_string())
}
