//! The engine's half: one lane a partition. As far as all lanes have come, messages follow each other as in the stream.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::engine::partial::{Marked, Part};
use crate::incident::Revision;
use crate::model::event::{ExternalAlert, MessageMark, Sources};
use crate::model::time::TimestampMs;

/// The partitions' parts, side by side.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    /// Which stream of events all speak of.
    born_ns: Option<i64>,
    lanes: Vec<Lane>,
    sources: Sources,
    counts: LaneCounts,
}

/// What became of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneCounts {
    /// Taken in.
    pub parts: u64,
    /// Had been taken in before: left out.
    pub repeated: u64,
    /// Messages of the stream of events that no part speaks of.
    pub gaps: u64,
}

/// One partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::engine) struct Lane {
    /// Where its last part was found, in whatever order of places its reader knows.
    place: u64,
    /// Up to which message of the stream it has spoken.
    until: Option<u64>,
    /// How long it has been silent since.
    silence_ms: Option<i64>,
    /// Messages that other lanes have not come to.
    waiting: VecDeque<Waiting>,
}

/// The messages of one part.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    sources: Vec<String>,
    marks: VecDeque<Marked>,
    alerts: VecDeque<ExternalAlert>,
}

/// What is kept of the lanes over a restart.
#[derive(Serialize, Deserialize)]
pub(in crate::engine) struct SavedLanes {
    born_ns: Option<i64>,
    lanes: Vec<Lane>,
    counts: LaneCounts,
}

impl Lanes {
    fn new(partitions: usize) -> Self {
        Self { lanes: vec![Lane::default(); partitions], ..Self::default() }
    }

    /// What became of parts so far.
    pub fn counts(&self) -> LaneCounts {
        self.counts
    }

    /// Of each partition: where its last part was found, and up to which message of the stream it has spoken.
    pub fn places(&self) -> impl Iterator<Item = (u64, Option<u64>)> {
        self.lanes.iter().map(|lane| (lane.place, lane.until))
    }

    /// Which stream of events they speak of: when it was made. A part of another one must not be taken in.
    pub fn born_ns(&self) -> Option<i64> {
        self.born_ns
    }

    /// What is to be kept over a restart.
    pub(in crate::engine) fn save(&self) -> SavedLanes {
        SavedLanes { born_ns: self.born_ns, lanes: self.lanes.clone(), counts: self.counts }
    }

    /// Goes on from what was kept. `sources` are the names that the engine knows, by id.
    pub(in crate::engine) fn restore(&mut self, saved: SavedLanes, sources: &Arc<Vec<String>>) {
        let SavedLanes { born_ns, lanes, counts } = saved;
        *self = Self { born_ns, lanes, counts, sources: Sources::known(Arc::clone(sources)) };
    }

    /// Whether a part is the next of its lane. One that is not was taken before, or would count some messages twice.
    fn is_next(&mut self, partition: usize, part: &Part) -> bool {
        let Some(until) = self.lanes[partition].until else { return true };
        if part.after < until {
            self.counts.repeated += 1;
            if part.until > until {
                tracing::error!(
                    partition = partition + 1,
                    after = part.after,
                    until = part.until,
                    "a worker speaks of messages that were counted before: left out. Do two have one partition?"
                );
            }
            return false;
        }
        if part.after > until {
            self.counts.gaps += part.after - until;
            tracing::error!(
                partition = partition + 1,
                gap = part.after - until,
                after = until,
                "what a worker said was lost before it was read: alerts may be missing or late"
            );
        }
        true
    }

    /// Up to which message every lane has spoken.
    fn common(&self) -> Option<u64> {
        self.lanes.iter().map(|lane| lane.until).min().flatten()
    }

    /// The next message of all lanes that every lane has come to, with its alerts and the name of its source.
    fn next(&mut self, common: u64) -> Option<(Marked, Vec<ExternalAlert>, String)> {
        let first = |lane: &Lane| lane.waiting.front()?.marks.front().map(|mark| mark.sequence);
        let lane = self.lanes.iter_mut().filter(|lane| first(lane).is_some()).min_by_key(|lane| first(lane))?;
        let waiting = lane.waiting.front_mut()?;
        let mark = waiting.marks.pop_front_if(|mark| mark.sequence <= common)?;
        let alerts = waiting.alerts.drain(..waiting.alerts.len().min(mark.alerts as usize)).collect();
        let source = waiting.sources.get(usize::from(mark.source)).cloned().unwrap_or_default();
        if waiting.marks.is_empty() {
            lane.waiting.pop_front();
        }
        Some((mark, alerts, source))
    }

    /// After the latest event of all messages that wait: a table that is new knows nothing of them.
    pub(in crate::engine) fn latest(&self) -> TimestampMs {
        let waiting = self.lanes.iter().flat_map(|lane| &lane.waiting).flat_map(|waiting| &waiting.marks);
        waiting.map(|mark| mark.max_ts.saturating_add(1)).max().unwrap_or(TimestampMs::MIN)
    }

    /// How long all lanes have been silent.
    fn silence_ms(&self) -> Option<i64> {
        let silent = |lane: &Lane| lane.silence_ms.filter(|_| lane.waiting.is_empty());
        self.lanes.iter().map(silent).min().flatten()
    }
}

impl Engine {
    /// The engine reads no events itself: `partitions` workers do. To be said before anything is taken in.
    pub fn with_partitions(mut self, partitions: usize) -> Self {
        self.lanes = Lanes::new(partitions);
        if partitions > 0 {
            self.evaluator.counted_by_others();
        }
        self
    }

    /// The partitions, where others read the events.
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Takes in the next part of a partition, which was found at `place`.
    pub(in crate::engine) fn take_part(&mut self, partition: usize, place: u64, part: &Part, revisions: &mut Vec<Revision>) {
        if partition >= self.lanes.lanes.len() {
            tracing::error!(partition = partition + 1, "a part of a partition that there is not: left out");
            return;
        }
        self.lanes.lanes[partition].place = place;
        if !self.lanes.is_next(partition, part) {
            return;
        }
        self.lanes.counts.parts += 1;
        self.lanes.born_ns = Some(part.born_ns);
        self.stats.messages += part.messages;
        self.stats.events += part.events;
        if let Some(windows) = &part.windows {
            let latest = part.marked().map(|mark| mark.max_ts).max().unwrap_or(TimestampMs::MIN);
            self.evaluator.absorb(partition, windows, latest);
        }
        part.calls.tell(&mut self.topology);
        part.own.iter().cloned().for_each(|alert| self.raise(alert));
        let lane = &mut self.lanes.lanes[partition];
        (lane.until, lane.silence_ms) = (Some(part.until), part.silence_ms);
        if !part.marks.is_empty() {
            let (sources, alerts) = (part.sources.clone(), part.alerts.iter().cloned().collect());
            lane.waiting.push_back(Waiting { sources, marks: part.marked().collect(), alerts });
        }
        if let Some(common) = self.lanes.common() {
            while let Some((mark, alerts, source)) = self.lanes.next(common) {
                self.message_of_part(&mark, alerts, &source, revisions);
            }
            self.sources = Arc::clone(self.lanes.sources.names());
        }
        if let Some(silence_ms) = self.lanes.silence_ms() {
            self.watermark.idle(silence_ms);
            self.advance(revisions);
        }
    }

    /// A message that was counted in elsewhere: from here on as in the engine's own reading.
    fn message_of_part(&mut self, mark: &Marked, alerts: Vec<ExternalAlert>, source: &str, revisions: &mut Vec<Revision>) {
        alerts.into_iter().for_each(|alert| self.await_alert(alert));
        let source = self.lanes.sources.id(source);
        self.watermark.message(&MessageMark {
            rows_end: [0; 4],
            alerts_end: 0,
            max_ts: Some(mark.max_ts),
            min_ts: Some(mark.min_ts),
            received_at: mark.received_at,
            source,
        });
        if self.is_due() {
            self.advance(revisions);
        }
    }
}
