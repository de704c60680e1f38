//! Watches the topology bucket: yields all of its keys whenever some have changed. No error ends the watch.

use std::time::Duration;

use async_nats::jetstream::kv::{Entry, Operation, Store, Watch};
use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout_at};

use crate::io::nats::NatsError;
use crate::io::nats::client::bucket_watch::{self, Entries, entry};
use crate::model::limits::TOPOLOGY_KEYS_MAX;

/// The pause after a watch that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Changes that follow each other within this time
const SETTLE: Duration = Duration::from_millis(300);
/// are taken over together, after at most this time.
const SETTLE_MAX: Duration = Duration::from_secs(3);

/// Watches one bucket.
pub struct TopologyWatch {
    store: Store,
    watch: Option<Watch>,
    entries: Entries,
}

impl TopologyWatch {
    /// Reads what the bucket holds and watches from there on.
    ///
    /// # Errors
    ///
    /// The server refuses: permissions, say.
    pub async fn open(store: Store) -> Result<Self, NatsError> {
        let mut watch = Self { store, watch: None, entries: Entries::new() };
        let what = format!("watching the bucket {}", watch.store.name);
        watch.begin().await.map_err(|error| NatsError::request(what, error))?;
        Ok(watch)
    }

    /// What the bucket holds.
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Waits until the bucket has changed. Returns all of it.
    pub async fn next(&mut self) -> &Entries {
        loop {
            let done = if self.watch.is_some() { self.changed().await } else { self.begin().await };
            match done {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(error, bucket = self.store.name, "the topology bucket cannot be watched; retrying");
                    self.watch = None;
                    sleep(RETRY_AFTER).await;
                }
            }
        }
        &self.entries
    }

    /// Reads everything. Until that is done the old values stay.
    async fn begin(&mut self) -> Result<(), String> {
        let (held, watch) = bucket_watch::begin(&self.store).await?;
        let mut entries = Entries::new();
        held.into_iter().for_each(|entry| take(entry, &mut entries));
        (self.entries, self.watch) = (entries, Some(watch));
        Ok(())
    }

    /// Waits for a change, and for those that follow it closely.
    async fn changed(&mut self) -> Result<(), String> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        take(entry(watch.next().await)?, &mut self.entries);
        let deadline = Instant::now() + SETTLE_MAX;
        while let Ok(next) = timeout_at(deadline.min(Instant::now() + SETTLE), watch.next()).await {
            take(entry(next)?, &mut self.entries);
        }
        Ok(())
    }
}

fn take(entry: Entry, entries: &mut Entries) {
    match entry.operation {
        Operation::Put if entries.len() < TOPOLOGY_KEYS_MAX || entries.contains_key(&entry.key) => {
            entries.insert(entry.key, entry.value);
        }
        Operation::Put => tracing::error!(
            key = entry.key,
            "the topology bucket has more than {TOPOLOGY_KEYS_MAX} keys: this one is left out. Put several edges under one key"
        ),
        Operation::Delete | Operation::Purge => {
            entries.remove(&entry.key);
        }
    }
}
