//! The alerts of one incident, with what is asked of them again and again kept counted: in a storm nobody has time to look at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::HashMap;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::words::fingerprint::Fingerprint;
use crate::words::time::TimestampMs;

/// Alerts by fingerprint, firing or ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Fingerprint, Arc<Alert>>", into = "BTreeMap<Fingerprint, Arc<Alert>>")]
pub(super) struct Members {
    alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    /// How many alerts of each entity fire.
    failing: HashMap<Arc<str>, usize>,
}

impl From<BTreeMap<Fingerprint, Arc<Alert>>> for Members {
    fn from(alerts: BTreeMap<Fingerprint, Arc<Alert>>) -> Self {
        let mut members = Self::default();
        alerts.into_values().for_each(|alert| members.put(alert));
        members
    }
}

impl From<Members> for BTreeMap<Fingerprint, Arc<Alert>> {
    fn from(members: Members) -> Self {
        members.alerts
    }
}

impl Members {
    /// An alert joined, or is another now.
    pub(super) fn put(&mut self, alert: Arc<Alert>) {
        if alert.is_firing() {
            *self.failing.entry(subject(&alert)).or_default() += 1;
        }
        if let Some(before) = self.alerts.insert(alert.fingerprint, alert) {
            self.gone(&before);
        }
    }

    /// An alert leaves.
    pub(super) fn take(&mut self, fingerprint: Fingerprint) -> Option<Arc<Alert>> {
        let taken = self.alerts.remove(&fingerprint)?;
        self.gone(&taken);
        Some(taken)
    }

    fn gone(&mut self, alert: &Alert) {
        let name = alert.subject();
        if alert.is_firing()
            && let Some(count) = self.failing.get_mut(name)
        {
            *count -= 1;
            if *count == 0 {
                self.failing.remove(name);
            }
        }
    }

    /// By fingerprint.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.alerts.values()
    }

    pub(super) fn len(&self) -> usize {
        self.alerts.len()
    }

    pub(super) fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.alerts.contains_key(&fingerprint)
    }

    pub(super) fn is_firing(&self) -> bool {
        !self.failing.is_empty()
    }

    /// How many entities fail now.
    pub(super) fn failing(&self) -> usize {
        self.failing.len()
    }

    pub(super) fn last_end(&self) -> Option<TimestampMs> {
        self.alerts.values().filter_map(|alert| alert.ended_at).max()
    }
}

fn subject(alert: &Alert) -> Arc<str> {
    Arc::clone(alert.entity.as_ref().unwrap_or(&alert.rule))
}
