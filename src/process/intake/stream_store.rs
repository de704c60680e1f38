//! Puts what is taken in into the stream of events: which subject it goes to, and which headers it has there.

use async_nats::Client;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::io::intake::event_store::{EventStore, RawMessage, StoreError};
use crate::io::nats::output::event_publisher::{EventPublishError, EventPublisher};
use crate::model::event::Kind;

/// The header that names a message's format.
const FORMAT_HEADER: &str = "Squelch-Format";

/// Publishes what is taken in.
#[derive(Clone, Debug)]
pub struct StreamStore {
    publisher: EventPublisher,
    subject: String,
}

impl StreamStore {
    /// Publishes on subjects that begin so.
    pub fn new(client: Client, subject: String) -> Self {
        Self { publisher: EventPublisher::new(client), subject }
    }
}

impl EventStore for StreamStore {
    fn body_bytes_max(&self) -> usize {
        self.publisher.body_bytes_max()
    }

    fn unreachable(&self) -> Option<String> {
        (!self.publisher.is_connected()).then(|| "no connection to NATS".into())
    }

    fn store(&self, message: RawMessage) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let subject = subject(&self.subject, &message);
            let mut headers = vec![(FORMAT_HEADER, message.format)];
            headers.extend(message.content_type.as_deref().map(|value| ("Content-Type", value)));
            headers.extend(message.content_encoding.as_deref().map(|value| ("Content-Encoding", value)));
            self.publisher.publish(subject, &headers, message.body).await.map_err(|error| match error {
                EventPublishError::Unreachable(_) => StoreError::Unreachable(error.to_string()),
                EventPublishError::Refused(_) => StoreError::Refused(error.to_string()),
            })
        }
        .boxed()
    }
}

/// `events.metrics.otlp_metrics.web`: kind, format and sender, as far as they are known. Each subject is a source with an event time of its own.
fn subject(prefix: &str, message: &RawMessage) -> String {
    let kind = message.kind.map(Kind::table);
    let parts = [Some(prefix), kind, Some(message.format), message.client.as_deref()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_subject_says_what_is_known() {
        let of = |kind, client: Option<&str>| {
            let (format, body) = ("loki_push", Bytes::new());
            let client = client.map(String::from);
            subject("a.b", &RawMessage { format, kind, client, content_type: None, content_encoding: None, body })
        };
        assert_eq!(of(Some(Kind::Log), Some("web")), "a.b.logs.loki_push.web");
        assert_eq!(of(Some(Kind::Span), None), "a.b.spans.loki_push");
        assert_eq!(of(None, Some("web")), "a.b.loki_push.web");
    }
}
