//! The watermark: how far event time has come, judged by the events alone.
//!
//! It trails the latest event by the allowed lateness and never goes back. It moves by message, never by micro-batch, or what
//! counts as late would depend on how messages happened to be batched. While nothing arrives, the edges say how long the
//! silence has lasted, and time goes on at that rate: a stream that lies in the past (a backfill, a replay) keeps its own time.

use crate::words::event::MessageMark;
use crate::words::time::TimestampMs;

/// Tracks event time of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    lateness_ms: i64,
    min_ts: Option<TimestampMs>,
    max_ts: Option<TimestampMs>,
    now: Option<TimestampMs>,
}

impl Watermark {
    /// A watermark that trails the latest event by `lateness_ms`.
    pub fn new(lateness_ms: i64) -> Self {
        Self { lateness_ms, min_ts: None, max_ts: None, now: None }
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

    /// A message has been taken in whole.
    pub fn message(&mut self, mark: &MessageMark) {
        let (Some(min_ts), Some(max_ts)) = (mark.min_ts, mark.max_ts) else { return };
        // What is late belongs to no window, and one stale event does not make windows whole that began before all others.
        let late = self.now.is_some_and(|now| min_ts < now);
        self.min_ts = Some(self.min_ts.map_or(min_ts, |known| if late { known } else { known.min(min_ts) }));
        self.max_ts = Some(self.max_ts.map_or(max_ts, |known| known.max(max_ts)));
        self.reach(max_ts.saturating_sub(self.lateness_ms));
    }

    /// Nothing has arrived for `silence_ms`, and nothing is waiting to be read.
    pub fn idle(&mut self, silence_ms: i64) {
        if let Some(max_ts) = self.max_ts {
            self.reach(max_ts.saturating_add(silence_ms).saturating_sub(self.lateness_ms));
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
}

#[cfg(test)]
mod tests {
    use super::Watermark;
    use crate::words::event::MessageMark;

    fn mark(ts: i64) -> MessageMark {
        MessageMark { rows_end: [0; 4], alerts_end: 0, max_ts: Some(ts), min_ts: Some(ts), received_at: None }
    }

    #[test]
    fn what_is_late_is_not_the_first_event() {
        let mut watermark = Watermark::new(10);
        [100, 95, 120, 109, 3].into_iter().for_each(|ts| watermark.message(&mark(ts)));
        assert_eq!((watermark.min_ts(), watermark.now()), (Some(95), Some(110)));
    }
}
