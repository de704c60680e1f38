//! The stage that publishes revisions to the stream of incidents.

use async_nats::HeaderMap;
use async_nats::jetstream::context::Context;

use crate::io::nats::client::publish::publish;
use crate::io::nats::cluster::lease::StoreError;
use crate::io::nats::output::fenced_publisher::FencedPublisher;
use crate::io::nats::output::results::RevisionMessage;

/// The stream of incidents.
pub struct IncidentStream {
    context: Context,
    fenced: Option<FencedPublisher>,
}

impl IncidentStream {
    /// With a fenced publisher, where another process may take over.
    pub fn new(context: Context, fenced: Option<FencedPublisher>) -> Self {
        Self { context, fenced }
    }

    /// How far the stream has come; 0 where nobody asks for it.
    pub fn position(&self) -> u64 {
        self.fenced.as_ref().map_or(0, FencedPublisher::position)
    }

    /// Publishes a revision.
    ///
    /// # Errors
    ///
    /// It may not be stored.
    pub async fn publish(&mut self, revision: &RevisionMessage) -> Result<(), StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", revision.message_id.as_str());
        headers.insert("Content-Type", "application/json");
        match &mut self.fenced {
            Some(fenced) => fenced.publish(&revision.message_id, &revision.subject, headers, &revision.body).await,
            None => publish(&self.context, &revision.subject, headers, revision.body.clone()).await.map_err(StoreError::Failed),
        }
    }
}
