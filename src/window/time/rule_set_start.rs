//! When a set of rules begins to run, in event time.

use crate::model::time::TimestampMs;

/// The start of a set of rules.
#[derive(Clone, Copy, Debug)]
pub struct RuleSetStart {
    /// Ticks up to here were those of the rules before.
    pub now: TimestampMs,
    /// Events up to here are not in a table that is new: they were read before it was there.
    pub latest: TimestampMs,
}

impl Default for RuleSetStart {
    /// Before the first event.
    fn default() -> Self {
        Self { now: TimestampMs::MIN, latest: TimestampMs::MIN }
    }
}
