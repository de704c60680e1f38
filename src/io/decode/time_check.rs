//! Which event times are believed. A wrong time in the far future would close every window before it and make late whatever comes
//! after it.

use std::ops::RangeInclusive;

use crate::io::decode::rejection::RejectReason;
use crate::model::limits::{RECORDING_GAP_MS, RECORDING_STRAYS_MAX};
use crate::model::time::{EARLIEST_MS, LATEST_MS, TimestampMs, format_rfc3339};

/// Checks event times.
#[derive(Debug)]
pub(crate) enum TimeCheck {
    /// Against the broker's clock: the time may be ahead by so many milliseconds.
    Broker { future_ms: i64 },
    /// Against the events before it, for recordings, of which no broker says when they were made.
    Recording {
        /// The latest event.
        latest: Option<TimestampMs>,
        /// Events in a row that lie far beyond it.
        strays: usize,
    },
}

impl TimeCheck {
    /// Whether an event of this time is taken.
    pub(crate) fn check(&mut self, ts: TimestampMs, received_at: Option<TimestampMs>) -> Result<(), RejectReason> {
        if ts < EARLIEST_MS {
            return Err(RejectReason::Time(format!(
                "`ts` {ts} lies before 1973: it must be Unix milliseconds, this looks like seconds"
            )));
        }
        if ts > LATEST_MS {
            return Err(RejectReason::Time(format!("`ts` {ts} lies after the year 9999: it must be Unix milliseconds")));
        }
        match self {
            TimeCheck::Broker { future_ms } => {
                let ahead = received_at.filter(|received_at| ts > received_at.saturating_add(*future_ms));
                ahead.map_or(Ok(()), |received_at| {
                    Err(RejectReason::Future(format!(
                        "`ts` {} lies ahead of the broker's clock, {}",
                        format_rfc3339(ts),
                        format_rfc3339(received_at)
                    )))
                })
            }
            TimeCheck::Recording { latest, strays } => {
                if let Some(known) = latest.filter(|latest| ts > latest.saturating_add(RECORDING_GAP_MS)) {
                    *strays += 1;
                    if *strays <= RECORDING_STRAYS_MAX {
                        return Err(RejectReason::Future(format!(
                            "`ts` {} lies more than a year after all events before it, the latest of {}: replay recordings of other \
                             years by themselves",
                            format_rfc3339(ts),
                            format_rfc3339(known)
                        )));
                    }
                }
                *strays = 0;
                *latest = (*latest).max(Some(ts));
                Ok(())
            }
        }
    }

    /// The times that are taken whatever came before; `None` where that matters.
    pub(crate) fn range(&self, received_at: Option<TimestampMs>) -> Option<RangeInclusive<TimestampMs>> {
        match self {
            TimeCheck::Broker { future_ms } => {
                let latest = received_at.map_or(LATEST_MS, |at| at.saturating_add(*future_ms).min(LATEST_MS));
                Some(EARLIEST_MS..=latest)
            }
            TimeCheck::Recording { .. } => None,
        }
    }
}
