//! Writes results to NATS. [`Publisher`] lists the stages in order: truncate what is too large, publish rejected input, publish
//! revisions, publish the alerts that changed, update the bucket of open incidents, answer commands, acknowledge the input. Each
//! stage is a file.
//!
//! A write that fails is tried again until it succeeds: while the server is away the stream of events is the buffer. Where processes
//! share a lease, the server refuses every write of a process that lost it ([`fenced_publisher`]).

pub mod alert_stream;
pub mod command_answers;
pub mod event_publisher;
pub mod fenced_publisher;
pub mod incident_history;
pub mod incident_stream;
pub mod open_incidents;
pub mod rejected_stream;
pub mod results;
pub mod stats;
pub mod truncate;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv;
use tokio::time::sleep;

use crate::io::nats::cluster::checkpoint_store::OutputPositions;
use crate::io::nats::cluster::lease::{HeldLease, LeaseLost, StoreError};
use crate::io::nats::output::alert_stream::AlertStream;
use crate::io::nats::output::command_answers::CommandAnswers;
use crate::io::nats::output::fenced_publisher::FencedPublisher;
use crate::io::nats::output::incident_stream::IncidentStream;
use crate::io::nats::output::open_incidents::OpenIncidents;
use crate::io::nats::output::rejected_stream::RejectedStream;
use crate::io::nats::output::results::{Results, WriteOp};
use crate::io::nats::output::stats::OutputStats;
use crate::io::nats::output::truncate::Truncate;

/// The first pause after a write that failed; doubled up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Makes the server refuse the writes of a process that lost the lease.
pub struct Fence {
    /// The lease.
    pub lease: HeldLease,
    /// To the stream of incidents.
    pub incidents: FencedPublisher,
    /// To the stream of rejected input; none where workers read the input.
    pub rejected: Option<FencedPublisher>,
}

/// The stages, in the order in which results pass them.
pub struct Publisher {
    truncate: Truncate,
    rejected: RejectedStream,
    alerts: AlertStream,
    incidents: IncidentStream,
    open_incidents: OpenIncidents,
    command_answers: CommandAnswers,
    stats: Arc<OutputStats>,
}

impl Publisher {
    /// A publisher for the squelch whose consumer is called `consumer`. Without a fence it is the only one that writes.
    pub fn new(
        context: &Context,
        bucket: kv::Store,
        rejected_subject: &str,
        consumer: &str,
        fence: Option<Fence>,
        stats: Arc<OutputStats>,
    ) -> Self {
        let (lease, incidents, rejected) = match fence {
            Some(Fence { lease, incidents, rejected }) => (Some(lease), Some(incidents), rejected),
            None => (None, None, None),
        };
        Self {
            truncate: Truncate::new(context.clone(), Arc::clone(&stats)),
            rejected: RejectedStream::new(context.clone(), rejected_subject, consumer, rejected),
            alerts: AlertStream::new(context.clone()),
            incidents: IncidentStream::new(context.clone(), incidents),
            command_answers: CommandAnswers::new(context.clone(), lease.clone()),
            open_incidents: OpenIncidents::new(bucket, lease),
            stats,
        }
    }

    /// Answers commands, and shows silences in this bucket.
    pub fn with_silences(mut self, silences: Option<kv::Store>) -> Self {
        self.command_answers.show_in(silences);
        self
    }

    /// How far the output streams have come: results before these positions are not made again.
    pub fn positions(&self) -> OutputPositions {
        OutputPositions { incidents: self.incidents.position(), rejected: self.rejected.position() }
    }

    /// Stores everything in order, then acknowledges the input. Retries for as long as it takes.
    ///
    /// # Errors
    ///
    /// Another process holds the lease: what is left is its to store.
    pub async fn store(&mut self, mut results: Results) -> Result<(), LeaseLost> {
        self.truncate.apply(&mut results.revisions);
        for op in results.write_ops() {
            let mut pause = RETRY_FIRST;
            while let Err(error) = self.write(&op).await {
                let error = match error {
                    StoreError::LeaseLost(lost) => return Err(lost),
                    StoreError::Failed(error) => error,
                };
                let what = match op {
                    WriteOp::Reject(_) => "rejected input",
                    WriteOp::PublishAlerts(_) => "changes of alerts",
                    WriteOp::Publish(_) => "a revision",
                    WriteOp::UpdateOpen(_) => "the bucket of open incidents",
                    WriteOp::Answer(_) => "what a command came to",
                    WriteOp::Acknowledge(_) => "an acknowledgement",
                };
                self.stats.retries.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(error, "cannot store {what}; retrying");
                self.stats.health.failing(format!("{what}: {error}"));
                sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
            self.stats.health.recovered();
        }
        Ok(())
    }

    async fn write(&mut self, op: &WriteOp) -> Result<(), StoreError> {
        match op {
            WriteOp::Reject(line) => self.rejected.publish(line).await,
            WriteOp::PublishAlerts(updates) => self.alerts.publish(updates).await.map_err(StoreError::Failed),
            WriteOp::Publish(revision) => self.incidents.publish(revision).await,
            WriteOp::UpdateOpen(revision) => self.open_incidents.update(revision).await,
            WriteOp::Answer(message) => self.command_answers.write(message).await,
            WriteOp::Acknowledge(ack) => ack.ack().await.map_err(StoreError::Failed),
        }
    }
}
