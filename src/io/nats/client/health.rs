//! The health of one function of the process: since when it fails, and why. `/readyz` reports it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The health of one function.
#[derive(Debug, Default)]
pub struct Health(Mutex<Option<(Instant, String)>>);

impl Health {
    /// It fails, for this reason. Of several failures in a row the first time and the last reason count.
    pub fn failing(&self, why: String) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *now = Some((since, why));
    }

    /// It works.
    pub fn recovered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// For how long it has failed, and why, if for at least this long.
    pub fn failing_for(&self, at_least: Duration) -> Option<(Duration, String)> {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.as_ref().map(|(since, why)| (since.elapsed(), why.clone())).filter(|(lasting, _)| *lasting >= at_least)
    }
}
