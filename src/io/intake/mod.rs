//! The intake: what senders post over HTTP and syslog goes into the stream of events as it came, with its format in a header, and the
//! answer follows the server's acknowledgement. It decodes nothing and keeps nothing, so any number of processes may do this: decoding
//! stays with whoever reads the stream, and a replay, a standby and a worker see every format alike.
//!
//! [`endpoint`] has the one way that each request takes. Beside it, one file a system: its paths, and the shape of its answers and errors.

pub mod body;
pub mod datadog;
pub mod elasticsearch;
pub mod endpoint;
pub mod event_store;
pub mod kubernetes;
pub mod logstash;
pub mod loki;
pub mod native;
pub mod newrelic;
pub mod otlp;
pub mod otlp_grpc;
pub mod pagerduty;
pub mod prometheus;
pub mod refusal;
pub mod splunk;
pub mod stats;
pub mod syslog;
pub mod token;
pub mod webhook;

use std::sync::Arc;

use axum::Router;

use crate::io::intake::endpoint::Intake;

/// Everything that senders may ask for. A path that is not here is answered with 404: senders find out so what a server is.
pub fn router(intake: Arc<Intake>) -> Router {
    let systems = [
        native::routes(),
        otlp::routes(),
        otlp_grpc::routes(),
        prometheus::routes(),
        loki::routes(),
        elasticsearch::routes(),
        logstash::routes(),
        splunk::routes(),
        datadog::routes(),
        newrelic::routes(),
        pagerduty::routes(),
        kubernetes::routes(),
        webhook::routes(),
    ];
    systems.into_iter().fold(Router::new(), Router::merge).with_state(intake)
}
