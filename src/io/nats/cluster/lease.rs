//! Who of several processes with one name does the work: whoever holds the lease, a key that is written again and again, each time
//! in place of the revision that was written last.
//!
//! No two machines' clocks are compared. Who stands by takes the lease when it has watched the same revision for the lease's
//! length, by its own clock; who holds it writes nothing from three quarters of it on, counted from before its last renewal was
//! sent, until the next one succeeded. A process can sleep between a look at the clock and a write, so a clock alone protects
//! nothing: what is written says what it expects to find, and the server refuses the rest (see [`chain`](crate::io::nats::output::fenced_publisher)).

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::Store;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use crate::io::nats::client::kv_cas::{self, WriteError};

/// How often who stands by looks at the lease, and less rarely where the lease is short.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(250);
/// Consumers of so many tenures are remembered: one that died before it could remove its predecessor's leaves that to the next.
const CONSUMERS_MAX: usize = 4;

/// Another process does the work now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another process holds the lease")]
pub struct LeaseLost;

/// Why something is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Worth another try.
    #[error("{0}")]
    Failed(String),
    /// Not for this process to store.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
}

/// What the key holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct LeaseRecord {
    /// Rises with each holder.
    term: u64,
    /// For people: machine and process.
    holder: String,
    /// Tells holders apart.
    id: String,
    lease_ms: u64,
    /// The durable consumers that the holder and those before it read with, newest first: the next one removes them.
    consumers: Vec<String>,
    released: bool,
}

/// Somebody who would take the lease.
pub struct LeaseContender {
    bucket: Store,
    name: String,
    key: String,
    holder: String,
    id: String,
    lease: Duration,
    /// The revision that was seen last, and since when.
    seen: Option<(u64, Instant)>,
}

/// What one look at the lease showed.
pub enum LeaseStatus {
    /// Somebody holds it: who.
    Held(String),
    /// It is ours.
    Acquired(HeldLease),
}

impl LeaseContender {
    /// A contender for the lease called `name` in the bucket. `holder` says to people who that is, `id` is nobody else's.
    pub fn new(bucket: Store, name: &str, holder: String, id: String, lease: Duration) -> Self {
        Self { bucket, name: name.into(), key: format!("{name}.lease"), holder, id, lease, seen: None }
    }

    /// How long to wait between two looks.
    pub fn pause(&self) -> Duration {
        (self.lease / 10).min(LOOK_EVERY_MAX)
    }

    /// Looks at the lease, and takes it where it is free.
    ///
    /// # Errors
    ///
    /// The server does not answer. Time in which nobody can renew the lease does not count as its holder's silence.
    pub async fn check(&mut self) -> Result<LeaseStatus, String> {
        let looked = self.try_check().await;
        if looked.is_err() {
            self.seen = None;
        }
        looked
    }

    async fn try_check(&mut self) -> Result<LeaseStatus, String> {
        let (revision, value) = kv_cas::read(&self.bucket, &self.key).await?;
        let entry = parse(&value);
        let is_free = value.is_empty() || entry.as_ref().is_some_and(|entry| entry.released);
        let lease = entry.as_ref().map_or(self.lease, |entry| self.lease.max(Duration::from_millis(entry.lease_ms)));
        let silent = self.seen.filter(|(seen, _)| *seen == revision).map(|(_, since)| since.elapsed());
        if is_free || silent.is_some_and(|silent| silent >= lease) {
            return self.take(revision, entry).await;
        }
        if silent.is_none() {
            self.seen = Some((revision, Instant::now()));
        }
        Ok(LeaseStatus::Held(entry.map_or_else(|| "somebody whose entry cannot be read".into(), |entry| entry.holder)))
    }

    async fn take(&mut self, revision: u64, before: Option<LeaseRecord>) -> Result<LeaseStatus, String> {
        let term = revision + 1;
        let mut consumers = before.map(|before| before.consumers).unwrap_or_default();
        consumers.insert(0, format!("{}_{term}", self.name));
        consumers.truncate(CONSUMERS_MAX);
        let entry = LeaseRecord {
            term,
            holder: self.holder.clone(),
            id: self.id.clone(),
            lease_ms: self.lease.as_millis() as u64,
            consumers,
            released: false,
        };
        let sent = Instant::now();
        match kv_cas::replace(&self.bucket, &self.key, bytes_of(&entry)?, revision, self.lease / 4).await {
            Ok(revision) => Ok(LeaseStatus::Acquired(HeldLease(Arc::new(LeaseInner {
                bucket: self.bucket.clone(),
                key: self.key.clone(),
                entry,
                lease: self.lease,
                revision: Mutex::new(revision),
                state: watch::Sender::new(Validity { until: sent + valid_for(self.lease), lost: false }),
            })))),
            Err(WriteError::Replaced) => Ok(LeaseStatus::Held("another contender, since just now".into())),
            Err(WriteError::Failed(error)) => Err(error),
        }
    }
}

/// The time in which this process holds the lease. All copies are one.
#[derive(Clone)]
pub struct HeldLease(Arc<LeaseInner>);

struct LeaseInner {
    bucket: Store,
    key: String,
    entry: LeaseRecord,
    lease: Duration,
    /// Of the key, as this process wrote it last. One renews at a time.
    revision: Mutex<u64>,
    state: watch::Sender<Validity>,
}

#[derive(Clone, Copy, Debug)]
struct Validity {
    until: Instant,
    lost: bool,
}

impl HeldLease {
    /// The names of durable consumers: first that of this lease alone, which nobody else's pulls and acknowledgements can move, then
    /// those of the tenures before.
    pub fn consumers(&self) -> &[String] {
        &self.0.entry.consumers
    }

    /// Which lease this is. It only rises.
    pub fn term(&self) -> u64 {
        self.0.entry.term
    }

    /// Waits until this process may write, as far as its own clock tells.
    ///
    /// # Errors
    ///
    /// It never may again.
    pub async fn may_write(&self) -> Result<(), LeaseLost> {
        let mut state = self.0.state.subscribe();
        let decided = state.wait_for(|state| state.lost || Instant::now() < state.until).await;
        if decided.is_ok_and(|state| !state.lost) { Ok(()) } else { Err(LeaseLost) }
    }

    /// Renews the lease: nobody else held it until now.
    ///
    /// # Errors
    ///
    /// Somebody else has it, or the server does not answer.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let LeaseInner { bucket, key, entry, lease, .. } = &*self.0;
        let mut revision = self.0.revision.lock().await;
        loop {
            if self.is_lost() {
                return Err(LeaseLost.into());
            }
            let sent = Instant::now();
            let value = bytes_of(entry).map_err(StoreError::Failed)?;
            match kv_cas::replace(bucket, key, value, *revision, *lease / 4).await {
                Ok(renewed) => {
                    *revision = renewed;
                    self.0.state.send_modify(|state| state.until = sent + valid_for(*lease));
                    return Ok(());
                }
                Err(WriteError::Failed(error)) => return Err(StoreError::Failed(error)),
                Err(WriteError::Replaced) => {
                    let (found, value) = kv_cas::read(bucket, key).await.map_err(StoreError::Failed)?;
                    if parse(&value).as_ref() != Some(entry) {
                        self.mark_lost();
                        return Err(LeaseLost.into());
                    }
                    if found == *revision {
                        return Err(StoreError::Failed("the server shows an old revision of the lease".into()));
                    }
                    // An earlier renewal was stored, and its acknowledgement was lost.
                    *revision = found;
                }
            }
        }
    }

    /// Renews the lease until it is lost.
    pub async fn renew_until_lost(&self) {
        let mut warned = false;
        loop {
            sleep(self.0.lease / 4).await;
            match self.renew().await {
                Ok(()) if warned => {
                    tracing::info!("the lease is renewed again: nobody else had it");
                    warned = false;
                }
                Ok(()) => {}
                Err(StoreError::LeaseLost(_)) => return,
                Err(StoreError::Failed(error)) if !warned => {
                    tracing::warn!(error, "the lease cannot be renewed: when it runs out, nothing is published until it is");
                    warned = true;
                }
                Err(StoreError::Failed(_)) => {}
            }
        }
    }

    /// Somebody else was seen to have written in this process's place.
    pub fn mark_lost(&self) {
        self.0.state.send_modify(|state| state.lost = true);
    }

    /// Whether this process holds the lease, as far as its own clock tells.
    pub fn is_current(&self) -> bool {
        let state = self.0.state.borrow();
        !state.lost && Instant::now() < state.until
    }

    /// Whether the lease is lost.
    pub fn is_lost(&self) -> bool {
        self.0.state.borrow().lost
    }

    /// Waits until the lease is lost.
    pub async fn lost(&self) {
        // The sender lives as long as this does, so waiting cannot fail.
        self.0.state.subscribe().wait_for(|state| state.lost).await.ok();
    }

    /// Gives the lease up, so that a standby need not wait for its end. Nothing may be written afterwards.
    pub async fn release(&self) {
        let LeaseInner { bucket, key, entry, lease, .. } = &*self.0;
        let revision = self.0.revision.lock().await;
        self.mark_lost();
        let released = LeaseRecord { released: true, ..entry.clone() };
        let done = match bytes_of(&released) {
            Ok(value) => kv_cas::replace(bucket, key, value, *revision, *lease / 4).await.map_err(|error| format!("{error:?}")),
            Err(error) => Err(error),
        };
        match done {
            Ok(_) => tracing::info!("the lease is released"),
            Err(error) => tracing::warn!(error, "the lease could not be released: a standby waits for its end"),
        }
    }
}

/// How long after a renewal was sent its holder writes: less than anybody waits who watches it, whatever clocks differ.
fn valid_for(lease: Duration) -> Duration {
    lease * 3 / 4
}

fn parse(value: &[u8]) -> Option<LeaseRecord> {
    serde_json::from_slice(value).ok()
}

fn bytes_of(entry: &LeaseRecord) -> Result<Bytes, String> {
    serde_json::to_vec(entry).map(Bytes::from).map_err(|error| error.to_string())
}
