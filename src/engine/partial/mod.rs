//! Work shared by several processes: each worker counts in its part of the events and hands on what it has counted, one engine
//! makes alerts and incidents of it.
//!
//! A [`Part`] is all that a worker has to say of a stretch of the stream: what its messages tell of time, one mark each; panes, whole
//! or not; other systems' alerts and calls that were seen, as they are. The engine puts the parts side by side ([`partition_merge`]), and as
//! far as every worker has read, message follows message as in the stream. So time moves as in one process, to the message, and
//! the same revisions come out, whoever counted which message. A worker ([`partition_counter`]) knows nothing of time and remembers nothing of
//! what it has handed on.
//!
//! Idea: partial aggregation below an exchange (Gray et al., "Data Cube", 1997, on distributive and algebraic functions; the
//! combiner of Dean and Ghemawat, "MapReduce", OSDI 2004); time as a position that all inputs have reached, after Murray et al.,
//! "Naiad" (SOSP 2013).

pub mod partition_counter;
pub mod partition_merge;

use serde::{Deserialize, Serialize};

use crate::engine::self_alert::SelfAlert;
use crate::model::event::{ExternalAlert, MessageMark};
use crate::model::time::TimestampMs;
use crate::topology::observed_calls::Hearsay;
use crate::window::partial::PartialWindows;
use crate::window::snapshot::RestoreError;
use crate::window::snapshot::versioned::Form;

/// The form of the bytes. A form that is not this one is refused.
const FORM: Form = Form { magic: *b"squelchP", version: 1 };

/// What one worker has to say of a stretch of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which stream of events it speaks of: when that was made.
    pub born_ns: i64,
    /// The stretch begins after this message of the stream,
    pub after: u64,
    /// and ends with this one: all messages between that are the worker's are in here.
    pub until: u64,
    /// Nothing has come for so long, and nothing waits to be read.
    pub silence_ms: Option<i64>,
    messages: u64,
    events: u64,
    sources: Vec<String>,
    marks: Vec<PartMark>,
    alerts: Vec<ExternalAlert>,
    /// What the worker has to say by itself: that its input has holes, say.
    own: Vec<SelfAlert>,
    calls: Hearsay,
    /// `None` where no row came: then it says nothing of the worker's rules either.
    windows: Option<PartialWindows>,
}

/// What one message tells of time. Differences instead of numbers: they are small, and small numbers are few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PartMark {
    /// How many messages after the one before.
    further: u64,
    /// How much later its latest event is than that of the one before.
    later_ms: i64,
    /// How much earlier its earliest event is.
    spread_ms: i64,
    /// How much after its latest event the broker took it.
    lag_ms: Option<i64>,
    source: u16,
    /// Other systems' alerts in it.
    alerts: u32,
}

/// A message as the engine sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Marked {
    sequence: u64,
    max_ts: TimestampMs,
    min_ts: TimestampMs,
    received_at: Option<TimestampMs>,
    source: u16,
    alerts: u32,
}

impl Part {
    /// The part as bytes.
    ///
    /// # Errors
    ///
    /// A part that cannot be written: a defect.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RestoreError> {
        FORM.to_bytes(self)
    }

    /// Reads bytes back.
    ///
    /// # Errors
    ///
    /// They are something else, of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RestoreError> {
        FORM.from_bytes(bytes)
    }

    /// Events in it.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn mark(&mut self, last: &mut Option<Marked>, mark: &MessageMark, sequence: u64, source: u16, alerts: u32) {
        let (Some(max_ts), Some(min_ts)) = (mark.max_ts, mark.min_ts) else { return };
        let (before, before_ts) = last.as_ref().map_or((self.after, 0), |last| (last.sequence, last.max_ts));
        self.marks.push(PartMark {
            further: sequence - before,
            later_ms: max_ts - before_ts,
            spread_ms: max_ts - min_ts,
            lag_ms: mark.received_at.map(|stamp| stamp - max_ts),
            source,
            alerts,
        });
        *last = Some(Marked { sequence, max_ts, min_ts, received_at: mark.received_at, source, alerts });
    }

    fn marked(&self) -> impl Iterator<Item = Marked> {
        let (mut sequence, mut max_ts) = (self.after, 0_i64);
        self.marks.iter().map(move |mark| {
            sequence = sequence.saturating_add(mark.further);
            max_ts = max_ts.saturating_add(mark.later_ms);
            Marked {
                sequence,
                max_ts,
                min_ts: max_ts.saturating_sub(mark.spread_ms),
                received_at: mark.lag_ms.map(|lag| max_ts.saturating_add(lag)),
                source: mark.source,
                alerts: mark.alerts,
            }
        })
    }
}
