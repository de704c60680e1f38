//! What one rule has done so far, for summaries and metrics.
//!
//! The counts are part of snapshots as they are: a type of its own for them would repeat every field.

use serde::{Deserialize, Serialize};

/// A stopwatch for the cost of rules: nanoseconds since any fixed instant. No result depends on it.
pub type CostClock = fn() -> u64;

/// Counts of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleStats {
    /// Rows that passed its filters.
    pub rows: u64,
    /// Rows that came too late for their pane.
    pub late: u64,
    /// Rows whose group or label set found no room.
    pub overflow: u64,
    /// Evaluations.
    pub ticks: u64,
    /// Rows that were breaches.
    pub breaches: u64,
    /// Evaluations that failed.
    pub errors: u64,
    /// How often it exceeded a limit and was quarantined.
    pub quarantines: u64,
    /// Time spent on it, in nanoseconds. Rules share the cost of a table.
    pub spent_ns: u64,
}
