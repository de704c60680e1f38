//! The identity of an incident: a hash of what opened it, so that every run over the same events gives the same one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::model::fingerprint::stable_hash;
use crate::model::time::TimestampMs;

/// The identity of an incident: the same in every run over the same events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IncidentId(u64);

impl IncidentId {
    /// The id of the incident that `first` opens: a hash of the alert's identity and start.
    pub fn of_first(first: &Alert) -> Self {
        let parts = [first.fingerprint.to_string(), first.started_at.to_string()];
        Self(stable_hash(parts.iter().map(String::as_str)))
    }

    /// The id of a part that leaves `whole`. Unlike [`Self::of_first`]: the same alert may have opened another incident before.
    pub fn of_part(first: &Alert, whole: &IncidentId, at: TimestampMs) -> Self {
        let parts = [first.fingerprint.to_string(), whole.to_string(), at.to_string()];
        Self(stable_hash(parts.iter().map(String::as_str)))
    }
}

/// The text is no id of an incident.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no incident: write for example inc-0123456789abcdef")]
pub struct BadIncidentId(pub String);

impl FromStr for IncidentId {
    type Err = BadIncidentId;

    fn from_str(text: &str) -> Result<Self, BadIncidentId> {
        let digits = text.strip_prefix("inc-").filter(|it| it.len() == 16 && it.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or_else(|| BadIncidentId(text.to_string()))
    }
}

impl fmt::Display for IncidentId {
    /// `inc-` and sixteen hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("inc-{:016x}", self.0))
    }
}
