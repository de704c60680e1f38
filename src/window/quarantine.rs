//! Rules that broke a limit.

use crate::words::time::TimestampMs;

/// A rule that broke a limit rests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Until when, in event time.
    pub until: TimestampMs,
    /// Which limit.
    pub reason: String,
}
