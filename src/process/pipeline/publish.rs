//! The publish stage, a task: stores what the engine made. For each item, in this order: the checkpoint that comes before the results,
//! the results, the checkpoint that comes after them. Rules are announced to workers once a checkpoint contains them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::io::nats::cluster::active_rules::RuleFiles;
use crate::io::nats::cluster::lease::LeaseLost;
use crate::io::nats::output::Publisher;
use crate::io::nats::output::results::Results;
use crate::process::checkpoint::storage::{CheckpointStorage, RESULTS_WAIT};
use crate::process::pipeline::messages::{CheckpointAfter, PublishItem};
use crate::process::telemetry::Telemetry;
use crate::process::telemetry::stopwatch::stopwatch;

/// Announces rules to workers, but not before a checkpoint contains them: a correlator that dies goes on with the rules of its
/// checkpoint, and the workers must still count for those.
pub struct RuleAnnouncer {
    announced: watch::Sender<Option<Arc<RuleFiles>>>,
    /// In no checkpoint yet.
    waiting: Mutex<Option<Arc<RuleFiles>>>,
}

impl RuleAnnouncer {
    /// Announces through this channel.
    pub fn new(announced: watch::Sender<Option<Arc<RuleFiles>>>) -> Self {
        Self { announced, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Arc<RuleFiles>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn checkpoint_stored(&self) {
        if let Some(rules) = self.waiting().take() {
            self.announced.send_replace(Some(rules));
        }
    }
}

/// The state of the stage.
pub struct Publish {
    publisher: Publisher,
    checkpoints: CheckpointStorage,
    announcer: Option<Arc<RuleAnnouncer>>,
    telemetry: Arc<Telemetry>,
    /// A checkpoint that is stored while results are.
    background: Option<JoinHandle<()>>,
}

impl Publish {
    /// A stage around a publisher. `announcer` is for a correlator.
    pub fn new(
        publisher: Publisher,
        checkpoints: CheckpointStorage,
        announcer: Option<RuleAnnouncer>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self { publisher, checkpoints, announcer: announcer.map(Arc::new), telemetry, background: None }
    }

    /// Stores until the engine stage has ended, or another process has taken over: then the rest is its to store.
    pub async fn run(mut self, mut from_engine: mpsc::Receiver<PublishItem>) {
        while let Some(PublishItem { checkpoint_before, results, checkpoint_after, active_rules }) = from_engine.recv().await {
            if checkpoint_before.is_some() || active_rules.is_some() {
                self.background_stored().await;
            }
            if let (Some(announcer), Some(rules)) = (&self.announcer, active_rules) {
                *announcer.waiting() = Some(rules);
            }
            if let Some(snapshot) = checkpoint_before {
                let after = CheckpointAfter { snapshot, in_background: false, in_progress: None };
                self.store_checkpoint(after).await;
            }
            if self.store_results(results).await.is_err() {
                break;
            }
            if let Some(after) = checkpoint_after {
                self.background_stored().await;
                self.store_checkpoint(after).await;
            }
        }
        self.background_stored().await;
        // The engine is not kept waiting by a publisher that has ended.
        while from_engine.recv().await.is_some() {}
    }

    async fn store_results(&mut self, results: Results) -> Result<(), LeaseLost> {
        let span = tracing::debug_span!("publish", revisions = results.revisions.len(), rejected = results.rejected.len());
        let took = stopwatch();
        let stored = self.publisher.store(results).instrument(span).await;
        self.telemetry.publishing_ns.fetch_add(took().as_nanos() as u64, Ordering::Relaxed);
        stored
    }

    async fn store_checkpoint(&mut self, checkpoint: CheckpointAfter) {
        let CheckpointAfter { snapshot, in_background, in_progress } = checkpoint;
        let (checkpoints, telemetry) = (self.checkpoints.clone(), Arc::clone(&self.telemetry));
        let (positions, announcer) = (self.publisher.positions(), self.announcer.clone());
        let storing = async move {
            let cost = checkpoints.store(snapshot, positions, !in_background, &telemetry).await;
            if let Some(in_progress) = in_progress {
                in_progress.stored(cost.unwrap_or_default().cpu);
            }
            if let (Some(announcer), Some(_)) = (announcer, cost) {
                announcer.checkpoint_stored();
            }
        };
        if in_background {
            self.background = Some(tokio::spawn(storing));
        } else {
            storing.await;
        }
    }

    /// Waits for the checkpoint in the background: no other may be stored before it.
    async fn background_stored(&mut self) {
        let Some(storing) = self.background.take() else { return };
        if !storing.is_finished() {
            self.telemetry.checkpoint_health.failing(RESULTS_WAIT.into());
        }
        if let Err(error) = storing.await {
            tracing::error!(%error, "storing a checkpoint failed");
        }
    }
}
