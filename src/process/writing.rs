//! The task that stores: what the engine made of its input, and checkpoints, each in its order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::edges::nats::bulletin::RuleFiles;
use crate::edges::nats::publish::Sink;
use crate::process::evaluating::{After, ToSink};
use crate::process::keeping::{Kept, RESULTS_WAIT};
use crate::process::metrics::Telemetry;
use crate::process::replay::stopwatch;

/// Who tells workers which rules run.
pub type Workers = watch::Sender<Option<Arc<RuleFiles>>>;

/// Stores until nothing more comes. Where another process has taken the work over, the rest is its to store.
pub async fn write(
    mut sink: Sink,
    kept: Kept,
    workers: Option<Workers>,
    telemetry: Arc<Telemetry>,
    mut from_engine: mpsc::Receiver<ToSink>,
) {
    let tell = move |rules: Option<Arc<RuleFiles>>| {
        if let (Some(workers), Some(rules)) = (&workers, rules) {
            workers.send_replace(Some(rules));
        }
    };
    let mut behind: Option<JoinHandle<()>> = None;
    while let Some(ToSink { before, outgoing, after, rules }) = from_engine.recv().await {
        if before.is_some() {
            over(&mut behind, &telemetry).await;
        }
        kept.keep(before, sink.places(), true, &telemetry).await;
        let publishing =
            tracing::debug_span!("publish", revisions = outgoing.revisions.len(), rejected = outgoing.rejected.len());
        let took = stopwatch();
        let stored = sink.store(outgoing).instrument(publishing).await;
        telemetry.publishing_us.fetch_add(took().as_micros() as u64, Ordering::Relaxed);
        if stored.is_err() {
            break;
        }
        let Some(After { saved, behind: may_wait, under_way }) = after else {
            tell(rules);
            continue;
        };
        over(&mut behind, &telemetry).await;
        let (kept, places, told, tell) = (kept.clone(), sink.places(), Arc::clone(&telemetry), tell.clone());
        let keeping = async move {
            let size = kept.keep(Some(saved), places, !may_wait, &told).await;
            under_way.iter().for_each(|under_way| under_way.is_kept(size.spent));
            tell(rules);
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
        telemetry.keeping.failed(RESULTS_WAIT.into());
    }
    if let Err(error) = keeping.await {
        tracing::error!(%error, "keeping a checkpoint failed");
    }
}
