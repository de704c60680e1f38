//! The watermark: how far event time has come, by the events alone.
//!
//! It trails the latest event by the allowed lateness and never goes back. It moves by message, never by micro-batch, or what counts
//! as late would depend on how messages were batched. While nothing arrives, the caller reports how long the silence has lasted, and
//! event time goes on at that rate: a stream that lies in the past (a backfill, a replay) keeps its own time.
//!
//! Each source's lag behind the broker's timestamps is tracked. A source that lags holds the watermark back, but only so long. A
//! source that is merely quiet does not, since its time is assumed to go on.
//!
//! [`EventTime`] is the watermark without its settings, and part of snapshots as it is.

use serde::{Deserialize, Serialize};

use crate::model::event::{MessageMark, SourceId};
use crate::model::time::TimestampMs;
use crate::window::time::rule_set_start::RuleSetStart;

/// The settings, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkParams {
    /// How much later than the latest event an event may come.
    pub lateness_ms: i64,
    /// After how long without a message a source is idle, by the broker's clock.
    pub idle_ms: i64,
    /// How far a source that lags may hold the watermark back; 0 to ignore sources.
    pub source_wait_ms: i64,
}

/// The watermark of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    params: WatermarkParams,
    time: EventTime,
}

/// How far event time has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventTime {
    min_ts: Option<TimestampMs>,
    max_ts: Option<TimestampMs>,
    /// The watermark.
    now: Option<TimestampMs>,
    /// By id; `None` for a source that is idle or has sent nothing.
    sources: Vec<Option<SourceTime>>,
    /// The active source that lags most, as far as known.
    slowest: Option<SourceId>,
    /// The broker's latest timestamp.
    broker_now: TimestampMs,
}

/// The time of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SourceTime {
    /// The broker's timestamp of its last message.
    received_at: TimestampMs,
    /// Its latest event.
    max_ts: TimestampMs,
}

impl SourceTime {
    /// How far its events lie behind the broker's clock.
    fn lag(&self) -> i64 {
        self.received_at.saturating_sub(self.max_ts)
    }
}

impl Default for EventTime {
    /// Before the first event.
    fn default() -> Self {
        Self { min_ts: None, max_ts: None, now: None, sources: Vec::new(), slowest: None, broker_now: TimestampMs::MIN }
    }
}

impl Watermark {
    /// A watermark before the first event.
    pub fn new(params: WatermarkParams) -> Self {
        Self { params, time: EventTime::default() }
    }

    /// The settings.
    pub fn params(&self) -> WatermarkParams {
        self.params
    }

    /// The state for a snapshot.
    pub fn save(&self) -> EventTime {
        self.time.clone()
    }

    /// The watermark of a snapshot.
    pub fn restore(params: WatermarkParams, mut time: EventTime) -> Self {
        time.slowest = time.slowest.filter(|id| usize::from(*id) < time.sources.len());
        Self { params, time }
    }

    /// The start of rules that are set now.
    pub fn rule_set_start(&self) -> RuleSetStart {
        let now = self.now().unwrap_or(TimestampMs::MIN);
        // Events ahead of the watermark were read as well: a new table does not have them.
        let latest = self.max_ts().map_or(TimestampMs::MIN, |latest| latest.max(now).saturating_add(1));
        RuleSetStart { now, latest }
    }

    /// The watermark: earlier events are late. `None` before the first event.
    pub fn now(&self) -> Option<TimestampMs> {
        self.time.now
    }

    /// The latest event.
    pub fn max_ts(&self) -> Option<TimestampMs> {
        self.time.max_ts
    }

    /// The earliest event of those that were not late.
    pub fn min_ts(&self) -> Option<TimestampMs> {
        self.time.min_ts
    }

    /// The number of active sources, and the one that lags most with its lag.
    pub fn sources(&self) -> (usize, Option<(SourceId, i64)>) {
        let active = self.active().count();
        (active, self.active().max_by_key(|(id, source)| (source.lag(), *id)).map(|(id, source)| (id, source.lag())))
    }

    /// Advances by the events of one message.
    pub fn observe(&mut self, mark: &MessageMark) {
        let (Some(min_ts), Some(max_ts)) = (mark.min_ts, mark.max_ts) else { return };
        let time = &mut self.time;
        // A late event is in no window. It does not make windows complete that start before all others.
        let late = time.now.is_some_and(|now| min_ts < now);
        time.min_ts = Some(time.min_ts.map_or(min_ts, |known| if late { known } else { known.min(min_ts) }));
        let latest = time.max_ts.map_or(max_ts, |known| known.max(max_ts));
        time.max_ts = Some(latest);
        let complete = match mark.received_at {
            Some(received_at) if self.params.source_wait_ms > 0 => {
                self.observe_source(mark.source, SourceTime { received_at, max_ts });
                self.slowest_time(latest).max(latest.saturating_sub(self.params.source_wait_ms))
            }
            _ => latest,
        };
        self.advance_to(complete.saturating_sub(self.params.lateness_ms));
    }

    /// Advances by silence: nothing has arrived for `silence_ms`, and nothing is waiting to be read.
    pub fn observe_silence(&mut self, silence_ms: i64) {
        if let Some(max_ts) = self.time.max_ts {
            self.advance_to(max_ts.saturating_add(silence_ms).saturating_sub(self.params.lateness_ms));
        }
    }

    /// Advances to the last event: the stream has ended, nothing comes late any more.
    pub fn end(&mut self) {
        if let Some(max_ts) = self.time.max_ts {
            self.advance_to(max_ts);
        }
    }

    fn advance_to(&mut self, at: TimestampMs) {
        self.time.now = Some(self.time.now.map_or(at, |now| now.max(at)));
    }

    fn observe_source(&mut self, id: SourceId, message: SourceTime) {
        self.time.broker_now = self.time.broker_now.max(message.received_at);
        let index = usize::from(id);
        if self.time.sources.len() <= index {
            self.time.sources.resize(index + 1, None);
        }
        // A source that was idle begins anew.
        let known = self.time.sources[index].filter(|known| self.is_active(known));
        let max_ts = known.map_or(message.max_ts, |known| known.max_ts.max(message.max_ts));
        let source = SourceTime { max_ts, ..message };
        self.time.sources[index] = Some(source);
        // All sources are compared only when the slowest may have caught up or is idle.
        match self.time.slowest.and_then(|slowest| Some((slowest, self.time.sources[usize::from(slowest)]?))) {
            Some((slowest, known)) if slowest != id && self.is_active(&known) => {
                if source.lag() > known.lag() && self.is_active(&source) {
                    self.time.slowest = Some(id);
                }
            }
            _ => self.find_slowest(),
        }
    }

    /// Compares all sources, and drops those that are idle.
    fn find_slowest(&mut self) {
        let oldest = self.time.broker_now.saturating_sub(self.params.idle_ms);
        for source in &mut self.time.sources {
            *source = source.filter(|source| source.received_at >= oldest);
        }
        self.time.slowest = self.active().max_by_key(|(id, source)| (source.lag(), *id)).map(|(id, _)| id);
    }

    fn is_active(&self, source: &SourceTime) -> bool {
        source.received_at >= self.time.broker_now.saturating_sub(self.params.idle_ms)
    }

    fn active(&self) -> impl Iterator<Item = (SourceId, &SourceTime)> {
        let known = self.time.sources.iter().enumerate().filter_map(|(id, source)| Some((id as SourceId, source.as_ref()?)));
        known.filter(|(_, source)| self.is_active(source))
    }

    /// Where the slowest source is now, if its time went on since its last message.
    fn slowest_time(&self, latest: TimestampMs) -> TimestampMs {
        let slowest = self.time.slowest.and_then(|id| self.time.sources[usize::from(id)]);
        slowest.map_or(latest, |source| self.time.broker_now.saturating_sub(source.lag()).min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::{Watermark, WatermarkParams};
    use crate::model::event::{MessageMark, TABLES};

    fn mark(ts: i64) -> MessageMark {
        MessageMark { rows_end: [0; TABLES], alerts_end: 0, max_ts: Some(ts), min_ts: Some(ts), received_at: None, source: 0 }
    }

    #[test]
    fn a_late_event_is_not_the_first_event() {
        let mut watermark = Watermark::new(WatermarkParams { lateness_ms: 10, idle_ms: 0, source_wait_ms: 0 });
        [100, 95, 120, 109, 3].into_iter().for_each(|ts| watermark.observe(&mark(ts)));
        assert_eq!((watermark.min_ts(), watermark.now()), (Some(95), Some(110)));
    }
}
