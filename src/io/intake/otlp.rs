//! OpenTelemetry: OTLP over HTTP at `/v1/{metrics,logs,traces}`, protobuf or JSON.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use prost::Message;
use serde_json::json;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, Received, System, Taken, post};
use crate::io::intake::refusal::{JSON, Refusal, answer};
use crate::model::event::Kind;

const PROTOBUF: &str = "application/x-protobuf";

static OTLP: System = System { name: "otlp", refused };

/// What a request to `/v1/metrics` holds, and so on.
pub const METRICS: Content = Content::of("otlp_metrics", Kind::Metric);
/// Logs.
pub const LOGS: Content = Content::of("otlp_logs", Kind::Log);
/// Traces.
pub const TRACES: Content = Content::of("otlp_traces", Kind::Span);

static METRICS_HTTP: Endpoint = Endpoint::new(&OTLP, Examine::Ask(|received| taken(received, METRICS)));
static LOGS_HTTP: Endpoint = Endpoint::new(&OTLP, Examine::Ask(|received| taken(received, LOGS)));
static TRACES_HTTP: Endpoint = Endpoint::new(&OTLP, Examine::Ask(|received| taken(received, TRACES)));

/// The paths.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new()
        .route("/v1/metrics", post(&METRICS_HTTP))
        .route("/v1/logs", post(&LOGS_HTTP))
        .route("/v1/traces", post(&TRACES_HTTP))
}

fn taken(received: &Received<'_>, content: Content) -> Result<Taken, Refusal> {
    // An empty message says that all was accepted.
    match received.media_type().as_str() {
        JSON => Ok(Taken { content: Some(content), answer: answer(StatusCode::OK, JSON, "{}") }),
        PROTOBUF => {
            // An empty request has nothing in it: some senders ask so whether a server is there.
            let content = (!received.body.is_empty()).then_some(content);
            Ok(Taken { content, answer: answer(StatusCode::OK, PROTOBUF, Body::empty()) })
        }
        other => Err(Refusal::UnsupportedType(format!("{other:?} is no OTLP: send {PROTOBUF} or {JSON}"))),
    }
}

/// Whether the sender speaks JSON: it is answered alike.
fn speaks_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON)
}

/// The message that OTLP answers errors with: `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn refused(head: &Parts, refusal: &Refusal) -> Response {
    let code = grpc_code(refusal) as i32;
    if speaks_json(&head.headers) {
        refusal.answer(JSON, json!({ "code": code, "message": refusal.to_string() }).to_string())
    } else {
        let status = Status { code, message: refusal.to_string() };
        refusal.answer(PROTOBUF, Bytes::from(status.encode_to_vec()))
    }
}

/// The code of gRPC that means the same. Senders send again what is unavailable.
pub fn grpc_code(refusal: &Refusal) -> tonic::Code {
    match refusal {
        Refusal::Unauthorized => tonic::Code::Unauthenticated,
        Refusal::Empty | Refusal::Malformed(_) | Refusal::UnsupportedType(_) => tonic::Code::InvalidArgument,
        Refusal::TooLarge { .. } | Refusal::NotCut(_) => tonic::Code::OutOfRange,
        Refusal::Slow | Refusal::Overloaded | Refusal::Unavailable(_) => tonic::Code::Unavailable,
    }
}
