//! Fingerprints: the identity of an alert, the same on every machine, in every version and after every restart.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::labels::Labels;

/// The identity of an alert: its rule and its label set.
///
/// The first 64 bits of SHA-256 over the rule's name and the sorted pairs, each text led by its length. The lengths matter:
/// with a separator instead, `{a="b,c=d"}` and `{a="b", c="d"}` can collide, a defect seen in the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of `rule` with `labels`.
    pub fn new(rule: &str, labels: &Labels) -> Self {
        let pairs = labels.iter().flat_map(|(key, value)| [key, value]);
        Self(stable_hash(std::iter::once(rule).chain(pairs)))
    }
}

impl fmt::Display for Fingerprint {
    /// Sixteen hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A 64-bit hash of a sequence of texts that never changes between machines or versions.
pub fn stable_hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    digest[..8].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}
