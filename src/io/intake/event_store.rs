//! Where the intake puts what comes: the stream of events, behind a trait, as this floor's folders do not know each other.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::model::event::Kind;

/// What is stored of one request, or of one part of it.
#[derive(Clone, Debug)]
pub struct RawMessage {
    /// The name of its format.
    pub format: &'static str,
    /// The kind of its events, where the format has one kind only.
    pub kind: Option<Kind>,
    /// The name of the token that the sender has shown.
    pub client: Option<String>,
    /// The `Content-Type` header, as sent.
    pub content_type: Option<String>,
    /// The `Content-Encoding` header, as sent.
    pub content_encoding: Option<String>,
    /// The body, as sent.
    pub body: Bytes,
}

/// Why something was not stored. The sender is to send it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The server cannot be reached, or does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// The server refuses it, for example because the stream is full.
    #[error("{0}")]
    Refused(String),
}

/// Stores what comes.
pub trait EventStore: Send + Sync + 'static {
    /// Bytes of a body that one message can hold.
    fn body_bytes_max(&self) -> usize;

    /// Why nothing can be stored now, if that is known without trying.
    fn unreachable(&self) -> Option<String>;

    /// Stores one message; done when the server has it.
    fn store(&self, message: RawMessage) -> BoxFuture<'_, Result<(), StoreError>>;
}
