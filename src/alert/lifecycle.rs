//! The life of one rule's alerts: pending, firing, resolved.
//!
//! Prometheus's semantics of `for` and `keep_firing_for` (rules/alerting.go): an alert fires at the first evaluation at least
//! `for` after its first breach; a pending alert that misses one evaluation is forgotten; a firing one that misses goes on for
//! `keep_firing_for`, counted from the first evaluation that missed. Unlike there, a rule that breaches more than its limit
//! keeps the alerts that matter most and counts the rest, and a severity never falls while the alert fires. And unlike there, value and texts
//! come from the same breach: the one with which it fired, or with which its severity last rose. So what a notification quoted stays
//! true when the alert ends.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Change, EndReason, Texts, Transition, entity_of, env_of, peer_of};
use crate::model::fingerprint::Fingerprint;
use crate::model::labels::Labels;
use crate::model::limits::ALERTS_PER_RULE_MAX;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::rule::definition::output_columns::Breach;

/// What a rule's author set for its alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertPolicy {
    /// The rule's name.
    pub rule: Arc<str>,
    /// The severity of breaches that have none of their own.
    pub severity: Severity,
    /// The label that names the entity, where the author chose one.
    pub entity: Option<String>,
    /// The label that names the other end of an edge, where the alerts are about edges.
    pub peer: Option<String>,
    /// The time between two evaluations.
    pub period_ms: i64,
    /// How far each evaluation looks back.
    pub window_ms: i64,
    /// How long a breach must last.
    pub for_ms: i64,
    /// How long an alert keeps firing after its last breach.
    pub keep_firing_for_ms: i64,
    /// The most alerts at once.
    pub alerts_max: usize,
    /// The rule breaches where its value is low: of two rows with the same labels the lower one is worse.
    pub lower_is_worse: bool,
}

impl AlertPolicy {
    /// A policy with the usual limit.
    pub fn new(rule: &str, severity: Severity) -> Self {
        Self {
            rule: rule.into(),
            severity,
            entity: None,
            peer: None,
            period_ms: 0,
            window_ms: 0,
            for_ms: 0,
            keep_firing_for_ms: 0,
            alerts_max: ALERTS_PER_RULE_MAX,
            lower_is_worse: false,
        }
    }

    /// The severity that the row of a breach gives, where it gives one.
    fn own_severity_of(&self, breach: &Breach) -> Option<Severity> {
        breach.severity.as_deref()?.parse().ok()
    }

    fn severity_of(&self, breach: &Breach) -> Severity {
        self.own_severity_of(breach).unwrap_or(self.severity)
    }
}

/// The alerts of one rule.
#[derive(Clone, Debug)]
pub struct RuleAlerts {
    policy: AlertPolicy,
    alerts: BTreeMap<Fingerprint, State>,
    counts: AlertCounts,
}

/// Breaches that could not become an alert, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertCounts {
    /// Breaches over the rule's limit of alerts.
    pub over_limit: u64,
    /// Rows with the same labels as a worse row of the same evaluation.
    pub same_labels: u64,
    /// Rows whose `severity` column holds no severity. The rule's severity was used.
    pub bad_severity: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    Pending {
        since: TimestampMs,
        env: Arc<str>,
        entity: Option<Arc<str>>,
    },
    Firing {
        alert: Arc<Alert>,
        missing_since: Option<TimestampMs>,
        /// The rule was changed after its last breach.
        rule_changed: bool,
    },
}

/// What a restart needs of one rule's alerts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuleAlertsSnapshot {
    alerts: BTreeMap<Fingerprint, State>,
    counts: AlertCounts,
}

impl RuleAlerts {
    /// A rule without alerts.
    pub fn new(policy: AlertPolicy) -> Self {
        Self { policy, alerts: BTreeMap::new(), counts: AlertCounts::default() }
    }

    /// The rules were loaded again. Alerts go on, and the policy applies from the next evaluation. A firing alert keeps its severity
    /// and its entity. If the rule `changed`, an alert that does not breach any more has not recovered.
    pub fn set_policy(&mut self, policy: AlertPolicy, changed: bool) {
        self.policy = policy;
        for state in self.alerts.values_mut() {
            if let State::Firing { rule_changed, .. } = state {
                *rule_changed |= changed;
            }
        }
    }

    /// What a restart needs.
    pub fn save(&self) -> RuleAlertsSnapshot {
        RuleAlertsSnapshot { alerts: self.alerts.clone(), counts: self.counts }
    }

    /// Goes on from a snapshot, under a policy that may have changed.
    pub fn restore(policy: AlertPolicy, saved: RuleAlertsSnapshot) -> Self {
        Self { policy, alerts: saved.alerts, counts: saved.counts }
    }

    /// The rule is not evaluated any more: firing alerts end at `at` for this reason, pending ones are dropped.
    pub fn end_all(&mut self, at: TimestampMs, reason: EndReason) -> Vec<Transition> {
        let ended = |state| match state {
            State::Pending { .. } => None,
            State::Firing { alert, .. } => Some(resolved(&alert, at, reason)),
        };
        std::mem::take(&mut self.alerts).into_values().filter_map(ended).collect()
    }

    /// Entities that may be failing: those of pending alerts. An info alert only announces something.
    pub fn pending<'a>(&'a self, of_env: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
        let fails = self.policy.severity != Severity::Info;
        self.alerts.values().filter_map(move |state| match state {
            State::Pending { env, entity, .. } if fails && env.as_ref() == of_env => entity.as_ref(),
            _ => None,
        })
    }

    /// How many alerts are pending, and how many are firing.
    pub fn pending_and_firing(&self) -> (usize, usize) {
        let firing = self.alerts.values().filter(|state| matches!(state, State::Firing { .. })).count();
        (self.alerts.len() - firing, firing)
    }

    /// Breaches that could not become an alert so far.
    pub fn counts(&self) -> AlertCounts {
        self.counts
    }

    /// One evaluation: the breaches at `at`. The rule has stopped waiting for the label sets in `forgotten`. `texts` renders what an
    /// alert tells a person. Returns what changed, by fingerprint.
    pub fn evaluate(
        &mut self,
        at: TimestampMs,
        breaches: Vec<Breach>,
        forgotten: &BTreeSet<Labels>,
        texts: &dyn Fn(&Breach, Severity) -> Texts,
    ) -> Vec<Transition> {
        let (present, mut transitions) = self.admit(at, breaches);
        let forgotten: BTreeSet<Fingerprint> =
            forgotten.iter().map(|labels| Fingerprint::new(&self.policy.rule, labels)).collect();
        let fingerprints: Vec<Fingerprint> = self.alerts.keys().copied().collect();
        for fingerprint in fingerprints {
            let transition = match present.get(&fingerprint) {
                Some(breach) => self.breached(fingerprint, at, breach, texts),
                None if forgotten.contains(&fingerprint) => self.forgotten(fingerprint, at),
                None => self.missed(fingerprint, at),
            };
            transitions.extend(transition);
        }
        transitions
    }

    /// The breaches that have or get an alert, the worst of each label set, and the alerts that end to make room for them.
    fn admit(&mut self, at: TimestampMs, breaches: Vec<Breach>) -> (BTreeMap<Fingerprint, Breach>, Vec<Transition>) {
        let mut present: BTreeMap<Fingerprint, Breach> = BTreeMap::new();
        for breach in breaches {
            match present.entry(Fingerprint::new(&self.policy.rule, &breach.labels)) {
                Entry::Vacant(slot) => {
                    slot.insert(breach);
                }
                Entry::Occupied(mut slot) => {
                    // Events of one time are rows that their labels do not tell apart; later ones are the same trouble again.
                    self.counts.same_labels += u64::from(breach.ts == slot.get().ts);
                    let began = breach.ts.min(slot.get().ts);
                    if self.is_worse(&breach, slot.get()) {
                        slot.insert(breach);
                    }
                    slot.get_mut().ts = began;
                }
            }
        }
        let mut displaced = Vec::new();
        let mut newcomers = self.newcomers(&present);
        let room = self.policy.alerts_max.saturating_sub(self.alerts.len());
        let over = newcomers.split_off(room.min(newcomers.len()));
        let mut victims = if over.is_empty() { Vec::new() } else { self.least_severe_last(&present) };
        for (severity, fingerprint) in over {
            self.counts.over_limit += 1;
            match victims.pop_if(|(least, _)| *least < severity) {
                Some((_, victim)) => {
                    present.remove(&victim);
                    if let Some(State::Firing { alert, .. }) = self.alerts.remove(&victim) {
                        displaced.push(resolved(&alert, at, EndReason::Displaced));
                    }
                    newcomers.push((severity, fingerprint));
                }
                None => {
                    present.remove(&fingerprint);
                }
            }
        }
        for (_, fingerprint) in newcomers {
            let Some(breach) = present.get(&fingerprint) else { continue };
            let entity = entity_of(&breach.labels, self.policy.entity.as_deref());
            self.alerts.insert(fingerprint, State::Pending { since: breach.ts, env: env_of(&breach.labels), entity });
        }
        (present, displaced)
    }

    /// The breaches without an alert, those that matter most first: by severity, then one of each entity, then by labels.
    fn newcomers(&self, present: &BTreeMap<Fingerprint, Breach>) -> Vec<(Severity, Fingerprint)> {
        let fresh = present.iter().filter(|(fingerprint, _)| !self.alerts.contains_key(fingerprint));
        let mut fresh: Vec<(Severity, &Breach, Fingerprint)> =
            fresh.map(|(fingerprint, breach)| (self.policy.severity_of(breach), breach, *fingerprint)).collect();
        fresh.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.labels.cmp(&b.1.labels)));
        let mut of_entity: BTreeMap<Option<Arc<str>>, usize> = BTreeMap::new();
        let mut ranked: Vec<(Reverse<Severity>, usize, Fingerprint)> = Vec::with_capacity(fresh.len());
        for (severity, breach, fingerprint) in fresh {
            let before = of_entity.entry(entity_of(&breach.labels, self.policy.entity.as_deref())).or_default();
            ranked.push((Reverse(severity), *before, fingerprint));
            *before += 1;
        }
        // Stable: what is equal stays in the order of labels.
        ranked.sort_by_key(|(severity, nth, _)| (*severity, *nth));
        ranked.into_iter().map(|(Reverse(severity), _, fingerprint)| (severity, fingerprint)).collect()
    }

    /// The alerts, those that matter least last: by severity, then one of each entity, then firing ones before pending ones, the earliest,
    /// and the order of labels.
    fn least_severe_last(&self, present: &BTreeMap<Fingerprint, Breach>) -> Vec<(Severity, Fingerprint)> {
        let ranked = self.alerts.iter().map(|(fingerprint, state)| match state {
            State::Firing { alert, .. } => {
                ((Reverse(alert.severity), false, alert.started_at, Some(&alert.labels), *fingerprint), &alert.entity)
            }
            State::Pending { since, entity, .. } => {
                let breach = present.get(fingerprint);
                let severity = breach.map_or(self.policy.severity, |breach| self.policy.severity_of(breach));
                ((Reverse(severity), true, *since, breach.map(|breach| &breach.labels), *fingerprint), entity)
            }
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        let mut of_entity: BTreeMap<&Option<Arc<str>>, usize> = BTreeMap::new();
        let mut ranked: Vec<(Reverse<Severity>, usize, Fingerprint)> = ranked
            .into_iter()
            .map(|((severity, _, _, _, fingerprint), entity)| {
                let nth = of_entity.entry(entity).or_default();
                *nth += 1;
                (severity, *nth, fingerprint)
            })
            .collect();
        // Stable: what is equal stays in the order above.
        ranked.sort_by_key(|(severity, nth, _)| (*severity, *nth));
        ranked.into_iter().map(|(Reverse(severity), _, fingerprint)| (severity, fingerprint)).collect()
    }

    /// Whether a breach is worse than another one with the same labels. The order of rows must not decide.
    fn is_worse(&self, breach: &Breach, other: &Breach) -> bool {
        let by_value = match self.policy.lower_is_worse {
            true => other.value.total_cmp(&breach.value),
            false => breach.value.total_cmp(&other.value),
        };
        let severity = |breach| self.policy.severity_of(breach);
        let order = severity(breach).cmp(&severity(other)).then_with(|| match (breach.score(), other.score()) {
            (Some(mine), Some(theirs)) => mine.total_cmp(&theirs).then(by_value),
            _ => by_value,
        });
        order.then_with(|| other.in_order(breach)).is_gt()
    }

    fn breached(
        &mut self,
        fingerprint: Fingerprint,
        at: TimestampMs,
        breach: &Breach,
        texts: &dyn Fn(&Breach, Severity) -> Texts,
    ) -> Option<Transition> {
        self.counts.bad_severity += u64::from(breach.severity.is_some() && self.policy.own_severity_of(breach).is_none());
        let severity = self.policy.severity_of(breach);
        let state = self.alerts.get_mut(&fingerprint)?;
        match state {
            State::Pending { since, .. } if at - *since < self.policy.for_ms => None,
            State::Pending { since, env, entity } => {
                let alert = Arc::new(Alert {
                    fingerprint,
                    rule: Arc::clone(&self.policy.rule),
                    severity,
                    env: Arc::clone(env),
                    peer: peer_of(&breach.labels, self.policy.peer.as_deref(), entity.as_deref()),
                    entity: entity.clone(),
                    labels: breach.labels.clone(),
                    value: breach.value,
                    score: breach.score(),
                    started_at: *since,
                    period_ms: self.policy.period_ms,
                    window_ms: self.policy.window_ms,
                    fired_at: at,
                    ended_at: None,
                    end_reason: EndReason::default(),
                    texts: texts(breach, severity),
                });
                *state = State::Firing { alert: Arc::clone(&alert), missing_since: None, rule_changed: false };
                Some(Transition { change: Change::Fired, alert })
            }
            State::Firing { alert, missing_since, rule_changed } => {
                (*missing_since, *rule_changed) = (None, false);
                if severity <= alert.severity {
                    return None;
                }
                *alert = Arc::new(Alert {
                    value: breach.value,
                    score: breach.score(),
                    severity,
                    texts: texts(breach, severity),
                    ..alert.as_ref().clone()
                });
                Some(Transition { change: Change::Escalated, alert: Arc::clone(alert) })
            }
        }
    }

    fn missed(&mut self, fingerprint: Fingerprint, at: TimestampMs) -> Option<Transition> {
        match self.alerts.get_mut(&fingerprint)? {
            State::Pending { .. } => {
                self.alerts.remove(&fingerprint);
                None
            }
            State::Firing { alert, missing_since, rule_changed } => {
                if at - *missing_since.get_or_insert(at) < self.policy.keep_firing_for_ms {
                    return None;
                }
                let reason = if *rule_changed { EndReason::RuleChanged } else { EndReason::Recovered };
                let ended = resolved(alert, at, reason);
                self.alerts.remove(&fingerprint);
                Some(ended)
            }
        }
    }

    /// The rule stops waiting for what is missing. `keep_firing_for` does not apply: it waits for a breach, and none can come.
    fn forgotten(&mut self, fingerprint: Fingerprint, at: TimestampMs) -> Option<Transition> {
        match self.alerts.remove(&fingerprint)? {
            State::Pending { .. } => None,
            State::Firing { alert, .. } => Some(resolved(&alert, at, EndReason::Forgotten)),
        }
    }
}

fn resolved(alert: &Alert, at: TimestampMs, reason: EndReason) -> Transition {
    Transition { change: Change::Resolved, alert: Arc::new(alert.ended(at, reason)) }
}
