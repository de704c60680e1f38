//! Rules that broke a limit.

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;

/// A rule that broke a limit rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Until when, in event time.
    pub until: TimestampMs,
    /// Which limit.
    pub reason: String,
}
