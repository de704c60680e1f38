//! What the intake counts: requests and their bytes, by system, format and outcome.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counted {
    /// Whose way of sending it was.
    pub system: &'static str,
    /// The format; `none` where it is not known.
    pub format: &'static str,
    /// `stored`, or why not.
    pub outcome: &'static str,
}

/// Requests, and bytes of their bodies as sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests; of syslog, messages to the stream.
    pub requests: u64,
    /// Bytes.
    pub bytes: u64,
}

/// All counts since the start.
#[derive(Debug, Default)]
pub struct IntakeStats(Mutex<BTreeMap<Counted, Count>>);

impl IntakeStats {
    /// Counts one request.
    pub fn count(&self, counted: Counted, bytes: usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(counted).or_default();
        count.requests += 1;
        count.bytes += bytes as u64;
    }

    /// The counts so far.
    pub fn counts(&self) -> BTreeMap<Counted, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
