//! The watermark: how far event time has come, judged by the events alone.
//!
//! It trails the latest event by the allowed lateness and never goes back. It moves by message, never by micro-batch, or what
//! counts as late would depend on how messages happened to be batched. While nothing arrives, the edges say how long the
//! silence has lasted, and time goes on at that rate: a stream that lies in the past (a backfill, a replay) keeps its own time.
//!
//! Sources are told apart by the broker's stamps: one that lags is waited for, but only so long. A source that is merely quiet
//! holds nothing back, since its time is taken to go on as it did.

use serde::{Deserialize, Serialize};

use crate::model::event::{MessageMark, SourceId};
use crate::model::time::TimestampMs;
use crate::window::state::table_registry::Began;

/// How event time is judged. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkParams {
    /// How much later than the latest event an event may come.
    pub lateness_ms: i64,
    /// After how long without a message a source is not waited for, by the broker's clock.
    pub idle_ms: i64,
    /// How far a source that lags may hold time back; 0 tells sources not apart.
    pub source_wait_ms: i64,
}

/// Tracks event time of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    params: WatermarkParams,
    min_ts: Option<TimestampMs>,
    max_ts: Option<TimestampMs>,
    now: Option<TimestampMs>,
    /// By id; what has never sent, or not for long, is not there.
    sources: Vec<Option<SourceTime>>,
    /// The source that lags most, as far as known: others lag less, or are idle.
    slowest: Option<SourceId>,
    /// The broker's latest stamp.
    stamp: TimestampMs,
}

/// What is kept of time over a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedWatermark {
    min_ts: Option<TimestampMs>,
    max_ts: Option<TimestampMs>,
    now: Option<TimestampMs>,
    sources: Vec<Option<SourceTime>>,
    slowest: Option<SourceId>,
    stamp: TimestampMs,
}

/// What is known of a source's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SourceTime {
    /// The broker's stamp of its last message.
    stamp: TimestampMs,
    /// Its latest event.
    max_ts: TimestampMs,
}

impl SourceTime {
    /// How far its events lie behind the broker's clock.
    fn lag(&self) -> i64 {
        self.stamp.saturating_sub(self.max_ts)
    }
}

impl Watermark {
    /// A watermark before the first event.
    pub fn new(params: WatermarkParams) -> Self {
        Self { params, min_ts: None, max_ts: None, now: None, sources: Vec::new(), slowest: None, stamp: TimestampMs::MIN }
    }

    /// How time is judged.
    pub fn params(&self) -> WatermarkParams {
        self.params
    }

    /// What is to be kept over a restart.
    pub fn save(&self) -> SavedWatermark {
        let Self { min_ts, max_ts, now, sources, slowest, stamp, .. } = self.clone();
        SavedWatermark { min_ts, max_ts, now, sources, slowest, stamp }
    }

    /// Goes on from what was kept.
    pub fn restore(params: WatermarkParams, saved: SavedWatermark) -> Self {
        let SavedWatermark { min_ts, max_ts, now, sources, slowest, stamp } = saved;
        let slowest = slowest.filter(|id| usize::from(*id) < sources.len());
        Self { params, min_ts, max_ts, now, sources, slowest, stamp }
    }

    /// When rules begin that begin now.
    pub fn began(&self) -> Began {
        let now = self.now.unwrap_or(TimestampMs::MIN);
        // Of what came up to now, some lies ahead of the watermark: a table that is new knows nothing of it.
        let latest = self.max_ts.map_or(TimestampMs::MIN, |latest| latest.max(now).saturating_add(1));
        Began { now, latest }
    }

    /// The watermark: no event before it is still awaited. `None` before the first event.
    pub fn now(&self) -> Option<TimestampMs> {
        self.now
    }

    /// The latest event time seen.
    pub fn max_ts(&self) -> Option<TimestampMs> {
        self.max_ts
    }

    /// The earliest event time seen, of events that were not late when they came.
    pub fn min_ts(&self) -> Option<TimestampMs> {
        self.min_ts
    }

    /// How many sources are active, and the one that lags most with its lag.
    pub fn sources(&self) -> (usize, Option<(SourceId, i64)>) {
        let active = self.active().count();
        (active, self.active().max_by_key(|(id, source)| (source.lag(), *id)).map(|(id, source)| (id, source.lag())))
    }

    /// A message has been taken in whole.
    pub fn message(&mut self, mark: &MessageMark) {
        let (Some(min_ts), Some(max_ts)) = (mark.min_ts, mark.max_ts) else { return };
        // What is late belongs to no window, and one stale event does not make windows whole that began before all others.
        let late = self.now.is_some_and(|now| min_ts < now);
        self.min_ts = Some(self.min_ts.map_or(min_ts, |known| if late { known } else { known.min(min_ts) }));
        let latest = self.max_ts.map_or(max_ts, |known| known.max(max_ts));
        self.max_ts = Some(latest);
        let reached = match mark.received_at {
            Some(stamp) if self.params.source_wait_ms > 0 => {
                self.hear(mark.source, stamp, max_ts);
                self.slowest_time(latest).max(latest.saturating_sub(self.params.source_wait_ms))
            }
            _ => latest,
        };
        self.reach(reached.saturating_sub(self.params.lateness_ms));
    }

    /// Nothing has arrived for `silence_ms`, and nothing is waiting to be read.
    pub fn idle(&mut self, silence_ms: i64) {
        if let Some(max_ts) = self.max_ts {
            self.reach(max_ts.saturating_add(silence_ms).saturating_sub(self.params.lateness_ms));
        }
    }

    /// The stream has ended: every window that ends at or before the last event is complete.
    pub fn end(&mut self) {
        if let Some(max_ts) = self.max_ts {
            self.reach(max_ts);
        }
    }

    fn reach(&mut self, at: TimestampMs) {
        self.now = Some(self.now.map_or(at, |known| known.max(at)));
    }

    fn hear(&mut self, id: SourceId, stamp: TimestampMs, max_ts: TimestampMs) {
        self.stamp = self.stamp.max(stamp);
        let index = usize::from(id);
        if self.sources.len() <= index {
            self.sources.resize(index + 1, None);
        }
        // A source that was idle begins anew.
        let known = self.sources[index].filter(|known| self.is_active(known));
        let max_ts = known.map_or(max_ts, |known| known.max_ts.max(max_ts));
        let heard = SourceTime { stamp, max_ts };
        self.sources[index] = Some(heard);
        // Only when the slowest itself may have caught up, or is idle, must all be asked.
        match self.slowest.and_then(|slowest| Some((slowest, self.sources[usize::from(slowest)]?))) {
            Some((slowest, known)) if slowest != id && self.is_active(&known) => {
                if heard.lag() > known.lag() && self.is_active(&heard) {
                    self.slowest = Some(id);
                }
            }
            _ => self.ask_all(),
        }
    }

    /// Finds the slowest anew, and forgets who is idle.
    fn ask_all(&mut self) {
        let oldest = self.stamp.saturating_sub(self.params.idle_ms);
        for source in &mut self.sources {
            *source = source.filter(|source| source.stamp >= oldest);
        }
        self.slowest = self.active().max_by_key(|(id, source)| (source.lag(), *id)).map(|(id, _)| id);
    }

    fn is_active(&self, source: &SourceTime) -> bool {
        source.stamp >= self.stamp.saturating_sub(self.params.idle_ms)
    }

    fn active(&self) -> impl Iterator<Item = (SourceId, &SourceTime)> {
        let known = self.sources.iter().enumerate().filter_map(|(id, source)| Some((id as SourceId, source.as_ref()?)));
        known.filter(|(_, source)| self.is_active(source))
    }

    /// Where the slowest source is now, if its time went on since its last message.
    fn slowest_time(&self, latest: TimestampMs) -> TimestampMs {
        let slowest = self.slowest.and_then(|id| self.sources[usize::from(id)]);
        slowest.map_or(latest, |source| self.stamp.saturating_sub(source.lag()).min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::{Watermark, WatermarkParams};
    use crate::model::event::MessageMark;

    fn mark(ts: i64) -> MessageMark {
        MessageMark { rows_end: [0; 4], alerts_end: 0, max_ts: Some(ts), min_ts: Some(ts), received_at: None, source: 0 }
    }

    #[test]
    fn what_is_late_is_not_the_first_event() {
        let mut watermark = Watermark::new(WatermarkParams { lateness_ms: 10, idle_ms: 0, source_wait_ms: 0 });
        [100, 95, 120, 109, 3].into_iter().for_each(|ts| watermark.message(&mark(ts)));
        assert_eq!((watermark.min_ts(), watermark.now()), (Some(95), Some(110)));
    }
}
