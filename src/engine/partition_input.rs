//! The engine's input where workers read the events: their results, merged in the order of the stream.

use std::sync::Arc;

use crate::engine::core::Engine;
use crate::engine::partial::partition_merge::{CountedMessage, PartitionMerge, WaitingMessages};
use crate::engine::partial::result::PartialResult;
use crate::incident::revision::Revision;
use crate::model::event::{MessageMark, TABLES};
use crate::model::time::TimestampMs;

impl Engine {
    /// The engine reads no events itself: `partitions` workers do. Set this before the first input.
    pub fn with_partitions(mut self, partitions: usize) -> Self {
        self.partitions = PartitionMerge::new(partitions);
        if partitions > 0 {
            self.evaluator.set_merger();
        }
        self
    }

    /// The results of partitions, where workers read the events.
    pub fn partitions(&self) -> &PartitionMerge {
        &self.partitions
    }

    /// Merges the next result of a partition, which was found at `position`.
    pub(super) fn ingest_partial(
        &mut self,
        partition: usize,
        position: u64,
        partial: &PartialResult,
        revisions: &mut Vec<Revision>,
    ) {
        if partition >= self.partitions.partitions.len() {
            tracing::error!(partition = partition + 1, "a result of a partition that does not exist: skipped");
            return;
        }
        self.partitions.partitions[partition].position = position;
        if !self.partitions.is_next(partition, partial) {
            return;
        }
        self.partitions.counts.merged += 1;
        self.partitions.born_ns = Some(partial.born_ns);
        self.stats.messages += partial.messages;
        self.stats.events += partial.events;
        if let Some(windows) = &partial.windows {
            let latest = partial.message_times().map(|times| times.max_ts).max().unwrap_or(TimestampMs::MIN);
            self.evaluator.merge_partial(partition, windows, latest);
        }
        partial.calls.replay(&mut self.topology);
        partial.self_alerts.iter().cloned().for_each(|alert| self.raise(alert));
        let queue = &mut self.partitions.partitions[partition];
        (queue.until, queue.silence_ms) = (Some(partial.until), partial.silence_ms);
        if !partial.marks.is_empty() {
            let (sources, times) = (partial.sources.clone(), partial.message_times().collect());
            let (alerts, commands) = (partial.alerts.iter().cloned().collect(), partial.commands.iter().cloned().collect());
            queue.waiting.push_back(WaitingMessages { sources, times, alerts, commands });
        }
        if let Some(common) = self.partitions.common() {
            while let Some(message) = self.partitions.next(common) {
                self.counted_message(message, revisions);
            }
            self.sources = Arc::clone(self.partitions.sources.names());
        }
        if let Some(silence_ms) = self.partitions.silence_ms() {
            self.watermark.observe_silence(silence_ms);
            self.advance(revisions);
        }
    }

    /// A message that a worker counted. From here on it is as if the engine had read it.
    fn counted_message(&mut self, message: CountedMessage, revisions: &mut Vec<Revision>) {
        let CountedMessage { times, alerts, commands, source } = message;
        alerts.into_iter().for_each(|alert| self.await_alert(alert));
        let source = self.partitions.sources.id(&source);
        let of_event = |ts| Some(ts).filter(|_| times.is_timed);
        self.watermark.observe(&MessageMark {
            rows_end: [0; TABLES],
            alerts_end: 0,
            max_ts: of_event(times.max_ts),
            min_ts: of_event(times.min_ts),
            received_at: times.received_at,
            source,
        });
        if self.is_due() {
            self.advance(revisions);
        }
        commands.into_iter().for_each(|command| self.command(command, revisions));
    }
}
