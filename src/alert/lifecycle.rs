//! The life of one rule's alerts: pending, firing, resolved.
//!
//! Prometheus's semantics of `for` and `keep_firing_for` (rules/alerting.go): an alert fires at the first evaluation at least
//! `for` after its first breach; a pending alert that misses one evaluation is forgotten; a firing one that misses goes on for
//! `keep_firing_for`, counted from the first evaluation that missed. Unlike there, a rule that breaches more than its limit
//! keeps the first alerts and counts the rest, and a severity never falls while the alert fires. And unlike there, value and texts
//! come from the same breach: the one with which it fired, or with which its severity last rose. So what a notification quoted stays
//! true when the alert ends.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Change, EndReason, Texts, Transition, entity_of, env_of, peer_of};
use crate::model::fingerprint::Fingerprint;
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
        }
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
    /// Breaches with the same labels as another row of the same evaluation.
    pub same_labels: u64,
    /// Rows whose `severity` column holds no severity. The rule's severity was used.
    pub bad_severity: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    Pending { since: TimestampMs, env: Arc<str>, entity: Option<Arc<str>> },
    Firing { alert: Arc<Alert>, missing_since: Option<TimestampMs> },
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

    /// The author changed the rule. Alerts go on, and the new policy applies from the next evaluation. A firing alert keeps its
    /// severity and its entity.
    pub fn set_policy(&mut self, policy: AlertPolicy) {
        self.policy = policy;
    }

    /// What a restart needs.
    pub fn save(&self) -> RuleAlertsSnapshot {
        RuleAlertsSnapshot { alerts: self.alerts.clone(), counts: self.counts }
    }

    /// Goes on from a snapshot, under a policy that may have changed.
    pub fn restore(policy: AlertPolicy, saved: RuleAlertsSnapshot) -> Self {
        Self { policy, alerts: saved.alerts, counts: saved.counts }
    }

    /// The rule is gone: firing alerts end at `at`, pending ones are dropped.
    pub fn end_all(self, at: TimestampMs) -> Vec<Transition> {
        let ended = |state| match state {
            State::Pending { .. } => None,
            State::Firing { alert, .. } => {
                let ended = alert.ended(at, EndReason::RuleRemoved);
                Some(Transition { change: Change::Resolved, alert: Arc::new(ended) })
            }
        };
        self.alerts.into_values().filter_map(ended).collect()
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

    /// One evaluation: the breaches at `at`, in the order of the result. `texts` renders what an alert tells a person. Returns
    /// what changed, by fingerprint.
    pub fn evaluate(
        &mut self,
        at: TimestampMs,
        breaches: Vec<Breach>,
        texts: &dyn Fn(&Breach, Severity) -> Texts,
    ) -> Vec<Transition> {
        let mut present: BTreeMap<Fingerprint, Breach> = BTreeMap::new();
        for breach in breaches {
            let fingerprint = Fingerprint::new(&self.policy.rule, &breach.labels);
            let slot = match present.entry(fingerprint) {
                Entry::Vacant(slot) => slot,
                Entry::Occupied(_) => {
                    self.counts.same_labels += 1;
                    continue;
                }
            };
            if !self.alerts.contains_key(&fingerprint) && self.alerts.len() >= self.policy.alerts_max {
                self.counts.over_limit += 1;
            } else {
                self.alerts.entry(fingerprint).or_insert_with(|| State::Pending {
                    since: breach.ts,
                    env: env_of(&breach.labels),
                    entity: entity_of(&breach.labels, self.policy.entity.as_deref()),
                });
                slot.insert(breach);
            }
        }
        let mut transitions = Vec::new();
        let fingerprints: Vec<Fingerprint> = self.alerts.keys().copied().collect();
        for fingerprint in fingerprints {
            let transition = match present.get(&fingerprint) {
                Some(breach) => self.breached(fingerprint, at, breach, texts),
                None => self.missed(fingerprint, at),
            };
            transitions.extend(transition);
        }
        transitions
    }

    fn breached(
        &mut self,
        fingerprint: Fingerprint,
        at: TimestampMs,
        breach: &Breach,
        texts: &dyn Fn(&Breach, Severity) -> Texts,
    ) -> Option<Transition> {
        let severity = self.severity_of(breach);
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
                *state = State::Firing { alert: Arc::clone(&alert), missing_since: None };
                Some(Transition { change: Change::Fired, alert })
            }
            State::Firing { alert, missing_since } => {
                *missing_since = None;
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
            State::Firing { alert, missing_since } => {
                if at - *missing_since.get_or_insert(at) < self.policy.keep_firing_for_ms {
                    return None;
                }
                let ended = Arc::new(alert.ended(at, EndReason::Recovered));
                self.alerts.remove(&fingerprint);
                Some(Transition { change: Change::Resolved, alert: ended })
            }
        }
    }

    fn severity_of(&mut self, breach: &Breach) -> Severity {
        match breach.severity.as_deref().map(str::parse) {
            Some(Ok(severity)) => severity,
            Some(Err(_)) => {
                self.counts.bad_severity += 1;
                self.policy.severity
            }
            None => self.policy.severity,
        }
    }
}
