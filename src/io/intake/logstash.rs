//! Logstash's `http` output, and logging libraries that send as it does: `/logstash`, POST or PUT, JSON objects or arrays of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::put;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, System, post};
use crate::io::intake::refusal::{TEXT, answer};
use crate::model::event::Kind;

static LOGSTASH: System = System { name: "logstash", refused: |_, refusal| refusal.answer(TEXT, format!("{refusal}\n")) };

/// Its own `http` input answers so.
static EVENTS: Endpoint =
    Endpoint::new(&LOGSTASH, Examine::Is(Content::of("logstash_json", Kind::Log), || answer(StatusCode::OK, TEXT, "ok")));

/// The path.
pub fn routes() -> Router<Arc<Intake>> {
    let by_put = |State(intake): State<Arc<Intake>>, request: Request| async move { intake.take_in(&EVENTS, request).await };
    Router::new().route("/logstash", post(&EVENTS).merge(put(by_put)))
}
