//! What an operator asks of a process: `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

/// What the process shows of itself.
pub trait Status: Send + Sync + 'static {
    /// The metrics in Prometheus's text format.
    fn metrics(&self) -> String;
    /// Whether the process does its work; if not, why.
    fn ready(&self) -> Result<(), String>;
}

/// Answers `/metrics`, `/healthz` and `/readyz`.
pub fn router(status: Arc<dyn Status>) -> Router {
    let (of_metrics, of_ready) = (Arc::clone(&status), status);
    Router::new()
        .route("/metrics", get(move || async move { ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], of_metrics.metrics()) }))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(move || async move { ready(&*of_ready) }))
}

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

fn ready(status: &dyn Status) -> impl IntoResponse + use<> {
    match status.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_string()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
