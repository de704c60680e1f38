//! The engine's half: one queue a partition. As far as all partitions have been read, messages follow each other as in the stream.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::partial::result::{MessageTimes, PartialResult};
use crate::model::command::Command;
use crate::model::event::{ExternalAlert, Sources};
use crate::model::time::TimestampMs;

/// The partitions' results, side by side.
#[derive(Clone, Debug, Default)]
pub struct PartitionMerge {
    /// When the stream of events was created that all of them read.
    pub(in crate::engine) born_ns: Option<i64>,
    pub(in crate::engine) partitions: Vec<Partition>,
    pub(in crate::engine) sources: Sources,
    pub(in crate::engine) counts: MergeCounts,
}

/// What became of partial results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeCounts {
    /// Merged.
    pub merged: u64,
    /// Skipped, because they had been merged before.
    pub repeated: u64,
    /// Messages of the stream that are in no result.
    pub gaps: u64,
}

/// One partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::engine) struct Partition {
    /// Where its last result was found, in its reader's order of positions.
    pub(in crate::engine) position: u64,
    /// The last message of the stream that it covers.
    pub(in crate::engine) until: Option<u64>,
    /// How long nothing came after that.
    pub(in crate::engine) silence_ms: Option<i64>,
    /// Messages that other partitions have not reached.
    pub(in crate::engine) waiting: VecDeque<WaitingMessages>,
}

/// The messages of one result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::engine) struct WaitingMessages {
    pub(in crate::engine) sources: Vec<String>,
    pub(in crate::engine) times: VecDeque<MessageTimes>,
    pub(in crate::engine) alerts: VecDeque<ExternalAlert>,
    pub(in crate::engine) commands: VecDeque<Command>,
}

/// One message as a worker counted it.
pub(in crate::engine) struct CountedMessage {
    pub(in crate::engine) times: MessageTimes,
    pub(in crate::engine) alerts: Vec<ExternalAlert>,
    pub(in crate::engine) commands: Vec<Command>,
    /// The name of its source.
    pub(in crate::engine) source: String,
}

/// What is kept over a restart.
#[derive(Serialize, Deserialize)]
pub(in crate::engine) struct PartitionMergeSnapshot {
    born_ns: Option<i64>,
    partitions: Vec<Partition>,
    counts: MergeCounts,
}

impl PartitionMerge {
    /// For so many partitions, of which nothing was read.
    pub(in crate::engine) fn new(partitions: usize) -> Self {
        Self { partitions: vec![Partition::default(); partitions], ..Self::default() }
    }

    /// What became of partial results so far.
    pub fn counts(&self) -> MergeCounts {
        self.counts
    }

    /// Of each partition: where its last result was found, and the last message of the stream that it covers.
    pub fn positions(&self) -> impl Iterator<Item = (u64, Option<u64>)> {
        self.partitions.iter().map(|partition| (partition.position, partition.until))
    }

    /// When the stream of events was created. A result of another stream must not be merged.
    pub fn born_ns(&self) -> Option<i64> {
        self.born_ns
    }

    /// What is to be kept over a restart.
    pub(in crate::engine) fn save(&self) -> PartitionMergeSnapshot {
        PartitionMergeSnapshot { born_ns: self.born_ns, partitions: self.partitions.clone(), counts: self.counts }
    }

    /// Goes on from what was kept. `sources` are the names that the engine knows, by id.
    pub(in crate::engine) fn restore(&mut self, saved: PartitionMergeSnapshot, sources: &Arc<Vec<String>>) {
        let PartitionMergeSnapshot { born_ns, partitions, counts } = saved;
        *self = Self { born_ns, partitions, counts, sources: Sources::known(Arc::clone(sources)) };
    }

    /// Whether a result is the next of its partition. One that is not was merged before, or would count some messages twice.
    pub(in crate::engine) fn is_next(&mut self, partition: usize, partial: &PartialResult) -> bool {
        let Some(until) = self.partitions[partition].until else { return true };
        if partial.after < until {
            self.counts.repeated += 1;
            if partial.until > until {
                tracing::error!(
                    partition = partition + 1,
                    after = partial.after,
                    until = partial.until,
                    "a worker counted messages that were counted before: its result is skipped. Do two workers have the same partition?"
                );
            }
            return false;
        }
        if partial.after > until {
            self.counts.gaps += partial.after - until;
            tracing::error!(
                partition = partition + 1,
                gap = partial.after - until,
                after = until,
                "results of a worker were lost before they were read: alerts may be missing or late"
            );
        }
        true
    }

    /// The last message of the stream that every partition covers.
    pub(in crate::engine) fn common(&self) -> Option<u64> {
        self.partitions.iter().map(|partition| partition.until).min().flatten()
    }

    /// The next message in the order of the stream, up to `common`.
    pub(in crate::engine) fn next(&mut self, common: u64) -> Option<CountedMessage> {
        let first = |partition: &Partition| partition.waiting.front()?.times.front().map(|times| times.sequence);
        let waits = self.partitions.iter_mut().filter(|partition| first(partition).is_some());
        let partition = waits.min_by_key(|partition| first(partition))?;
        let waiting = partition.waiting.front_mut()?;
        let times = waiting.times.pop_front_if(|times| times.sequence <= common)?;
        let alerts = waiting.alerts.drain(..waiting.alerts.len().min(times.alerts as usize)).collect();
        let commands = waiting.commands.drain(..waiting.commands.len().min(times.commands as usize)).collect();
        let source = waiting.sources.get(usize::from(times.source)).cloned().unwrap_or_default();
        if waiting.times.is_empty() {
            partition.waiting.pop_front();
        }
        Some(CountedMessage { times, alerts, commands, source })
    }

    /// A time after every event of the messages that wait: a new table has not counted them.
    pub(in crate::engine) fn latest(&self) -> TimestampMs {
        let waiting = self.partitions.iter().flat_map(|partition| &partition.waiting).flat_map(|waiting| &waiting.times);
        waiting.map(|times| times.max_ts.saturating_add(1)).max().unwrap_or(TimestampMs::MIN)
    }

    /// How long nothing has come in any partition.
    pub(in crate::engine) fn silence_ms(&self) -> Option<i64> {
        let silent = |partition: &Partition| partition.silence_ms.filter(|_| partition.waiting.is_empty());
        self.partitions.iter().map(silent).min().flatten()
    }
}
