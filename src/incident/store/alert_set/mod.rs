//! The alerts of one incident, with everything that a revision asks for kept up to date: a change costs the logarithm of their number, a
//! revision what it prints. In a storm nobody has time to look at all.
//!
//! Every alert that fires is here: it counts for severity, cause, entities and for how long the incident is open, whether a message has
//! room for it or not. Of alerts that have ended the most telling are kept up to a limit; of the others the counts and the evidence.

mod selection;
pub(crate) mod subject;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::HashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::alert::{Alert, EndReason};
use crate::incident::evidence::{Evidence, Indicators};
use crate::incident::notify::decision::NewFault;
use crate::incident::store::alert_set::subject::{Rank, Subject, SubjectAlerts};
use crate::incident::tally::Tally;
use crate::model::fingerprint::Fingerprint;
use crate::model::limits::ENDED_ALERTS_PER_INCIDENT_MAX;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// Alerts that are looked at for one that another of the same rule and entity stands for, when one has to go.
const EVICTION_LOOKS_MAX: usize = 64;

/// Where an alert stands among all: those that fire first, then by rank.
type Place = (bool, Rank);

/// Alerts by fingerprint, firing or ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlertSet {
    alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    /// In no order: whoever walks through them sorts.
    subjects: HashMap<Subject, SubjectAlerts>,
    /// Subjects that fail, the one with the worst alert first.
    failing: BTreeSet<(Rank, Subject)>,
    /// Entities of which no alert fires any more.
    recovered: BTreeSet<Arc<str>>,
    rules: BTreeMap<Arc<str>, RuleAlerts>,
    severities: BTreeMap<Severity, Tally>,
    /// All, in the order in which they are worth reading.
    order: BTreeSet<Place>,
    /// The first of each rule and subject in that order.
    representatives: BTreeSet<Place>,
    groups: HashMap<(Arc<str>, Subject), BTreeSet<Place>>,
    newest: BTreeSet<(TimestampMs, Fingerprint)>,
    /// Those that ended for another reason than recovery.
    unrecovered: BTreeSet<Rank>,
    last_end: Option<TimestampMs>,
    /// How many alerts joined.
    joined: u64,
    evicted: Evicted,
    unnotified: Unnotified,
    /// How many of the subjects that no notification named fail.
    unnotified_failing: usize,
}

/// The alerts of one rule.
#[derive(Clone, Debug, Default)]
struct RuleAlerts {
    firing: BTreeSet<Rank>,
    ended: u64,
}

/// What is known of ended alerts that are no longer held.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Evicted {
    alerts: u64,
    by_severity: BTreeMap<Severity, u64>,
    by_rule: BTreeMap<Arc<str>, u64>,
}

/// What no notification named yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Unnotified {
    subjects: BTreeSet<Subject>,
    rules: BTreeSet<Arc<str>>,
}

/// Of a subject: how many of its alerts are no longer held, and what those of each peer showed.
type EvictedOf = (Subject, u64, Vec<(Option<Arc<str>>, Indicators)>);

/// A checkpoint's form of the set: what cannot be derived from the alerts, and the alerts.
#[derive(Serialize, Deserialize)]
struct Snapshot<A, E, U> {
    alerts: A,
    joined: u64,
    last_end: Option<TimestampMs>,
    evicted: E,
    evicted_evidence: Vec<EvictedOf>,
    unnotified: U,
}

impl Serialize for AlertSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let snapshot = Snapshot {
            alerts: self.alerts.values().collect::<Vec<_>>(),
            joined: self.joined,
            last_end: self.last_end,
            evicted: &self.evicted,
            evicted_evidence: self.evicted_evidence(),
            unnotified: &self.unnotified,
        };
        snapshot.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AlertSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let saved: Snapshot<Vec<Arc<Alert>>, Evicted, Unnotified> = Snapshot::deserialize(deserializer)?;
        let mut set = Self::default();
        saved.alerts.into_iter().for_each(|alert| {
            set.put(alert);
        });
        for (subject, evicted, evidence) in saved.evicted_evidence {
            set.restore_evicted(&subject, evicted, evidence);
        }
        set.evicted = saved.evicted;
        (set.joined, set.last_end) = (saved.joined, saved.last_end);
        set.unnotified_failing = saved.unnotified.subjects.iter().filter(|subject| set.is_failing(subject)).count();
        set.unnotified = saved.unnotified;
        Ok(set)
    }
}

impl AlertSet {
    /// An alert joined, or changed. Yields the ended alert that had to make room for it.
    pub(crate) fn put(&mut self, alert: Arc<Alert>) -> Option<Arc<Alert>> {
        let before = self.alerts.insert(alert.fingerprint, Arc::clone(&alert));
        let subject = Subject::of(&alert);
        if before.is_none() {
            self.joined += 1;
        }
        if !self.subjects.contains_key(&subject) {
            self.unnotified.subjects.insert(subject.clone());
        }
        if !self.rules.contains_key(&alert.rule) {
            self.unnotified.rules.insert(Arc::clone(&alert.rule));
        }
        if let Some(before) = before {
            self.count_out(&before);
        }
        self.count_in(&alert, subject);
        self.last_end = self.last_end.max(alert.ended_at);
        if alert.is_firing() { None } else { self.evict() }
    }

    /// An alert goes on in another incident.
    pub(crate) fn take(&mut self, fingerprint: Fingerprint) -> Option<Arc<Alert>> {
        let taken = self.alerts.remove(&fingerprint)?;
        self.count_out(&taken);
        self.drop_empty(&taken);
        self.joined -= 1;
        if self.last_end == taken.ended_at {
            self.last_end = self.alerts.values().filter_map(|alert| alert.ended_at).max();
        }
        Some(taken)
    }

    /// Takes over the alerts of an incident that is part of this one now, and what people know of them. Yields those for which there is no
    /// room.
    pub(crate) fn absorb(&mut self, other: AlertSet) -> Vec<Arc<Alert>> {
        let known_subjects: Vec<Subject> =
            other.subjects.keys().filter(|it| !other.unnotified.subjects.contains(it)).cloned().collect();
        let known_rules: Vec<Arc<str>> = other.rules.keys().filter(|it| !other.unnotified.rules.contains(*it)).cloned().collect();
        let evidence = other.evicted_evidence();
        let evicted = other.alerts.into_values().filter_map(|alert| self.put(alert)).collect();
        for (subject, evicted, evidence) in evidence {
            self.restore_evicted(&subject, evicted, evidence);
        }
        self.evicted.alerts += other.evicted.alerts;
        self.joined += other.evicted.alerts;
        other.evicted.by_severity.iter().for_each(|(severity, n)| *self.evicted.by_severity.entry(*severity).or_default() += n);
        other.evicted.by_rule.into_iter().for_each(|(rule, n)| *self.evicted.by_rule.entry(rule).or_default() += n);
        self.last_end = self.last_end.max(other.last_end);
        for subject in known_subjects {
            if self.unnotified.subjects.remove(&subject) && self.is_failing(&subject) {
                self.unnotified_failing -= 1;
            }
        }
        known_rules.iter().for_each(|rule| {
            self.unnotified.rules.remove(rule);
        });
        evicted
    }

    fn count_in(&mut self, alert: &Arc<Alert>, subject: Subject) {
        let rank = Rank::of(alert);
        let place = (!alert.is_firing(), rank);
        let of_subject = self.subjects.entry(subject.clone()).or_default();
        let head = of_subject.firing.first().copied();
        of_subject.add(alert);
        let now = of_subject.firing.first().copied();
        if let (None, Subject::Entity(entity)) = (now, &subject) {
            self.recovered.insert(Arc::clone(entity));
        }
        self.move_failing(&subject, head, now);
        let tally = self.severities.entry(alert.severity).or_default();
        let of_rule = self.rules.entry(Arc::clone(&alert.rule)).or_default();
        if alert.is_firing() {
            tally.firing += 1;
            of_rule.firing.insert(rank);
        } else {
            tally.ended += 1;
            of_rule.ended += 1;
        }
        if alert.ended_because().is_some_and(|because| because != EndReason::Recovered) {
            self.unrecovered.insert(rank);
        }
        self.order.insert(place);
        self.newest.insert((alert.started_at, alert.fingerprint));
        let group = self.groups.entry((Arc::clone(&alert.rule), subject)).or_default();
        let head = group.first().copied();
        group.insert(place);
        if head.is_none_or(|head| place < head) {
            head.map(|head| self.representatives.remove(&head));
            self.representatives.insert(place);
        }
    }

    fn count_out(&mut self, alert: &Arc<Alert>) {
        let rank = Rank::of(alert);
        let place = (!alert.is_firing(), rank);
        let subject = Subject::of(alert);
        if let Some(of_subject) = self.subjects.get_mut(&subject) {
            let head = of_subject.firing.first().copied();
            of_subject.remove(alert);
            let now = of_subject.firing.first().copied();
            self.move_failing(&subject, head, now);
        }
        let tally = self.severities.entry(alert.severity).or_default();
        let of_rule = self.rules.entry(Arc::clone(&alert.rule)).or_default();
        if alert.is_firing() {
            tally.firing -= 1;
            of_rule.firing.remove(&rank);
        } else {
            tally.ended -= 1;
            of_rule.ended -= 1;
        }
        self.unrecovered.remove(&rank);
        self.order.remove(&place);
        self.newest.remove(&(alert.started_at, alert.fingerprint));
        let key = (Arc::clone(&alert.rule), subject);
        if let Some(group) = self.groups.get_mut(&key) {
            let was_head = group.first() == Some(&place);
            group.remove(&place);
            if was_head {
                self.representatives.remove(&place);
                group.first().map(|head| self.representatives.insert(*head));
            }
            if group.is_empty() {
                self.groups.remove(&key);
            }
        }
    }

    /// The worst firing alert of a subject is another, or none.
    fn move_failing(&mut self, subject: &Subject, before: Option<Rank>, now: Option<Rank>) {
        if before == now {
            return;
        }
        before.map(|before| self.failing.remove(&(before, subject.clone())));
        now.map(|now| self.failing.insert((now, subject.clone())));
        if before.is_some() == now.is_some() {
            return;
        }
        let is_new = self.unnotified.subjects.contains(subject);
        match (now.is_some(), subject) {
            (true, Subject::Entity(entity)) => drop(self.recovered.remove(entity)),
            (false, Subject::Entity(entity)) => drop(self.recovered.insert(Arc::clone(entity))),
            (_, Subject::Rule(_)) => {}
        }
        if is_new && now.is_some() {
            self.unnotified_failing += 1;
        } else if is_new {
            self.unnotified_failing -= 1;
        }
    }

    /// Forgets subject and rule of an alert that left, where it was the last of them.
    fn drop_empty(&mut self, alert: &Alert) {
        let subject = Subject::of(alert);
        if self.subjects.get(&subject).is_some_and(SubjectAlerts::is_empty) {
            self.subjects.remove(&subject);
            self.unnotified.subjects.remove(&subject);
            if let Subject::Entity(entity) = &subject {
                self.recovered.remove(entity);
            }
        }
        let is_gone = |rule: &RuleAlerts| rule.firing.is_empty() && rule.ended == 0;
        if self.rules.get(&alert.rule).is_some_and(is_gone) && !self.evicted.by_rule.contains_key(&alert.rule) {
            self.rules.remove(&alert.rule);
            self.unnotified.rules.remove(&alert.rule);
        }
    }

    /// Of more ended alerts than are kept, the one that tells least goes: another of its rule and entity stands for it, or it is the least
    /// severe and the latest. Its counts and its evidence stay.
    fn evict(&mut self) -> Option<Arc<Alert>> {
        let ended = self.alerts.len() - self.firing_alerts();
        if ended <= ENDED_ALERTS_PER_INCIDENT_MAX {
            return None;
        }
        let last = self.order.iter().rev().take(EVICTION_LOOKS_MAX);
        let place = last.clone().find(|place| !self.representatives.contains(place)).or_else(|| self.order.last())?;
        let alert = self.alerts.remove(&place.1.fingerprint)?;
        self.count_out(&alert);
        self.evicted.alerts += 1;
        *self.evicted.by_severity.entry(alert.severity).or_default() += 1;
        *self.evicted.by_rule.entry(Arc::clone(&alert.rule)).or_default() += 1;
        let evidence = Evidence::of(&alert).map(|evidence| (evidence.peer, evidence.indicators));
        self.restore_evicted(&Subject::of(&alert), 1, evidence.into_iter().collect());
        Some(alert)
    }

    fn restore_evicted(&mut self, subject: &Subject, evicted: u64, evidence: Vec<(Option<Arc<str>>, Indicators)>) {
        let of_subject = self.subjects.entry(subject.clone()).or_default();
        of_subject.evicted += evicted;
        if let Subject::Entity(entity) = subject {
            for (peer, indicators) in evidence {
                of_subject.keep_evidence(&Evidence { entity: Arc::clone(entity), peer, indicators });
            }
            if of_subject.firing.is_empty() {
                self.recovered.insert(Arc::clone(entity));
            }
        }
    }

    /// What is known of each subject's alerts that are no longer held, by subject.
    fn evicted_evidence(&self) -> Vec<EvictedOf> {
        let evicted = self.subjects.iter().filter(|(_, alerts)| alerts.evicted > 0);
        let mut all: Vec<EvictedOf> =
            evicted.map(|(subject, alerts)| (subject.clone(), alerts.evicted, alerts.evicted_evidence().collect())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// By fingerprint.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.alerts.values()
    }

    pub(crate) fn find(&self, fingerprint: Fingerprint) -> Option<&Arc<Alert>> {
        self.alerts.get(&fingerprint)
    }

    fn get(&self, rank: &Rank) -> Option<&Arc<Alert>> {
        self.alerts.get(&rank.fingerprint)
    }

    /// What they show of each entity and each edge, in no order.
    pub(crate) fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.subjects.values().flat_map(SubjectAlerts::evidence)
    }

    /// Entities that fail, the one with the worst alert first, each with that alert.
    pub(crate) fn failing_entities(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Alert>)> {
        self.failing.iter().filter_map(|(rank, subject)| match subject {
            Subject::Entity(entity) => Some((entity, self.get(rank)?)),
            Subject::Rule(_) => None,
        })
    }

    /// Entities that failed and do not any more, by name.
    pub(crate) fn recovered_entities(&self) -> &BTreeSet<Arc<str>> {
        &self.recovered
    }

    /// Whether an entity fails now; nothing where no alert is about it.
    pub(crate) fn fails(&self, entity: &Arc<str>) -> Option<bool> {
        self.subjects.get(&Subject::Entity(Arc::clone(entity))).map(|alerts| !alerts.firing.is_empty())
    }

    fn is_failing(&self, subject: &Subject) -> bool {
        self.subjects.get(subject).is_some_and(|alerts| !alerts.firing.is_empty())
    }

    /// The alert about an entity to read first: one that fires, else one that has ended.
    pub(crate) fn worst_of(&self, entity: &Arc<str>) -> Option<&Arc<Alert>> {
        self.get(&self.subjects.get(&Subject::Entity(Arc::clone(entity)))?.worst()?)
    }

    /// The alert to read first: one that fires, else one that has ended.
    pub(crate) fn worst(&self) -> Option<&Arc<Alert>> {
        self.get(&self.order.first()?.1)
    }

    /// The first of each rule and subject that fires, the worst first.
    pub(crate) fn firing_representatives(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.representatives.iter().take_while(|(ended, _)| !ended).filter_map(|(_, rank)| self.get(rank))
    }

    /// The worst alert that ended for another reason than recovery, and how many more did.
    pub(crate) fn worst_unrecovered(&self) -> Option<(&Arc<Alert>, usize)> {
        Some((self.get(self.unrecovered.first()?)?, self.unrecovered.len() - 1))
    }

    /// The most severe alert held.
    pub(crate) fn severity(&self) -> Option<Severity> {
        self.severities.iter().rev().find(|(_, tally)| tally.firing + tally.ended > 0).map(|(severity, _)| *severity)
    }

    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.alerts.len()
    }

    /// How many joined, those included that are no longer held.
    pub(crate) fn joined(&self) -> u64 {
        self.joined
    }

    pub(crate) fn is_firing(&self) -> bool {
        !self.failing.is_empty()
    }

    pub(crate) fn firing_alerts(&self) -> usize {
        self.severities.values().map(|tally| tally.firing as usize).sum()
    }

    pub(crate) fn last_end(&self) -> Option<TimestampMs> {
        self.last_end
    }

    /// When an alert last began, other than this one.
    pub(crate) fn last_start_but(&self, fingerprint: Fingerprint) -> Option<TimestampMs> {
        self.newest.iter().rev().find(|(_, other)| *other != fingerprint).map(|(at, _)| *at)
    }

    /// How many entities fail that no notification named; a rule whose alerts name none counts as one.
    pub(crate) fn unnotified_failing(&self) -> usize {
        self.unnotified_failing
    }

    /// The worst rule that fires, is at least this severe, and was named by no notification; only alerts that `counts` are looked at.
    pub(crate) fn new_fault(&self, least: Severity, counts: &dyn Fn(Fingerprint) -> bool) -> Option<NewFault> {
        let worst = |rule: &Arc<str>| {
            let first = self.rules.get(rule)?.firing.iter().find(|rank| counts(rank.fingerprint)).copied();
            first.filter(|rank| rank.severity() >= least)
        };
        let mut ranks: Vec<Rank> = self.unnotified.rules.iter().filter_map(worst).collect();
        ranks.sort_unstable();
        let alert = self.get(ranks.first()?)?;
        Some(NewFault { rule: Arc::clone(&alert.rule), subject: alert.subject().into(), more: ranks.len() - 1 })
    }

    /// The alert of a fault: the worst of the rule that fires.
    pub(crate) fn worst_of_rule(&self, rule: &Arc<str>) -> Option<&Arc<Alert>> {
        self.get(self.rules.get(rule)?.firing.first()?)
    }

    /// The most severe alert held that `counts`.
    pub(crate) fn severity_of(&self, counts: &dyn Fn(Fingerprint) -> bool) -> Option<Severity> {
        let worst_first = self.order.iter().filter(|(_, rank)| counts(rank.fingerprint)).map(|(_, rank)| rank.severity());
        let mut worst = None;
        for severity in worst_first {
            worst = worst.max(Some(severity));
            if severity == Severity::Critical {
                break;
            }
        }
        worst
    }

    /// How many subjects of which an alert that `counts` fires were named by no notification.
    pub(crate) fn unnotified_failing_of(&self, counts: &dyn Fn(Fingerprint) -> bool) -> usize {
        let fails = |subject: &&Subject| {
            self.subjects.get(*subject).is_some_and(|alerts| alerts.firing.iter().any(|rank| counts(rank.fingerprint)))
        };
        self.unnotified.subjects.iter().filter(fails).count()
    }

    /// People know of everything that is here now.
    pub(crate) fn mark_notified(&mut self) {
        self.unnotified = Unnotified::default();
        self.unnotified_failing = 0;
    }
}
