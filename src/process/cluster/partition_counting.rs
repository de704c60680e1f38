//! A worker's thread that counts: takes decoded messages, and says every so often what it has counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc;

use crate::engine::next_rules::NextRules;
use crate::engine::partial::partition_counter::PartitionCounter;
use crate::io::nats::cluster::partial_stream::{self, PartialHeader};
use crate::io::nats::input::Ack;
use crate::io::nats::output::OutRejected;
use crate::model::limits::ROWS_PER_PART_MAX;
use crate::process::cli::replay::stopwatch;
use crate::process::cluster::Partition;
use crate::process::pipeline::decode::{ToEngine, Work};
use crate::process::pipeline::gap_alert;
use crate::process::telemetry::metrics::{Snapshot, Telemetry};

/// How often a worker speaks while events come. The longer it waits, the more rows share a group and cost one state, and the
/// later alerts are.
const SPEAK_EVERY: Duration = Duration::from_millis(500);

/// What is to be stored, in this order.
pub struct ToStore {
    /// Bad lines.
    pub rejected: Vec<OutRejected>,
    /// What was counted.
    pub part: (PartialHeader, Vec<u8>),
    /// Acknowledges the messages.
    pub acker: Option<Ack>,
}

/// The thread's state.
pub struct Folding {
    folder: PartitionCounter,
    partition: Partition,
    born_ns: i64,
    idle_ms: i64,
    telemetry: Arc<Telemetry>,
    snapshot: Snapshot,
    rejected: Vec<OutRejected>,
    acker: Option<Ack>,
    spoke: Instant,
}

impl Folding {
    /// A thread's state around a folder. After `idle_ms` of silence it says how long that has lasted.
    #[expect(clippy::disallowed_methods, reason = "says how messages are gathered; no result depends on it")]
    pub fn new(folder: PartitionCounter, partition: Partition, born_ns: i64, idle_ms: i64, telemetry: Arc<Telemetry>) -> Self {
        Self {
            folder,
            partition,
            born_ns,
            idle_ms,
            telemetry,
            snapshot: Snapshot::default(),
            rejected: Vec::new(),
            acker: None,
            spoke: Instant::now(),
        }
    }

    /// Counts until nothing more comes, then says what is left.
    pub fn run(mut self, mut from_decoder: mpsc::Receiver<ToEngine>, to_store: &mpsc::Sender<ToStore>) {
        let mut until = self.folder.after();
        while let Some(ToEngine { work, progress }) = from_decoder.blocking_recv() {
            until = until.max(progress.sequence);
            self.snapshot.of_progress(progress);
            let silence = match work {
                Work::Events(decoded) => {
                    let took = stopwatch();
                    self.folder.ingest(&decoded.batch, &decoded.sequences);
                    *self.snapshot.stages.entry("evaluate").or_default() += took();
                    self.rejected.extend(decoded.rejected);
                    self.acker = decoded.acker.or(self.acker.take());
                    None
                }
                Work::Idle(silence) => Some(silence.as_millis() as i64),
                Work::Gap(gap) if gap.born_ns != self.born_ns => {
                    let alert = gap_alert::alert(&gap);
                    tracing::error!("{}: begin under another input.consumer, all processes of it", alert.summary);
                    return;
                }
                Work::Gap(gap) => {
                    self.folder.add_self_alert(gap_alert::alert(&gap));
                    None
                }
                Work::Rules(next) => {
                    if !self.set_rules(*next, until, to_store) {
                        return;
                    }
                    continue;
                }
                // Nobody sends these to a worker.
                Work::Part(_) | Work::Topology(..) => None,
            };
            let silence_ms = silence.filter(|silence_ms| *silence_ms >= self.idle_ms);
            let news = until > self.folder.after() || silence_ms.is_some();
            let due = silence.is_some() || self.folder.rows() >= ROWS_PER_PART_MAX || self.spoke.elapsed() >= SPEAK_EVERY;
            if news && due && !self.speak(until, silence_ms, to_store) {
                return;
            }
        }
        if until > self.folder.after() {
            self.speak(until, None, to_store);
        }
    }

    /// Hands on what was counted for the rules before, and says that it counts for others now. Returns whether anybody listens.
    fn set_rules(&mut self, next: NextRules, until: u64, to_store: &mpsc::Sender<ToStore>) -> bool {
        if until > self.folder.after() && !self.speak(until, None, to_store) {
            return false;
        }
        self.folder.set_rules(next);
        tracing::info!(after = until, "counting for other rules from here on");
        self.speak(until, None, to_store)
    }

    /// Says what was counted. Returns whether anybody listens.
    fn speak(&mut self, until: u64, silence_ms: Option<i64>, to_store: &mpsc::Sender<ToStore>) -> bool {
        self.spoke += self.spoke.elapsed();
        self.telemetry.publish(self.snapshot.clone());
        match self.part(until, silence_ms) {
            Ok(part) => {
                let (rejected, acker) = (std::mem::take(&mut self.rejected), self.acker.take());
                to_store.blocking_send(ToStore { rejected, part, acker }).is_ok()
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "what was counted cannot be written: this process ends, the next counts it again"
                );
                false
            }
        }
    }

    fn part(&mut self, until: u64, silence_ms: Option<i64>) -> Result<(PartialHeader, Vec<u8>)> {
        let part = self.folder.flush(until, silence_ms)?;
        let Partition { index, of } = self.partition;
        let (after, until) = (part.after, part.until);
        let head = PartialHeader { partition: index, partitions: of, born_ns: self.born_ns, after, until, piece: (1, 1) };
        Ok((head, partial_stream::pack(&part.to_bytes()?)?))
    }
}
