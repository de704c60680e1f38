//! Loki and what pushes to it (Promtail, Alloy, Grafana Agent, Fluent Bit, the Docker driver, logging libraries): `/loki/api/v1/push`, protobuf
//! or JSON.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, Received, System, Taken, post};
use crate::io::intake::refusal::{JSON, Refusal, TEXT, empty};
use crate::model::event::Kind;

static LOKI: System = System { name: "loki", refused: |_, refusal| refusal.answer(TEXT, format!("{refusal}\n")) };

static PUSH: Endpoint = Endpoint::new(&LOKI, Examine::Ask(taken));

/// The path.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new().route("/loki/api/v1/push", post(&PUSH))
}

/// Protobuf comes in a snappy block without a header that says so; without a type it is protobuf, as for Loki.
fn taken(received: &Received<'_>) -> Result<Taken, Refusal> {
    let encoding = match received.media_type().as_str() {
        JSON => None,
        "" | "application/x-protobuf" => Some("snappy"),
        other => {
            return Err(Refusal::UnsupportedType(format!("{other} is no push to Loki: send application/x-protobuf or {JSON}")));
        }
    };
    let content = Content { encoding, ..Content::of("loki_push", Kind::Log) };
    Ok(Taken { content: Some(content), answer: empty(StatusCode::NO_CONTENT) })
}
