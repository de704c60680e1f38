//! The stage that publishes what happened to alerts, each change once, so that a revision need not repeat them all. Many are on their
//! way at once: a storm has thousands, and to wait for each would take seconds.
//!
//! A batch that fails is published again as a whole. The server drops the repeats by their ids, which are the same in every process
//! over the same events.

use async_nats::HeaderMap;
use async_nats::jetstream::context::Context;
use futures::future::try_join_all;

use crate::io::nats::client::publish::publish;
use crate::io::nats::output::results::AlertUpdate;

/// Messages that wait for the server's answer at once.
const IN_FLIGHT_MAX: usize = 256;

/// The stream of alerts.
pub struct AlertStream {
    context: Context,
}

impl AlertStream {
    /// On this server.
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// Publishes changes of alerts.
    ///
    /// # Errors
    ///
    /// Some may not be stored.
    pub async fn publish(&self, updates: &[AlertUpdate]) -> Result<(), String> {
        for updates in updates.chunks(IN_FLIGHT_MAX) {
            let publishing = updates.iter().map(|update| {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Msg-Id", update.message_id.as_str());
                headers.insert("Content-Type", "application/json");
                publish(&self.context, &update.subject, headers, update.body.clone())
            });
            try_join_all(publishing).await?;
        }
        Ok(())
    }
}
