//! How alerts become incidents: what an operator sets.

use std::sync::Arc;

/// How alerts become incidents. Times in milliseconds of event time.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelationParams {
    /// How far apart symptoms of one cause may begin: the score of a link falls to 1/e over this.
    pub gap_ms: i64,
    /// How much later than its symptom the alert of a cause may begin: the score falls to 1/e over this.
    pub cause_gap_ms: i64,
    /// An incident older than this takes no new alerts.
    pub lifetime_ms: i64,
    /// How many edges apart two alerts may be.
    pub hops: usize,
    /// A link counts from this score on.
    pub threshold: f64,
    /// How often two entities must have failed together for that to link them; 0 for never.
    pub together: u32,
    /// Labels that link alerts with the same value.
    pub keys: Vec<Arc<str>>,
    /// How long after its last alert an incident is resolved.
    pub resolve_wait_ms: i64,
    /// How long after that the same alert reopens it.
    pub reopen_ms: i64,
}

impl Default for CorrelationParams {
    fn default() -> Self {
        let minute_ms = 60_000;
        Self {
            gap_ms: 5 * minute_ms,
            cause_gap_ms: 3 * minute_ms,
            lifetime_ms: 120 * minute_ms,
            hops: 4,
            threshold: 0.3,
            together: 3,
            keys: Vec::new(),
            resolve_wait_ms: minute_ms,
            reopen_ms: 30 * minute_ms,
        }
    }
}
