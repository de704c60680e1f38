//! Writes revisions, the bucket of open incidents and rejected input, and acknowledges the input only when all of it is stored.
//! Where a lease says who does the work, the server refuses all of it from whoever lost it.

pub mod fenced_publisher;
pub mod incident_history;
pub mod truncate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{Context, PublishError};
use async_nats::jetstream::kv;
use bytes::Bytes;
use tokio::time::sleep;

use crate::io::nats::client::health::Health;
use crate::io::nats::client::kv_cas::{self, WriteError};
use crate::io::nats::cluster::checkpoint_store::OutputPositions;
use crate::io::nats::cluster::lease::{HeldLease, LeaseLost, StoreError};
use crate::io::nats::input::Ack;
use crate::io::nats::output::fenced_publisher::FencedPublisher;
use crate::model::limits::REJECTED_SUBJECT_BYTES_MAX;

/// The first wait after a publish that failed; doubled up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Headers of a message, at most: ids, the reason, subjects aside.
const HEADER_BYTES: usize = 4_096;
/// How long one write to the bucket of incidents may take.
const KEEP_WITHIN: Duration = Duration::from_secs(5);

/// A revision on its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct OutRevision {
    /// The subject.
    pub subject: String,
    /// The id by which the server drops repeats.
    pub message_id: String,
    /// The incident: the key in the bucket.
    pub incident: String,
    /// Whether the incident is open after it.
    pub open: bool,
    /// The message.
    pub body: Bytes,
}

/// Rejected input on its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct OutRejected {
    /// The subject that it came on.
    pub subject: String,
    /// Its place in the stream of events.
    pub sequence: u64,
    /// The birth of that stream, nanoseconds since 1970.
    pub born_ns: i64,
    /// The line within the message; 0 for all of it.
    pub line: usize,
    /// Why.
    pub reason: String,
    /// The bytes, untouched.
    pub bytes: Bytes,
}

/// What one batch of input came to. `A` acknowledges input: the simulation has a broker of its own.
pub struct Outgoing<A = Ack> {
    /// In order.
    pub revisions: Vec<OutRevision>,
    /// In order.
    pub rejected: Vec<OutRejected>,
    /// Acknowledges the input.
    pub acker: Option<A>,
}

impl<A> Default for Outgoing<A> {
    fn default() -> Self {
        Self { revisions: Vec::new(), rejected: Vec::new(), acker: None }
    }
}

/// One thing to be stored. Each is tried until it is done; only then comes the next.
#[derive(Debug)]
pub enum WriteOp<A = Ack> {
    /// To the stream of rejected input.
    Reject(OutRejected),
    /// To the stream of incidents.
    Publish(OutRevision),
    /// To the bucket of open incidents.
    Show(OutRevision),
    /// The input may be forgotten.
    Acknowledge(A),
}

impl<A> Outgoing<A> {
    /// What is to be done, in order: whoever dies between two of them leaves input unacknowledged of which not
    /// everything is stored.
    pub fn write_ops(self) -> impl Iterator<Item = WriteOp<A>> {
        let shown = self.revisions.clone().into_iter().map(WriteOp::Show);
        let rejected = self.rejected.into_iter().map(WriteOp::Reject);
        rejected.chain(self.revisions.into_iter().map(WriteOp::Publish)).chain(shown).chain(self.acker.map(WriteOp::Acknowledge))
    }
}

/// What makes the server refuse this process's writes once another one does the work.
pub struct Fence {
    /// Held while this process does.
    pub lease: HeldLease,
    /// The stream of incidents.
    pub incidents: FencedPublisher,
    /// The stream of rejected input; nothing where others read the input.
    pub rejected: Option<FencedPublisher>,
}

/// Publishes.
pub struct Sink {
    context: Context,
    bucket: kv::Store,
    rejected_subject: String,
    consumer: String,
    storing: Arc<OutputStats>,
    fence: Option<Fence>,
    /// The revision in the bucket of each open incident, where this process wrote it.
    kept: BTreeMap<String, u64>,
}

/// What storing shows of itself, also while it waits.
#[derive(Debug, Default)]
pub struct OutputStats {
    /// Publishes tried again.
    pub retries: AtomicU64,
    /// Revisions that went out shortened.
    pub cut: AtomicU64,
    /// Why results cannot be stored.
    pub health: Health,
}

impl Sink {
    /// A sink that shows in `storing` how it does.
    pub fn new(context: Context, bucket: kv::Store, rejected_subject: String, storing: Arc<OutputStats>) -> Self {
        Self { context, bucket, rejected_subject, consumer: String::new(), storing, fence: None, kept: BTreeMap::new() }
    }

    /// The same, for the squelch that is called so: several may write to one stream of rejected input.
    pub fn called(self, consumer: &str) -> Self {
        Self { consumer: consumer.into(), ..self }
    }

    /// The same, for as long as a lease is held.
    pub fn with_fence(self, fence: Option<Fence>) -> Self {
        Self { fence, ..self }
    }

    /// How far the streams are: nothing before that comes again.
    pub fn places(&self) -> OutputPositions {
        let rejected = |fence: &Fence| fence.rejected.as_ref().map_or(0, FencedPublisher::position);
        let places = |fence: &Fence| OutputPositions { incidents: fence.incidents.position(), rejected: rejected(fence) };
        self.fence.as_ref().map(places).unwrap_or_default()
    }

    /// Stores everything, in order, trying again for as long as it takes; then acknowledges the input.
    ///
    /// # Errors
    ///
    /// Another process does the work: what is left is its to store.
    pub async fn store(&mut self, mut outgoing: Outgoing) -> Result<(), LeaseLost> {
        if !outgoing.revisions.is_empty() {
            let room = self.room(HEADER_BYTES);
            outgoing.revisions.iter_mut().for_each(|revision| self.fit(revision, room));
        }
        for op in outgoing.write_ops() {
            let mut wait = RETRY_FIRST;
            while let Err(error) = self.attempt(&op).await {
                let error = match error {
                    StoreError::LeaseLost(lost) => return Err(lost),
                    StoreError::Failed(error) => error,
                };
                let what = match op {
                    WriteOp::Reject(_) => "rejected input",
                    WriteOp::Publish(_) => "a revision",
                    WriteOp::Show(_) => "the bucket of incidents",
                    WriteOp::Acknowledge(_) => "an acknowledgement",
                };
                self.storing.retries.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(error, "cannot store {what}; trying again");
                self.storing.health.failing(format!("{what}: {error}"));
                sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
            self.storing.health.recovered();
        }
        Ok(())
    }

    /// Bytes of a message's body that the server takes beside these of its headers.
    fn room(&self, header_bytes: usize) -> usize {
        self.context.client().server_info().max_payload.saturating_sub(header_bytes)
    }

    /// Shortens a revision that does not fit into what the server takes.
    fn fit(&self, revision: &mut OutRevision, room: usize) {
        if let Some(short) = truncate::revision(&revision.body, room) {
            let (id, whole, bytes) = (&revision.message_id, revision.body.len(), short.len());
            tracing::warn!(id, whole, bytes, "a revision is larger than the server takes (max_payload): it goes out shortened");
            self.storing.cut.fetch_add(1, Ordering::Relaxed);
            revision.body = short;
        }
    }

    async fn attempt(&mut self, op: &WriteOp) -> Result<(), StoreError> {
        match op {
            WriteOp::Reject(rejected) => self.publish_rejected(rejected).await,
            WriteOp::Publish(revision) => self.publish_revision(revision).await,
            WriteOp::Show(revision) => self.keep(revision).await,
            WriteOp::Acknowledge(ack) => ack.ack().await.map_err(StoreError::Failed),
        }
    }

    async fn publish_revision(&mut self, revision: &OutRevision) -> Result<(), StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", revision.message_id.as_str());
        headers.insert("Content-Type", "application/json");
        let place = (revision.message_id.as_str(), revision.subject.as_str());
        match &mut self.fence {
            Some(Fence { lease, incidents, .. }) => incidents.publish(&self.context, lease, place, headers, &revision.body).await,
            None => publish(&self.context, &revision.subject, headers, revision.body.clone()).await,
        }
    }

    async fn publish_rejected(&mut self, rejected: &OutRejected) -> Result<(), StoreError> {
        let mut headers = HeaderMap::new();
        let id = rejected_id(&self.consumer, rejected);
        headers.insert("Nats-Msg-Id", id.as_str());
        headers.insert("Squelch-Reason", one_line(&rejected.reason).as_str());
        headers.insert("Squelch-Subject", rejected.subject.as_str());
        headers.insert("Squelch-Sequence", rejected.sequence.to_string().as_str());
        headers.insert("Squelch-Line", rejected.line.to_string().as_str());
        let subject = rejected_subject(&self.rejected_subject, &rejected.subject);
        let room = self.room(HEADER_BYTES + 2 * rejected.subject.len());
        let bytes = rejected.bytes.slice(..rejected.bytes.len().min(room));
        if bytes.len() < rejected.bytes.len() {
            headers.insert("Squelch-Cut", rejected.bytes.len().to_string().as_str());
        }
        match &mut self.fence {
            Some(Fence { lease, rejected: Some(publisher), .. }) => {
                publisher.publish(&self.context, lease, (&id, &subject), headers, &bytes).await
            }
            _ => publish(&self.context, &subject, headers, bytes).await,
        }
    }

    async fn keep(&mut self, revision: &OutRevision) -> Result<(), StoreError> {
        let key = &revision.incident;
        let Some(Fence { lease, .. }) = &self.fence else {
            let kept = if revision.open {
                self.bucket.put(key, revision.body.clone()).await.map(drop).map_err(|error| error.to_string())
            } else {
                self.bucket.purge(key).await.map_err(|error| error.to_string())
            };
            return kept.map_err(StoreError::Failed);
        };
        let mut known = self.kept.remove(key).unwrap_or(0);
        loop {
            lease.may_write().await?;
            let written = if revision.open {
                kv_cas::replace(&self.bucket, key, revision.body.clone(), known, KEEP_WITHIN).await
            } else {
                kv_cas::remove(&self.bucket, key, known, KEEP_WITHIN).await
            };
            match written {
                Ok(written) => {
                    if revision.open {
                        self.kept.insert(key.clone(), written);
                    }
                    return Ok(());
                }
                Err(WriteError::Failed(error)) => return Err(StoreError::Failed(error)),
                Err(WriteError::Replaced) => {
                    known = kv_cas::read(&self.bucket, key).await.map_err(StoreError::Failed)?.0;
                    // What is there now was there before this: who takes the lease later finds what is written here.
                    lease.renew().await?;
                }
            }
        }
    }
}

/// Where rejected input goes: of a long subject its beginning, as the prefix may be what is too much for the server.
fn rejected_subject(prefix: &str, subject: &str) -> String {
    let mut whole = format!("{prefix}.{subject}");
    if whole.len() > REJECTED_SUBJECT_BYTES_MAX {
        whole.truncate(whole.floor_char_boundary(REJECTED_SUBJECT_BYTES_MAX));
        whole.truncate(whole.trim_end_matches('.').len());
    }
    whole
}

/// The same whenever the message is read again; another for what another squelch rejects, and for the stream that was made anew
/// and counts from 1 again.
fn rejected_id(consumer: &str, rejected: &OutRejected) -> String {
    format!("{consumer}-{:x}-{}-{}", rejected.born_ns, rejected.sequence, rejected.line)
}

async fn publish(context: &Context, subject: &str, headers: HeaderMap, body: Bytes) -> Result<(), StoreError> {
    let fail = |error: PublishError| StoreError::Failed(error.to_string());
    let stored = context.publish_with_headers(subject.to_string(), headers, body).await.map_err(fail)?;
    stored.await.map(drop).map_err(fail)
}

/// A header holds one line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
