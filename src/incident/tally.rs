//! How many alerts fire and how many have ended.

use serde::{Deserialize, Serialize};

/// Alerts that fire, and alerts that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Alerts that fire.
    pub firing: u64,
    /// Alerts that have ended.
    pub ended: u64,
}
