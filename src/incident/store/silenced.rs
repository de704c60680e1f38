//! Which alerts of one incident are silenced, and by what. A change costs the logarithm of their number, and the answer to whether all
//! that fires is silenced costs nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::incident::silence::SilenceNotice;
use crate::model::command::CommandId;
use crate::model::fingerprint::Fingerprint;

/// The silenced alerts of one incident. An alert that ended while it was silenced stays one: nobody is to be notified of it later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SilencedAlerts {
    alerts: BTreeMap<Fingerprint, SilencedAlert>,
    /// How many alerts fire under the same silences.
    groups: BTreeMap<Vec<CommandId>, usize>,
    /// What is said of each silence in a group.
    notices: BTreeMap<CommandId, SilenceNotice>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SilencedAlert {
    is_firing: bool,
    silences: Vec<CommandId>,
}

impl SilencedAlerts {
    pub(crate) fn is_empty(&self) -> bool {
        self.alerts.is_empty()
    }

    /// An alert fires under these silences; under none where the list is empty.
    pub(crate) fn fires(&mut self, fingerprint: Fingerprint, silences: Vec<CommandId>) {
        self.remove(fingerprint);
        if !silences.is_empty() {
            *self.groups.entry(silences.clone()).or_default() += 1;
            self.alerts.insert(fingerprint, SilencedAlert { is_firing: true, silences });
        }
    }

    /// An alert ended.
    pub(crate) fn ends(&mut self, fingerprint: Fingerprint) {
        if let Some(alert) = self.alerts.get_mut(&fingerprint)
            && std::mem::take(&mut alert.is_firing)
        {
            decrement(&mut self.groups, &alert.silences);
        }
    }

    /// An alert is no longer here.
    pub(crate) fn remove(&mut self, fingerprint: Fingerprint) {
        if let Some(alert) = self.alerts.remove(&fingerprint).filter(|alert| alert.is_firing) {
            decrement(&mut self.groups, &alert.silences);
        }
    }

    /// Takes an alert out, with what silences it, for another incident.
    pub(crate) fn move_to(&mut self, fingerprint: Fingerprint, other: &mut SilencedAlerts) {
        if let Some(alert) = self.alerts.get(&fingerprint).cloned() {
            self.remove(fingerprint);
            let known = self.notices.iter().filter(|(id, _)| alert.silences.contains(id));
            other.notices.extend(known.map(|(id, notice)| (*id, notice.clone())));
            if alert.is_firing {
                *other.groups.entry(alert.silences.clone()).or_default() += 1;
            }
            other.alerts.insert(fingerprint, alert);
        }
    }

    /// Takes over all alerts of an incident that is part of this one now.
    pub(crate) fn absorb(&mut self, mut other: SilencedAlerts) {
        let all: Vec<Fingerprint> = other.alerts.keys().copied().collect();
        all.into_iter().for_each(|fingerprint| other.move_to(fingerprint, self));
    }

    /// What is said of a silence from here on.
    pub(crate) fn know(&mut self, notice: &SilenceNotice) {
        self.notices.insert(notice.id, notice.clone());
    }

    /// Forgets what is said of silences under which nothing fires.
    pub(crate) fn forget_unused(&mut self) {
        let groups = &self.groups;
        self.notices.retain(|id, _| groups.keys().any(|silences| silences.contains(id)));
    }

    /// The alerts that fire under a silence.
    pub(crate) fn firing_under(&self, id: &CommandId) -> Vec<Fingerprint> {
        let under = |(_, alert): &(&Fingerprint, &SilencedAlert)| alert.is_firing && alert.silences.contains(id);
        self.alerts.iter().filter(under).map(|(fingerprint, _)| *fingerprint).collect()
    }

    /// Whether an alert is silenced, or was when it ended.
    pub(crate) fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.alerts.contains_key(&fingerprint)
    }

    /// The silences of an alert that fires.
    pub(crate) fn silences_of(&self, fingerprint: Fingerprint) -> &[CommandId] {
        self.alerts.get(&fingerprint).filter(|alert| alert.is_firing).map_or(&[], |alert| alert.silences.as_slice())
    }

    /// How many alerts fire silenced.
    pub(crate) fn firing(&self) -> usize {
        self.groups.values().sum()
    }

    /// The silences under which anything fires, the one that lasts longest first.
    pub(crate) fn notices(&self) -> Vec<SilenceNotice> {
        let mut all: Vec<SilenceNotice> =
            self.notices.values().filter(|notice| self.groups.keys().any(|it| it.contains(&notice.id))).cloned().collect();
        all.sort_by(|a, b| if a.outlasts(b) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater });
        all
    }

    /// The silence that ends first for some alert. Of several for one alert the longest counts.
    pub(crate) fn first_to_end(&self) -> Option<&SilenceNotice> {
        let longest = |silences: &Vec<CommandId>| {
            let known = silences.iter().filter_map(|id| self.notices.get(id));
            known.reduce(|longest, notice| if notice.outlasts(longest) { notice } else { longest })
        };
        self.groups.keys().filter_map(longest).reduce(|first, notice| if first.outlasts(notice) { notice } else { first })
    }
}

fn decrement(groups: &mut BTreeMap<Vec<CommandId>, usize>, silences: &Vec<CommandId>) {
    if let Some(count) = groups.get_mut(silences) {
        *count -= 1;
        if *count == 0 {
            groups.remove(silences);
        }
    }
}
