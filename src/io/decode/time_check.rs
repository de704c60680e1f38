//! Which event times are accepted. A wrong time in the far future would close every window before it and make late whatever comes
//! after it.

use std::ops::RangeInclusive;

use crate::io::decode::rejection::RejectReason;
use crate::model::time::{EARLIEST_MS, LATEST_MS, TimestampMs, format_rfc3339};

/// The limit on times ahead of the broker's clock, for one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeCheck {
    /// When the broker received the message; `None` in a replay, which rejects such lines before they are decoded.
    pub(crate) received_at: Option<TimestampMs>,
    /// How far event time may be ahead of it, in milliseconds.
    pub(crate) future_ms: i64,
}

impl TimeCheck {
    /// The times that are accepted.
    pub(crate) fn accepted(self) -> RangeInclusive<TimestampMs> {
        let latest = self.received_at.map_or(LATEST_MS, |at| at.saturating_add(self.future_ms).min(LATEST_MS));
        EARLIEST_MS..=latest
    }

    /// Accepts a time, or returns what is wrong with it.
    pub(crate) fn check(self, ts: TimestampMs) -> Result<(), RejectReason> {
        match self.received_at {
            _ if self.accepted().contains(&ts) => Ok(()),
            Some(received_at) if (EARLIEST_MS..=LATEST_MS).contains(&ts) => Err(RejectReason::Future(format!(
                "`ts` {} lies ahead of the broker's clock, {}",
                format_rfc3339(ts),
                format_rfc3339(received_at)
            ))),
            _ => Err(out_of_range(ts)),
        }
    }
}

fn out_of_range(ts: TimestampMs) -> RejectReason {
    let range = if ts < EARLIEST_MS { "before 1973" } else { "after the year 9999" };
    let as_ms = [("seconds", ts.saturating_mul(1_000)), ("microseconds", ts / 1_000), ("nanoseconds", ts / 1_000_000)];
    let unit = as_ms.into_iter().find(|(_, ms)| (EARLIEST_MS..=LATEST_MS).contains(ms));
    let hint = unit.map(|(unit, _)| format!(", this looks like {unit}")).unwrap_or_default();
    RejectReason::Time(format!("`ts` {ts} lies {range}: it must be Unix milliseconds{hint}"))
}
