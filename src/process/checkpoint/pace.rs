//! When the next checkpoint is due. Reads no clock: the caller passes the time.

use std::time::{Duration, Instant};

/// Taking and storing checkpoints may take this part of a processor: one that took long is followed by a longer pause.
const SHARE: u32 = 20;

/// Paces checkpoints.
pub struct Pace {
    every: Duration,
    taken: Instant,
    /// How long taking the last one took.
    took: Duration,
}

impl Pace {
    /// One after `every`, unless that takes too much of the processor.
    pub fn new(every: Duration, now: Instant) -> Self {
        Self { every, taken: now, took: Duration::ZERO }
    }

    /// Whether one is due, where storing the last one took this much processor time.
    pub fn is_due(&self, now: Instant, storing: Duration) -> bool {
        now.saturating_duration_since(self.taken) >= self.every.max((self.took + storing) * SHARE)
    }

    /// One was taken at `now`, which took this long.
    pub fn taken(&mut self, now: Instant, took: Duration) {
        (self.taken, self.took) = (now, took);
    }
}
