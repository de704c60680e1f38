//! How alerts become incidents: what an operator sets.

use std::sync::Arc;

use serde::Deserialize;

use crate::model::duration;

/// How alerts become incidents. Times in milliseconds of event time.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CorrelationParams {
    /// How far apart symptoms of one cause may begin: the score of a link falls to 1/e over this.
    #[serde(rename = "gap", deserialize_with = "duration::deserialize_ms")]
    pub gap_ms: i64,
    /// How much later than its symptom the alert of a cause may begin: the score falls to 1/e over this.
    #[serde(rename = "cause_gap", deserialize_with = "duration::deserialize_ms")]
    pub cause_gap_ms: i64,
    /// An incident older than this takes no new alerts.
    #[serde(rename = "lifetime", deserialize_with = "duration::deserialize_ms")]
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
    #[serde(rename = "resolve_wait", deserialize_with = "duration::deserialize_ms")]
    pub resolve_wait_ms: i64,
    /// How long after that the same alert reopens it.
    #[serde(rename = "reopen", deserialize_with = "duration::deserialize_ms")]
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
