//! The stage that answers commands and shows silences in their bucket.

use async_nats::HeaderMap;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv;

use crate::io::nats::client::publish::publish;
use crate::io::nats::cluster::lease::{HeldLease, StoreError};
use crate::io::nats::output::results::CommandMessage;

/// The stream of answers and the bucket of silences.
pub struct CommandAnswers {
    context: Context,
    /// Nothing where commands are not answered.
    silences: Option<kv::Store>,
    lease: Option<HeldLease>,
}

impl CommandAnswers {
    /// Answers nothing yet. Under a lease, where another process may take over.
    pub fn new(context: Context, lease: Option<HeldLease>) -> Self {
        Self { context, silences: None, lease }
    }

    /// Answers, and shows silences in this bucket.
    pub fn show_in(&mut self, silences: Option<kv::Store>) {
        self.silences = silences;
    }

    /// Publishes an answer, or updates a silence. One that is written twice says the same twice.
    ///
    /// # Errors
    ///
    /// It may not be stored.
    pub async fn write(&mut self, message: &CommandMessage) -> Result<(), StoreError> {
        let Some(bucket) = &self.silences else { return Ok(()) };
        if let Some(lease) = &self.lease {
            lease.may_write().await?;
        }
        let written = match message {
            CommandMessage::Answer { subject, body } => {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Msg-Id", subject.as_str());
                headers.insert("Content-Type", "application/json");
                publish(&self.context, subject, headers, body.clone()).await
            }
            CommandMessage::Silence { id, body: Some(body) } => {
                bucket.put(id, body.clone()).await.map(drop).map_err(|error| error.to_string())
            }
            CommandMessage::Silence { id, body: None } => bucket.purge(id).await.map_err(|error| error.to_string()),
        };
        written.map_err(StoreError::Failed)
    }
}
