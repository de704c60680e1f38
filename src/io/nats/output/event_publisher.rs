//! Publishes events that others have sent, each with its headers, and waits for the stream's acknowledgement. It tries nothing again: whoever
//! sent them does.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{Context, ContextBuilder, PublishErrorKind};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;

/// How long the stream may take to acknowledge.
const ACK_WITHIN: Duration = Duration::from_secs(10);
/// Publishes that wait for their acknowledgement at once.
const IN_FLIGHT_MAX: usize = 4_096;
/// What the headers of one message may take of its size.
const HEADER_BYTES: usize = 2_048;

/// Why something is not in the stream.
#[derive(Debug, thiserror::Error)]
pub enum EventPublishError {
    /// The server cannot be reached, or does not answer.
    #[error("the NATS server does not answer: {0}")]
    Unreachable(String),
    /// The stream is missing, or refuses it.
    #[error("the stream does not take it: {0}")]
    Refused(String),
}

/// Publishes events.
#[derive(Clone, Debug)]
pub struct EventPublisher {
    client: Client,
    context: Context,
}

impl EventPublisher {
    /// Publishes with this client.
    pub fn new(client: Client) -> Self {
        let context = ContextBuilder::new().timeout(ACK_WITHIN).max_ack_inflight(IN_FLIGHT_MAX).build(client.clone());
        Self { client, context }
    }

    /// Bytes of a body that the server takes in one message.
    pub fn body_bytes_max(&self) -> usize {
        self.client.server_info().max_payload.saturating_sub(HEADER_BYTES)
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Publishes one message; done when the stream has it.
    pub async fn publish(&self, subject: String, headers: &[(&str, &str)], body: Bytes) -> Result<(), EventPublishError> {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| map.insert(*name, *value));
        let acknowledged = async { self.context.publish_with_headers(subject, map, body).await?.await };
        acknowledged.await.map(drop).map_err(|error: async_nats::jetstream::context::PublishError| match error.kind() {
            PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe | PublishErrorKind::MaxAckPending => {
                EventPublishError::Unreachable(error.to_string())
            }
            _ => EventPublishError::Refused(error.to_string()),
        })
    }
}
