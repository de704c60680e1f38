//! Publishes one message to a stream and waits for the server's acknowledgement; knows how large a message may be.

use async_nats::HeaderMap;
use async_nats::jetstream::context::{Context, PublishError};
use bytes::Bytes;

/// Room for the headers of a message: ids, the reason, but no subjects.
pub(crate) const HEADER_BYTES_MAX: usize = 4_096;

/// How large the body of a message may be, beside headers of this size.
pub(crate) fn body_bytes_max(context: &Context, header_bytes: usize) -> usize {
    context.client().server_info().max_payload.saturating_sub(header_bytes)
}

/// Publishes a message.
pub(crate) async fn publish(context: &Context, subject: &str, headers: HeaderMap, body: Bytes) -> Result<(), String> {
    let fail = |error: PublishError| error.to_string();
    let acknowledged = context.publish_with_headers(subject.to_string(), headers, body).await.map_err(fail)?;
    acknowledged.await.map(drop).map_err(fail)
}
