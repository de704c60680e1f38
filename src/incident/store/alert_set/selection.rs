//! What of an incident's alerts a message has room for, and the exact counts of all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::store::alert_set::AlertSet;
use crate::incident::store::alert_set::subject::{Subject, SubjectAlerts};
use crate::incident::tally::Tally;
use crate::model::fingerprint::Fingerprint;
use crate::model::limits::{ALERTS_PER_MESSAGE_MAX, ENTITIES_PER_MESSAGE_MAX};
use crate::model::severity::Severity;

/// The shares of a message's room, in tenths, that the cause's alerts, what changed, and the newest alerts have at most; the worst get
/// the rest.
const CAUSE_TENTHS: usize = 1;
const CHANGED_TENTHS: usize = 3;
const NEWEST_TENTHS: usize = 1;

impl AlertSet {
    /// The most telling alerts, by start and fingerprint: the cause's, what changed, the newest, and of the others the worst, one of each
    /// rule and entity first.
    pub(crate) fn most_telling(&self, cause: Option<&Arc<str>>, changed: &BTreeSet<Fingerprint>) -> Vec<Arc<Alert>> {
        let mut chosen: BTreeMap<Fingerprint, &Arc<Alert>> = BTreeMap::new();
        if self.alerts.len() <= ALERTS_PER_MESSAGE_MAX {
            chosen.extend(self.alerts.iter().map(|(fingerprint, alert)| (*fingerprint, alert)));
        } else {
            let room = |tenths: usize| ALERTS_PER_MESSAGE_MAX * tenths / 10;
            let of_cause = cause.and_then(|cause| self.subjects.get(&Subject::Entity(Arc::clone(cause))));
            let of_cause = of_cause.into_iter().flat_map(|alerts| alerts.firing.iter().chain(&alerts.ended));
            chosen.extend(of_cause.take(room(CAUSE_TENTHS)).filter_map(|rank| Some((rank.fingerprint, self.get(rank)?))));
            let mut changed: Vec<&Arc<Alert>> = changed.iter().filter_map(|fingerprint| self.alerts.get(fingerprint)).collect();
            changed.sort_by_key(|alert| (!alert.is_firing(), super::Rank::of(alert)));
            chosen.extend(changed.into_iter().take(room(CHANGED_TENTHS)).map(|alert| (alert.fingerprint, alert)));
            let newest = self.newest.iter().rev().take(room(NEWEST_TENTHS));
            chosen.extend(newest.filter_map(|(_, fingerprint)| Some((*fingerprint, self.alerts.get(fingerprint)?))));
            for (_, rank) in self.representatives.iter().chain(&self.order) {
                if chosen.len() >= ALERTS_PER_MESSAGE_MAX {
                    break;
                }
                chosen.extend(self.get(rank).map(|alert| (rank.fingerprint, alert)));
            }
        }
        let mut alerts: Vec<Arc<Alert>> = chosen.into_values().cloned().collect();
        alerts.sort_by_key(|alert| (alert.started_at, alert.fingerprint));
        alerts
    }

    /// Entities by name, with their counts: of too many those that fail, the worst first.
    pub(crate) fn entities(&self) -> Vec<(Arc<str>, Tally)> {
        let failing = self.failing_entities().map(|(entity, _)| entity);
        let all = failing.chain(&self.recovered).take(ENTITIES_PER_MESSAGE_MAX);
        let counted = |entity: &Arc<str>| {
            let alerts = self.subjects.get(&Subject::Entity(Arc::clone(entity)));
            (Arc::clone(entity), alerts.map_or_else(Tally::default, SubjectAlerts::tally))
        };
        let mut entities: Vec<(Arc<str>, Tally)> = all.map(counted).collect();
        // What alerts are about that name no entity is listed by its rule.
        let room = ENTITIES_PER_MESSAGE_MAX - entities.len();
        let rules = self.subjects.iter().filter_map(|(subject, alerts)| match subject {
            Subject::Rule(rule) => Some((Arc::clone(rule), alerts.tally())),
            Subject::Entity(_) => None,
        });
        let mut rules: Vec<(Arc<str>, Tally)> = rules.collect();
        rules.sort_by(|a, b| a.0.cmp(&b.0));
        entities.extend(rules.into_iter().take(room));
        entities.sort_by(|a, b| a.0.cmp(&b.0));
        entities
    }

    /// How many entities alert, or did.
    pub(crate) fn entity_count(&self) -> usize {
        self.subjects.len()
    }

    /// How many alerts fire and have ended, of each severity, those included that are no longer held.
    pub(crate) fn by_severity(&self) -> BTreeMap<Severity, Tally> {
        let mut all = self.severities.clone();
        for (severity, evicted) in &self.evicted.by_severity {
            all.entry(*severity).or_default().ended += evicted;
        }
        all.retain(|_, tally| *tally != Tally::default());
        all
    }

    /// How many alerts of each rule are in the incident and not among these.
    pub(crate) fn left_out_by_rule(&self, chosen: &[Arc<Alert>]) -> BTreeMap<Arc<str>, u64> {
        if chosen.len() == self.alerts.len() && self.evicted.alerts == 0 {
            return BTreeMap::new();
        }
        let held =
            |(rule, alerts): (&Arc<str>, &super::RuleAlerts)| (Arc::clone(rule), alerts.firing.len() as u64 + alerts.ended);
        let mut left: BTreeMap<Arc<str>, u64> = self.rules.iter().map(held).collect();
        self.evicted.by_rule.iter().for_each(|(rule, evicted)| *left.entry(Arc::clone(rule)).or_default() += evicted);
        for alert in chosen {
            if let Some(count) = left.get_mut(&alert.rule) {
                *count -= 1;
            }
        }
        left.retain(|_, count| *count > 0);
        left
    }
}
