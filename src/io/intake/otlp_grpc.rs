//! OTLP over gRPC, on every address of the intake: HTTP/2 and HTTP/1.1 share the port. The messages are those of OTLP/HTTP; they are not
//! decoded here, so that no generated code is needed.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::Status;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tower::service_fn;

use crate::io::intake::endpoint::{Admitted, Content, Intake};
use crate::io::intake::event_store::RawMessage;
use crate::io::intake::otlp::{LOGS, METRICS, TRACES, grpc_code};
use crate::io::intake::refusal::Refusal;
use crate::io::intake::stats::Counted;
use crate::model::limits::MESSAGE_INFLATED_BYTES_MAX;

const SYSTEM: &str = "otlp_grpc";

/// The three services.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new()
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", export_of(METRICS))
        .route("/opentelemetry.proto.collector.logs.v1.LogsService/Export", export_of(LOGS))
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", export_of(TRACES))
}

fn export_of(content: Content) -> MethodRouter<Arc<Intake>> {
    post(move |State(intake): State<Arc<Intake>>, request: Request| async move { export(&intake, content, request).await })
}

async fn export(intake: &Arc<Intake>, content: Content, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let count = |outcome, bytes| intake.stats.count(Counted { system: SYSTEM, format: content.format, outcome }, bytes);
    match intake.admit(&head, body, None).await {
        Ok(admitted) => {
            let bytes = admitted.body.bytes.len();
            let (response, outcome) = unary(intake, content, head, admitted).await;
            count(outcome, bytes);
            response
        }
        Err(refusal) => {
            count(refusal.outcome(), 0);
            status(&refusal).into_http()
        }
    }
}

/// Lets tonic take the message out of its frame and inflate it, and stores it.
async fn unary(intake: &Arc<Intake>, content: Content, head: Parts, admitted: Admitted) -> (Response, &'static str) {
    let outcome = Arc::new(OnceLock::new());
    let (intake, seen) = (Arc::clone(intake), Arc::clone(&outcome));
    let store = service_fn(move |request: tonic::Request<Bytes>| {
        let (intake, seen, client) = (Arc::clone(&intake), Arc::clone(&seen), admitted.client.clone());
        async move {
            let body = request.into_inner();
            let stored = if body.is_empty() { Ok("ignored") } else { store(&intake, content, client, body).await };
            seen.get_or_init(|| match &stored {
                Ok(outcome) => *outcome,
                Err(refusal) => refusal.outcome(),
            });
            // An empty message says that all was accepted.
            stored.map(|_| tonic::Response::new(Bytes::new())).map_err(|refusal| status(&refusal))
        }
    });
    let mut grpc =
        Grpc::new(RawCodec).accept_compressed(CompressionEncoding::Gzip).max_decoding_message_size(MESSAGE_INFLATED_BYTES_MAX);
    let request = Request::from_parts(head, Body::from(admitted.body.bytes.clone()));
    let response = grpc.unary(store, request).await.map(Body::new);
    (response, outcome.get().copied().unwrap_or("malformed"))
}

async fn store(intake: &Intake, content: Content, client: Option<String>, body: Bytes) -> Result<&'static str, Refusal> {
    let content_type = Some("application/x-protobuf".into());
    let Content { format, kind, .. } = content;
    intake.store(RawMessage { format, kind, client, content_type, content_encoding: None, body }).await?;
    Ok("stored")
}

fn status(refusal: &Refusal) -> Status {
    Status::new(grpc_code(refusal), refusal.to_string())
}

/// Messages as their bytes.
#[derive(Clone, Copy, Debug)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
