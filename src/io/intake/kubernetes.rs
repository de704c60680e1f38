//! Events of Kubernetes, as exporters post them to a webhook: `/kubernetes/events`.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use serde_json::json;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, System, post};
use crate::io::intake::refusal::{JSON, answer};
use crate::model::event::Kind;

static KUBERNETES: System = System {
    name: "kubernetes",
    refused: |_, refusal| refusal.answer(JSON, json!({ "error": refusal.to_string() }).to_string()),
};

static EVENTS: Endpoint = Endpoint::new(
    &KUBERNETES,
    Examine::Is(Content::of("kubernetes_events", Kind::Log), || answer(StatusCode::OK, JSON, r#"{"status":"ok"}"#)),
);

/// The path.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new().route("/kubernetes/events", post(&EVENTS))
}
