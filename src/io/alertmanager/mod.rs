//! Alertmanager's API v2, for everything that speaks to Alertmanager: amtool, karma, Grafana. Groups are incidents, and silences are
//! commands. It keeps nothing: what is open and silenced is asked of the [`backend`], which is also where commands go.
//!
//! Shapes, defaults and errors are those of Alertmanager's `api/v2/openapi.yaml`: nothing is ever null, times end with Z, an error is a
//! JSON text.

pub mod alerts;
pub mod backend;
mod query;
mod reply;
pub mod silences;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::io::alertmanager::backend::Backend;
use crate::io::alertmanager::reply::Refusal;

/// What browsers ask before they let a page of another address send something.
const CORS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE, OPTIONS"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
];

/// Answers below `/api/v2`. What takes alerts in is another router's: it may be merged with this one. Where others than this machine's
/// users reach it, it `may_change` nothing: whoever reached it could silence everything.
pub fn router(backend: Arc<dyn Backend>, may_change: bool) -> Router {
    let (silences, silence) = (get(silences::all), get(silences::one));
    let (silences, silence) = if may_change {
        (silences.post(silences::post), silence.delete(silences::delete))
    } else {
        (silences.post(read_only), silence.delete(read_only))
    };
    Router::new()
        .route("/api/v2/status", get(status::status))
        .route("/api/v2/receivers", get(status::receivers))
        .route("/api/v2/alerts", get(alerts::alerts))
        .route("/api/v2/alerts/groups", get(alerts::groups))
        .route("/api/v2/silences", silences)
        .route("/api/v2/silence/{id}", silence)
        .layer(middleware::from_fn(for_browsers))
        .with_state(backend)
}

async fn read_only() -> Refusal {
    let why =
        "silences are changed here only where http.listen is a loopback address: put a proxy before it that signs people in";
    reply::refusal(StatusCode::FORBIDDEN, why)
}

/// Lets pages of other addresses ask, as karma does without a proxy, and has nobody store an answer.
async fn for_browsers(request: axum::extract::Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { StatusCode::OK.into_response() } else { next.run(request).await };
    for (name, value) in CORS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
