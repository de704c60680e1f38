//! The task that stores: what the engine made of its input, and checkpoints, each in its order.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::io::nats::cluster::active_rules::RuleFiles;
use crate::io::nats::output::Sink;
use crate::process::checkpoint::storage::{CheckpointStorage, RESULTS_WAIT};
use crate::process::cli::replay::stopwatch;
use crate::process::pipeline::evaluate::{After, ToSink};
use crate::process::telemetry::metrics::Telemetry;

/// Who tells workers which rules run, once a checkpoint has them.
pub struct Workers {
    /// To who tells them.
    told: watch::Sender<Option<Arc<RuleFiles>>>,
    /// In no checkpoint yet.
    waiting: Mutex<Option<Arc<RuleFiles>>>,
}

impl Workers {
    /// Tells `told` of rules once they are kept.
    pub fn new(told: watch::Sender<Option<Arc<RuleFiles>>>) -> Self {
        Self { told, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Arc<RuleFiles>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A checkpoint was kept, with the rules that wait in it.
    fn is_kept(&self) {
        if let Some(rules) = self.waiting().take() {
            self.told.send_replace(Some(rules));
        }
    }
}

/// Stores until nothing more comes. Where another process has taken the work over, the rest is its to store.
pub async fn write(
    mut sink: Sink,
    kept: CheckpointStorage,
    workers: Option<Workers>,
    telemetry: Arc<Telemetry>,
    mut from_engine: mpsc::Receiver<ToSink>,
) {
    let workers = workers.map(Arc::new);
    let mut behind: Option<JoinHandle<()>> = None;
    while let Some(ToSink { before, outgoing, after, rules }) = from_engine.recv().await {
        if before.is_some() || rules.is_some() {
            over(&mut behind, &telemetry).await;
        }
        if let (Some(workers), Some(rules)) = (&workers, rules) {
            *workers.waiting() = Some(rules);
        }
        if kept.keep(before, sink.places(), true, &telemetry).await.is_some() {
            workers.iter().for_each(|workers| workers.is_kept());
        }
        let publishing =
            tracing::debug_span!("publish", revisions = outgoing.revisions.len(), rejected = outgoing.rejected.len());
        let took = stopwatch();
        let stored = sink.store(outgoing).instrument(publishing).await;
        telemetry.publishing_us.fetch_add(took().as_micros() as u64, Ordering::Relaxed);
        if stored.is_err() {
            break;
        }
        let Some(After { saved, behind: may_wait, under_way }) = after else { continue };
        over(&mut behind, &telemetry).await;
        let (kept, places, told, workers) = (kept.clone(), sink.places(), Arc::clone(&telemetry), workers.clone());
        let keeping = async move {
            let size = kept.keep(Some(saved), places, !may_wait, &told).await;
            under_way.iter().for_each(|under_way| under_way.is_kept(size.unwrap_or_default().spent));
            workers.iter().filter(|_| size.is_some()).for_each(|workers| workers.is_kept());
        };
        if may_wait {
            behind = Some(tokio::spawn(keeping));
        } else {
            keeping.await;
        }
    }
    over(&mut behind, &telemetry).await;
    // Whoever still makes results is not kept waiting.
    while from_engine.recv().await.is_some() {}
}

/// Waits for a checkpoint that is written while results are stored: no other may come before it.
async fn over(behind: &mut Option<JoinHandle<()>>, telemetry: &Telemetry) {
    let Some(keeping) = behind.take() else { return };
    if !keeping.is_finished() {
        telemetry.checkpoint_health.failing(RESULTS_WAIT.into());
    }
    if let Err(error) = keeping.await {
        tracing::error!(%error, "keeping a checkpoint failed");
    }
}
