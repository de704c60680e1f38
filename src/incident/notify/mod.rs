//! Whether a person is notified of a revision: the answer with its reason ([`decision`]), and how it is found ([`state`]). Every
//! revision gets an answer, for silence as much as for a page.

pub mod decision;
pub mod state;

use serde::Deserialize;

use crate::model::duration;

/// When people are notified. Times in milliseconds of event time.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyParams {
    /// How long the first notification waits for related alerts, so that it can name the cause.
    #[serde(rename = "wait", deserialize_with = "duration::deserialize_ms")]
    pub wait_ms: i64,
    /// How much longer the first notification waits while a dependency of what fails may be failing too.
    #[serde(rename = "hold", deserialize_with = "duration::deserialize_ms")]
    pub hold_ms: i64,
    /// How long a changed cause waits after a notification: rankings settle.
    #[serde(rename = "settle", deserialize_with = "duration::deserialize_ms")]
    pub settle_ms: i64,
    /// How long newly failing entities and new faults wait after a notification.
    #[serde(rename = "interval", deserialize_with = "duration::deserialize_ms")]
    pub interval_ms: i64,
    /// An incident that is still open is notified again after this much silence.
    #[serde(rename = "repeat", deserialize_with = "duration::deserialize_ms")]
    pub repeat_ms: i64,
    /// Reopened this often within an hour, an incident flaps.
    pub flaps: usize,
    /// What returns later than this after it ended is a new failure and no flap.
    #[serde(rename = "flap_within", deserialize_with = "duration::deserialize_ms")]
    pub flap_within_ms: i64,
}

impl Default for NotifyParams {
    fn default() -> Self {
        let minute_ms = 60_000;
        Self {
            wait_ms: minute_ms / 2,
            hold_ms: minute_ms / 2,
            settle_ms: minute_ms,
            interval_ms: 5 * minute_ms,
            repeat_ms: 240 * minute_ms,
            flaps: 3,
            flap_within_ms: 5 * minute_ms,
        }
    }
}
