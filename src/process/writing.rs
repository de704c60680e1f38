//! The task that stores: what the engine made of its input, and checkpoints, each in its order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tracing::Instrument;

use crate::edges::nats::publish::Sink;
use crate::process::evaluating::ToSink;
use crate::process::keeping::Kept;
use crate::process::metrics::Telemetry;
use crate::process::replay::stopwatch;

/// Stores until nothing more comes. Where another process has taken the work over, the rest is its to store.
pub async fn write(mut sink: Sink, kept: Kept, telemetry: Arc<Telemetry>, mut from_engine: mpsc::Receiver<ToSink>) {
    while let Some(ToSink { before, outgoing, after, under_way }) = from_engine.recv().await {
        kept.keep(before, sink.places(), true, &telemetry).await;
        let publishing =
            tracing::debug_span!("publish", revisions = outgoing.revisions.len(), rejected = outgoing.rejected.len());
        let took = stopwatch();
        let stored = sink.store(outgoing).instrument(publishing).await;
        telemetry.publishing_us.fetch_add(took().as_micros() as u64, Ordering::Relaxed);
        if stored.is_err() {
            break;
        }
        kept.keep(after, sink.places(), false, &telemetry).await;
        drop(under_way);
    }
    // Whoever still makes results is not kept waiting.
    while from_engine.recv().await.is_some() {}
}
