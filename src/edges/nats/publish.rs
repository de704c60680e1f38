//! Writes revisions, the bucket of open incidents and rejected input, and acknowledges the input only when all of it is stored.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv;
use bytes::Bytes;
use tokio::time::sleep;

use crate::edges::nats::consume::Ack;
use crate::edges::nats::trouble::Trouble;

/// The first wait after a publish that failed; doubled up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

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
#[derive(Clone, Debug)]
pub struct OutRejected {
    /// The subject that it came on.
    pub subject: String,
    /// Its place in the stream of events.
    pub sequence: u64,
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
pub enum Duty<A = Ack> {
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
    pub fn duties(self) -> impl Iterator<Item = Duty<A>> {
        let shown = self.revisions.clone().into_iter().map(Duty::Show);
        let rejected = self.rejected.into_iter().map(Duty::Reject);
        rejected.chain(self.revisions.into_iter().map(Duty::Publish)).chain(shown).chain(self.acker.map(Duty::Acknowledge))
    }
}

/// Publishes.
pub struct Sink {
    context: Context,
    bucket: kv::Store,
    rejected_subject: String,
    storing: Arc<Storing>,
}

/// What storing shows of itself, also while it waits.
#[derive(Debug, Default)]
pub struct Storing {
    /// Publishes tried again.
    pub retries: AtomicU64,
    /// Why results cannot be stored.
    pub trouble: Trouble,
}

impl Sink {
    /// A sink that shows in `storing` how it does.
    pub fn new(context: Context, bucket: kv::Store, rejected_subject: String, storing: Arc<Storing>) -> Self {
        Self { context, bucket, rejected_subject, storing }
    }

    /// Stores everything, in order, trying again for as long as it takes; then acknowledges the input.
    pub async fn store(&self, outgoing: Outgoing) {
        for duty in outgoing.duties() {
            match &duty {
                Duty::Reject(rejected) => self.insist("rejected input", || self.publish_rejected(rejected)).await,
                Duty::Publish(revision) => self.insist("a revision", || self.publish_revision(revision)).await,
                Duty::Show(revision) => self.insist("the bucket of incidents", || self.keep(revision)).await,
                Duty::Acknowledge(acker) => {
                    self.insist("an acknowledgement", || acker.ack()).await;
                }
            }
        }
    }

    async fn publish_revision(&self, revision: &OutRevision) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", revision.message_id.as_str());
        headers.insert("Content-Type", "application/json");
        self.publish(&revision.subject, headers, revision.body.clone()).await
    }

    async fn publish_rejected(&self, rejected: &OutRejected) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{}-{}", rejected.sequence, rejected.line).as_str());
        headers.insert("Squelch-Reason", one_line(&rejected.reason).as_str());
        headers.insert("Squelch-Subject", rejected.subject.as_str());
        headers.insert("Squelch-Sequence", rejected.sequence.to_string().as_str());
        headers.insert("Squelch-Line", rejected.line.to_string().as_str());
        let subject = format!("{}.{}", self.rejected_subject, rejected.subject);
        self.publish(&subject, headers, rejected.bytes.clone()).await
    }

    async fn publish(&self, subject: &str, headers: HeaderMap, body: Bytes) -> Result<(), String> {
        let ack =
            self.context.publish_with_headers(subject.to_string(), headers, body).await.map_err(|error| error.to_string())?;
        ack.await.map(drop).map_err(|error| error.to_string())
    }

    async fn keep(&self, revision: &OutRevision) -> Result<(), String> {
        if revision.open {
            self.bucket.put(&revision.incident, revision.body.clone()).await.map(drop).map_err(|error| error.to_string())
        } else {
            self.bucket.purge(&revision.incident).await.map_err(|error| error.to_string())
        }
    }

    async fn insist<F: Future<Output = Result<(), String>>>(&self, what: &str, mut attempt: impl FnMut() -> F) {
        let mut wait = RETRY_FIRST;
        while let Err(error) = attempt().await {
            self.storing.retries.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(error, "cannot store {what}; trying again");
            self.storing.trouble.failed(format!("{what}: {error}"));
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
        self.storing.trouble.over();
    }
}

/// A header holds one line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
