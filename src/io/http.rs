//! The operator's HTTP endpoint: `/metrics`, `/healthz`, `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

/// What the endpoint shows.
pub trait Status: Send + Sync + 'static {
    /// The metrics in Prometheus's text format.
    fn metrics(&self) -> String;
    /// Whether the process does its work; if not, why.
    fn ready(&self) -> Result<(), String>;
}

/// Binds the address; the server then runs until the process ends. Returns the address, whose port may have been left open.
pub async fn serve(address: SocketAddr, status: Arc<dyn Status>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let (of_metrics, of_ready) = (Arc::clone(&status), status);
    let router = Router::new()
        .route("/metrics", get(move || async move { ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], of_metrics.metrics()) }))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(move || async move { ready(&*of_ready) }));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the HTTP endpoint ended");
        }
    });
    Ok(bound)
}

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

fn ready(status: &dyn Status) -> impl IntoResponse + use<> {
    match status.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_string()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
