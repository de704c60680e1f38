//! What a worker hands on, and its form as bytes.

use serde::{Deserialize, Serialize};

use crate::engine::self_alert::SelfAlert;
use crate::model::command::Command;
use crate::model::event::{ExternalAlert, MessageMark};
use crate::model::snapshot::versioned::{RestoreError, StateFormat};
use crate::model::time::TimestampMs;
use crate::topology::observed_calls::ObservedCalls;
use crate::window::partial::PartialWindows;

/// Bytes of another version are refused.
const FORMAT: StateFormat = StateFormat { magic: *b"squelchP", version: 2 };

/// What one worker found in a stretch of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialResult {
    /// When the stream of events was created: tells it from a later one of the same name.
    pub born_ns: i64,
    /// The stretch begins after this message of the stream,
    pub after: u64,
    /// and ends with this one. All of the worker's messages between them are counted.
    pub until: u64,
    /// How long nothing has arrived, where nothing waits to be read.
    pub silence_ms: Option<i64>,
    pub(in crate::engine) messages: u64,
    pub(in crate::engine) events: u64,
    pub(in crate::engine) sources: Vec<String>,
    pub(in crate::engine) marks: Vec<EncodedMark>,
    pub(in crate::engine) alerts: Vec<ExternalAlert>,
    pub(in crate::engine) commands: Vec<Command>,
    /// Alerts of the worker itself, for example that its input has a gap.
    pub(in crate::engine) self_alerts: Vec<SelfAlert>,
    pub(in crate::engine) calls: ObservedCalls,
    /// `None` where no row came: then it does not show the worker's rules either.
    pub(in crate::engine) windows: Option<PartialWindows>,
}

/// The times of one message, as differences to the one before: small numbers take few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct EncodedMark {
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
    /// Commands in it.
    commands: u32,
    /// It has events, and so a time of its own. The others have that of the one before, and are only in their place.
    is_timed: bool,
}

/// The times of one message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct MessageTimes {
    pub(in crate::engine) sequence: u64,
    pub(in crate::engine) max_ts: TimestampMs,
    pub(in crate::engine) min_ts: TimestampMs,
    pub(in crate::engine) received_at: Option<TimestampMs>,
    pub(in crate::engine) source: u16,
    pub(in crate::engine) alerts: u32,
    pub(in crate::engine) commands: u32,
    pub(in crate::engine) is_timed: bool,
}

impl PartialResult {
    /// The result as bytes.
    ///
    /// # Errors
    ///
    /// A result that cannot be written: a defect.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RestoreError> {
        FORMAT.encode(self)
    }

    /// Reads bytes back.
    ///
    /// # Errors
    ///
    /// They are something else, of another version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RestoreError> {
        FORMAT.decode(bytes)
    }

    /// Events in it.
    pub fn events(&self) -> u64 {
        self.events
    }

    pub(in crate::engine) fn mark(
        &mut self,
        last: &mut Option<MessageTimes>,
        mark: &MessageMark,
        sequence: u64,
        source: u16,
        (alerts, commands): (u32, u32),
    ) {
        let is_timed = mark.max_ts.is_some();
        if !is_timed && commands == 0 {
            return;
        }
        let latest = last.as_ref().map_or(0, |last| last.max_ts);
        let (max_ts, min_ts) = (mark.max_ts.unwrap_or(latest), mark.min_ts.unwrap_or(latest));
        let (before, before_ts) = last.as_ref().map_or((self.after, 0), |last| (last.sequence, last.max_ts));
        self.marks.push(EncodedMark {
            further: sequence - before,
            later_ms: max_ts - before_ts,
            spread_ms: max_ts - min_ts,
            lag_ms: mark.received_at.map(|stamp| stamp - max_ts),
            source,
            alerts,
            commands,
            is_timed,
        });
        let received_at = mark.received_at;
        *last = Some(MessageTimes { sequence, max_ts, min_ts, received_at, source, alerts, commands, is_timed });
    }

    pub(in crate::engine) fn message_times(&self) -> impl Iterator<Item = MessageTimes> {
        let (mut sequence, mut max_ts) = (self.after, 0_i64);
        self.marks.iter().map(move |mark| {
            sequence = sequence.saturating_add(mark.further);
            max_ts = max_ts.saturating_add(mark.later_ms);
            MessageTimes {
                sequence,
                max_ts,
                min_ts: max_ts.saturating_sub(mark.spread_ms),
                received_at: mark.lag_ms.map(|lag| max_ts.saturating_add(lag)),
                source: mark.source,
                alerts: mark.alerts,
                commands: mark.commands,
                is_timed: mark.is_timed,
            }
        })
    }
}
