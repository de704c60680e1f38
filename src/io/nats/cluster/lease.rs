//! The lease: of several processes with one name, the holder does the work. The lease is a key that the holder writes again and again,
//! each time in place of the revision that it wrote last.
//!
//! No two machines' clocks are compared. A standby takes the lease after it has watched the same revision for the length of the lease,
//! by its own clock. The holder stops writing after three quarters of that time, counted from before its last renewal was sent, until
//! the next renewal has succeeded. A process can be suspended between a look at the clock and a write, so a clock alone protects
//! nothing: each write names what it expects to find, and the server refuses the rest (see
//! [`fenced_publisher`](crate::io::nats::output::fenced_publisher)).

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::Store;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use crate::io::nats::client::kv_cas::{self, CasError};

/// A standby checks the lease this often, and more often where the lease is short.
const CHECK_EVERY_MAX: Duration = Duration::from_millis(250);
/// Consumers of so many terms are remembered: a holder that dies before it could delete its predecessor's leaves that to the next.
const CONSUMERS_MAX: usize = 4;

/// Another process holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another process holds the lease")]
pub struct LeaseLost;

/// Why something could not be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A retry may succeed.
    #[error("{0}")]
    Failed(String),
    /// Another process stores it.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
}

/// The value of the key.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct LeaseRecord {
    /// Rises with each holder.
    term: u64,
    /// Machine and process, for people.
    holder: String,
    /// Distinguishes holders.
    id: String,
    lease_ms: u64,
    /// The durable consumers of this term and those before it, newest first. The next holder deletes them.
    consumers: Vec<String>,
    released: bool,
}

/// A process that waits for the lease.
pub struct LeaseContender {
    bucket: Store,
    name: String,
    key: String,
    holder: String,
    id: String,
    duration: Duration,
    /// The revision that was seen last, and since when.
    seen: Option<(u64, Instant)>,
}

/// The result of one check.
pub enum LeaseStatus {
    /// Another process holds it; its name.
    Held(String),
    /// This process holds it.
    Acquired(HeldLease),
}

impl LeaseContender {
    /// A contender for the lease called `name` in the bucket. `holder` names the process for people, `id` is unique.
    pub fn new(bucket: Store, name: &str, holder: String, id: String, duration: Duration) -> Self {
        Self { bucket, name: name.into(), key: format!("{name}.lease"), holder, id, duration, seen: None }
    }

    /// How long to wait between two checks.
    pub fn pause(&self) -> Duration {
        (self.duration / 10).min(CHECK_EVERY_MAX)
    }

    /// Checks the lease, and acquires it where it is free.
    ///
    /// # Errors
    ///
    /// The server does not answer. Time in which nobody can renew the lease does not count as silence of its holder.
    pub async fn check(&mut self) -> Result<LeaseStatus, String> {
        let status = self.try_check().await;
        if status.is_err() {
            self.seen = None;
        }
        status
    }

    async fn try_check(&mut self) -> Result<LeaseStatus, String> {
        let (revision, value) = kv_cas::read(&self.bucket, &self.key).await?;
        let record = parse(&value);
        let is_free = value.is_empty() || record.as_ref().is_some_and(|record| record.released);
        let duration = record.as_ref().map_or(self.duration, |record| self.duration.max(Duration::from_millis(record.lease_ms)));
        let silent = self.seen.filter(|(seen, _)| *seen == revision).map(|(_, since)| since.elapsed());
        if is_free || silent.is_some_and(|silent| silent >= duration) {
            return self.acquire(revision, record).await;
        }
        if silent.is_none() {
            self.seen = Some((revision, Instant::now()));
        }
        Ok(LeaseStatus::Held(record.map_or_else(|| "a process whose entry cannot be read".into(), |record| record.holder)))
    }

    async fn acquire(&mut self, revision: u64, before: Option<LeaseRecord>) -> Result<LeaseStatus, String> {
        let term = revision + 1;
        let mut consumers = before.map(|before| before.consumers).unwrap_or_default();
        consumers.insert(0, format!("{}_{term}", self.name));
        consumers.truncate(CONSUMERS_MAX);
        let record = LeaseRecord {
            term,
            holder: self.holder.clone(),
            id: self.id.clone(),
            lease_ms: self.duration.as_millis() as u64,
            consumers,
            released: false,
        };
        let sent = Instant::now();
        match kv_cas::replace(&self.bucket, &self.key, bytes_of(&record)?, revision, self.duration / 4).await {
            Ok(revision) => Ok(LeaseStatus::Acquired(HeldLease(Arc::new(LeaseInner {
                bucket: self.bucket.clone(),
                key: self.key.clone(),
                record,
                duration: self.duration,
                revision: Mutex::new(revision),
                validity: watch::Sender::new(Validity { until: sent + valid_for(self.duration), lost: false }),
            })))),
            Err(CasError::OtherRevision) => Ok(LeaseStatus::Held("another standby, since just now".into())),
            Err(CasError::Failed(error)) => Err(error),
        }
    }
}

/// The lease while this process holds it. All clones are one.
#[derive(Clone)]
pub struct HeldLease(Arc<LeaseInner>);

struct LeaseInner {
    bucket: Store,
    key: String,
    record: LeaseRecord,
    duration: Duration,
    /// The revision of the key that this process wrote last. One renewal runs at a time.
    revision: Mutex<u64>,
    validity: watch::Sender<Validity>,
}

#[derive(Clone, Copy, Debug)]
struct Validity {
    until: Instant,
    lost: bool,
}

impl HeldLease {
    /// The names of durable consumers: first the one of this term alone, which no other process's pulls and acknowledgements can move,
    /// then those of the terms before.
    pub fn consumers(&self) -> &[String] {
        &self.0.record.consumers
    }

    /// The term. It only rises.
    pub fn term(&self) -> u64 {
        self.0.record.term
    }

    /// Waits until this process may write, by its own clock.
    ///
    /// # Errors
    ///
    /// The lease is lost.
    pub async fn may_write(&self) -> Result<(), LeaseLost> {
        let mut validity = self.0.validity.subscribe();
        let decided = validity.wait_for(|validity| validity.lost || Instant::now() < validity.until).await;
        if decided.is_ok_and(|validity| !validity.lost) { Ok(()) } else { Err(LeaseLost) }
    }

    /// Renews the lease. Success proves that no other process held it until now.
    ///
    /// # Errors
    ///
    /// Another process holds it, or the server does not answer.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let LeaseInner { bucket, key, record, duration, .. } = &*self.0;
        let mut revision = self.0.revision.lock().await;
        loop {
            if self.is_lost() {
                return Err(LeaseLost.into());
            }
            let sent = Instant::now();
            let value = bytes_of(record).map_err(StoreError::Failed)?;
            match kv_cas::replace(bucket, key, value, *revision, *duration / 4).await {
                Ok(renewed) => {
                    *revision = renewed;
                    self.0.validity.send_modify(|validity| validity.until = sent + valid_for(*duration));
                    return Ok(());
                }
                Err(CasError::Failed(error)) => return Err(StoreError::Failed(error)),
                Err(CasError::OtherRevision) => {
                    let (found, value) = kv_cas::read(bucket, key).await.map_err(StoreError::Failed)?;
                    if parse(&value).as_ref() != Some(record) {
                        self.mark_lost();
                        return Err(LeaseLost.into());
                    }
                    if found == *revision {
                        return Err(StoreError::Failed("the server returns an old revision of the lease".into()));
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
            sleep(self.0.duration / 4).await;
            match self.renew().await {
                Ok(()) if warned => {
                    tracing::info!("the lease is renewed again: no other process held it");
                    warned = false;
                }
                Ok(()) => {}
                Err(StoreError::LeaseLost(_)) => return,
                Err(StoreError::Failed(error)) if !warned => {
                    tracing::warn!(
                        error,
                        "the lease cannot be renewed: once it expires, nothing is published until it is renewed"
                    );
                    warned = true;
                }
                Err(StoreError::Failed(_)) => {}
            }
        }
    }

    /// Another process was seen to have written in this one's place.
    pub fn mark_lost(&self) {
        self.0.validity.send_modify(|validity| validity.lost = true);
    }

    /// Whether this process holds the lease, by its own clock.
    pub fn is_current(&self) -> bool {
        let validity = self.0.validity.borrow();
        !validity.lost && Instant::now() < validity.until
    }

    /// Whether the lease is lost.
    pub fn is_lost(&self) -> bool {
        self.0.validity.borrow().lost
    }

    /// Waits until the lease is lost.
    pub async fn lost(&self) {
        // The sender lives as long as this does, so waiting cannot fail.
        self.0.validity.subscribe().wait_for(|validity| validity.lost).await.ok();
    }

    /// Releases the lease, so that a standby need not wait for its end. Nothing may be written afterwards.
    pub async fn release(&self) {
        let LeaseInner { bucket, key, record, duration, .. } = &*self.0;
        let revision = self.0.revision.lock().await;
        self.mark_lost();
        let released = LeaseRecord { released: true, ..record.clone() };
        let done = match bytes_of(&released) {
            Ok(value) => {
                kv_cas::replace(bucket, key, value, *revision, *duration / 4).await.map_err(|error| format!("{error:?}"))
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(_) => tracing::info!("the lease is released"),
            Err(error) => tracing::warn!(error, "the lease could not be released: a standby waits until it expires"),
        }
    }
}

/// How long after a renewal was sent its holder writes: less than any standby waits, even if the clocks run at different speeds.
fn valid_for(duration: Duration) -> Duration {
    duration * 3 / 4
}

fn parse(value: &[u8]) -> Option<LeaseRecord> {
    serde_json::from_slice(value).ok()
}

fn bytes_of(record: &LeaseRecord) -> Result<Bytes, String> {
    serde_json::to_vec(record).map(Bytes::from).map_err(|error| error.to_string())
}
