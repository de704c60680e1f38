//! The quarantine of a rule that exceeded a limit.
//!
//! It is part of snapshots as it is: a type of its own for them would be the same two fields.

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;

/// Until when a rule is not evaluated, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The end, in event time.
    pub until: TimestampMs,
    /// Which limit was exceeded.
    pub reason: String,
}
