//! A duration as the configuration has it: `30s`, `5m`.

use serde::{Deserialize, Deserializer};

use crate::model::duration;

/// A duration in milliseconds, written `30s` or `5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub i64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration::deserialize_ms(deserializer).map(Millis)
    }
}
