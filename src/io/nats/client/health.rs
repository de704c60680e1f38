//! What does not work at the moment, since when and why: for whoever asks whether the process does its work.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One thing that may not work.
#[derive(Debug, Default)]
pub struct Health(Mutex<Option<(Instant, String)>>);

impl Health {
    /// It does not work, for this reason. The first time counts, the last reason.
    pub fn failing(&self, why: String) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *now = Some((since, why));
    }

    /// It works.
    pub fn recovered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// For how long it has not worked, and why, where that is at least so long.
    pub fn failing_for(&self, at_least: Duration) -> Option<(Duration, String)> {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.as_ref().map(|(since, why)| (since.elapsed(), why.clone())).filter(|(lasting, _)| *lasting >= at_least)
    }
}
