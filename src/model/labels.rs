//! Label sets: small sorted maps of text to text that name an alert.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A label set, sorted by key, each key once. Cheap to clone: alerts, incidents and notifications share it.
///
/// An empty value and an absent label are the same thing, as in Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(String, String)]>);

impl Labels {
    /// Builds the set from pairs in any order. Of a repeated key the last pair wins; empty values are left out.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let map: std::collections::BTreeMap<String, String> = pairs.into_iter().collect();
        Self(map.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The value of `key`, or `None` where the set lacks it.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(self.0[at].1.as_str())
    }

    /// The same set without some of its labels: those whose name `keep` says no to.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// The pairs in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether the set has no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Labels {
    /// A list of pairs in key order.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<(String, String)>::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Display for Labels {
    /// `{env="production", service="chat"}`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (key, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{key}={value:?}")?;
        }
        f.write_str("}")
    }
}
