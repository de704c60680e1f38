//! A duration of the settings, in milliseconds.

use serde::{Deserialize, Deserializer};

use crate::model::duration;

/// Written `30s` or `5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationMs(pub i64);

impl<'de> Deserialize<'de> for DurationMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration::parse_ms(&text).map(DurationMs).map_err(serde::de::Error::custom)
    }
}
