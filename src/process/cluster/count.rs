//! The evaluate stage of a worker, a thread: counts decoded messages, and every so often passes on a partial: what it has counted since
//! the last one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc;

use crate::engine::next_rules::NextRules;
use crate::engine::partial::partition_counter::PartitionCounter;
use crate::io::nats::cluster::packing::pack;
use crate::io::nats::cluster::partial_stream::header::PartialHeader;
use crate::io::nats::input::messages::{Ack, Fetched};
use crate::io::nats::output::results::RejectedLine;
use crate::model::limits::ROWS_PER_PART_MAX;
use crate::process::cluster::partition::WorkerPartition;
use crate::process::pipeline::gap_alert;
use crate::process::pipeline::messages::{DecodedItem, PipelineItem};
use crate::process::telemetry::Telemetry;
use crate::process::telemetry::snapshot::Snapshot;
use crate::process::telemetry::stopwatch::stopwatch;

/// How often a worker passes on a partial while events come. A longer interval lets more rows share a group, and delays alerts.
const PARTIAL_EVERY: Duration = Duration::from_millis(500);

/// What a worker has to store, in this order.
pub struct WorkerResults {
    /// Lines that could not be decoded.
    pub rejected: Vec<RejectedLine>,
    /// What was counted.
    pub partial: (PartialHeader, Vec<u8>),
    /// Acknowledges the messages.
    pub acker: Option<Ack>,
}

/// The publish stage has ended, or nothing can be counted any more.
struct Ended;

/// The state of the stage.
pub struct Count {
    counter: PartitionCounter,
    partition: WorkerPartition,
    stream_created_ns: i64,
    idle_ms: i64,
    telemetry: Arc<Telemetry>,
    snapshot: Snapshot,
    rejected: Vec<RejectedLine>,
    acker: Option<Ack>,
    flushed: Instant,
    /// The last message that was read.
    until: u64,
}

impl Count {
    /// A stage around a counter of events of the stream that was created at `stream_created_ns`. After `idle_ms` of silence it reports
    /// how long that has lasted.
    #[expect(clippy::disallowed_methods, reason = "decides how messages are grouped; no result depends on it")]
    pub fn new(
        counter: PartitionCounter,
        partition: WorkerPartition,
        stream_created_ns: i64,
        idle_ms: i64,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            until: counter.after(),
            counter,
            partition,
            stream_created_ns,
            idle_ms,
            telemetry,
            snapshot: Snapshot::default(),
            rejected: Vec::new(),
            acker: None,
            flushed: Instant::now(),
        }
    }

    /// Counts until the decode stage has ended, then passes on what is left.
    pub fn run(
        mut self,
        mut from_decoder: mpsc::Receiver<DecodedItem<Ack, Infallible>>,
        to_publisher: &mpsc::Sender<WorkerResults>,
    ) {
        while let Some(next) = from_decoder.blocking_recv() {
            if let Err(Ended) = self.take(next, to_publisher) {
                return;
            }
        }
        if self.until > self.counter.after() {
            self.flush(None, to_publisher).ok();
        }
    }

    fn take(&mut self, next: DecodedItem<Ack, Infallible>, to_publisher: &mpsc::Sender<WorkerResults>) -> Result<(), Ended> {
        let DecodedItem { item, progress } = next;
        self.until = self.until.max(progress.sequence);
        self.snapshot.set_progress(progress);
        let silence = match item {
            PipelineItem::Read(Fetched::Messages(decoded)) => {
                let took = stopwatch();
                self.counter.ingest(&decoded.batch, &decoded.sequences);
                self.snapshot.add_stage("evaluate", took());
                self.rejected.extend(decoded.rejected);
                self.acker = decoded.acker.or(self.acker.take());
                None
            }
            PipelineItem::Read(Fetched::Idle { silence, .. }) => Some(silence.as_millis() as i64),
            PipelineItem::Read(Fetched::Gap(gap)) if gap.stream_created_ns != self.stream_created_ns => {
                let alert = gap_alert::alert(&gap);
                tracing::error!("{}: start all processes with another input.consumer", alert.summary);
                return Err(Ended);
            }
            PipelineItem::Read(Fetched::Gap(gap)) => {
                self.counter.add_self_alert(gap_alert::alert(&gap));
                None
            }
            PipelineItem::Rules(new) => return self.set_rules(*new.rules, to_publisher),
            PipelineItem::EngineOnly(never) => match never {},
        };
        let silence_ms = silence.filter(|silence_ms| *silence_ms >= self.idle_ms);
        let has_news = self.until > self.counter.after() || silence_ms.is_some();
        let is_due = silence.is_some() || self.counter.rows() >= ROWS_PER_PART_MAX || self.flushed.elapsed() >= PARTIAL_EVERY;
        if has_news && is_due { self.flush(silence_ms, to_publisher) } else { Ok(()) }
    }

    /// Passes on what was counted for the rules before, and at once an empty partial: it tells the correlator which rules are counted
    /// from here on.
    fn set_rules(&mut self, next: NextRules, to_publisher: &mpsc::Sender<WorkerResults>) -> Result<(), Ended> {
        if self.until > self.counter.after() {
            self.flush(None, to_publisher)?;
        }
        self.counter.set_rules(next);
        tracing::info!(after = self.until, "counting for other rules from here on");
        self.flush(None, to_publisher)
    }

    /// Passes on what was counted.
    fn flush(&mut self, silence_ms: Option<i64>, to_publisher: &mpsc::Sender<WorkerResults>) -> Result<(), Ended> {
        self.flushed += self.flushed.elapsed();
        self.telemetry.publish(self.snapshot.clone());
        match self.partial(silence_ms) {
            Ok(partial) => {
                let (rejected, acker) = (std::mem::take(&mut self.rejected), self.acker.take());
                to_publisher.blocking_send(WorkerResults { rejected, partial, acker }).map_err(|_| Ended)
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "a partial cannot be encoded: this process ends, and the next one counts the events again"
                );
                Err(Ended)
            }
        }
    }

    fn partial(&mut self, silence_ms: Option<i64>) -> Result<(PartialHeader, Vec<u8>)> {
        let partial = self.counter.flush(self.until, silence_ms)?;
        let header = PartialHeader {
            partition: self.partition.index,
            partitions: self.partition.of,
            stream_created_ns: self.stream_created_ns,
            after: partial.after,
            until: partial.until,
            piece: (1, 1),
        };
        Ok((header, pack(&partial.to_bytes()?)?))
    }
}
