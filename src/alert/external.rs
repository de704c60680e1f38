//! Alerts of other systems. The sender reports when one fires and when it is resolved. One that is not reported for a while expires.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::external_entity::EntityLabels;
use crate::alert::{Alert, Change, EndReason, Texts, Transition, env_of};
use crate::model::event::ExternalAlert;
use crate::model::fingerprint::Fingerprint;
use crate::model::time::TimestampMs;

/// What is kept over a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExternalAlertsSnapshot {
    firing: BTreeMap<Fingerprint, FiringExternal>,
}

/// The alerts of other systems that fire.
#[derive(Clone, Debug)]
pub struct ExternalAlerts {
    expiry_ms: i64,
    entity_labels: EntityLabels,
    firing: BTreeMap<Fingerprint, FiringExternal>,
    /// The same by when they were last reported.
    by_last_report: BTreeSet<(TimestampMs, Fingerprint)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct FiringExternal {
    alert: Arc<Alert>,
    last_reported_at: TimestampMs,
}

impl ExternalAlerts {
    /// No alerts. One that is not reported for `expiry_ms` ends, as in Alertmanager after its `resolve_timeout`.
    pub fn new(expiry_ms: i64, entity_labels: EntityLabels) -> Self {
        Self { expiry_ms, entity_labels, firing: BTreeMap::new(), by_last_report: BTreeSet::new() }
    }

    /// What a restart needs.
    pub fn save(&self) -> ExternalAlertsSnapshot {
        ExternalAlertsSnapshot { firing: self.firing.clone() }
    }

    /// Goes on from a snapshot.
    pub fn restore(&mut self, saved: ExternalAlertsSnapshot) {
        self.by_last_report = saved.firing.iter().map(|(fingerprint, known)| (known.last_reported_at, *fingerprint)).collect();
        self.firing = saved.firing;
    }

    /// How many fire now.
    pub fn firing(&self) -> usize {
        self.firing.len()
    }

    /// Another system reported the state of the alert with this fingerprint.
    pub fn receive(&mut self, fingerprint: Fingerprint, report: ExternalAlert) -> Option<Transition> {
        if !report.firing {
            let known = self.forget(&fingerprint)?;
            return Some(ended(&known.alert, report.ts.max(known.alert.started_at), EndReason::Recovered));
        }
        match self.firing.get_mut(&fingerprint) {
            Some(known) => {
                self.by_last_report.remove(&(known.last_reported_at, fingerprint));
                known.last_reported_at = known.last_reported_at.max(report.ts);
                self.by_last_report.insert((known.last_reported_at, fingerprint));
                if report.severity <= known.alert.severity {
                    return None;
                }
                known.alert =
                    Arc::new(Alert { severity: report.severity, texts: texts_of(report), ..known.alert.as_ref().clone() });
                Some(Transition { change: Change::Escalated, alert: Arc::clone(&known.alert) })
            }
            None => {
                let alert = Arc::new(Alert {
                    fingerprint,
                    rule: report.name.as_str().into(),
                    severity: report.severity,
                    env: env_of(&report.labels),
                    entity: self.entity_labels.entity_of(&report.labels),
                    peer: None,
                    labels: report.labels.clone(),
                    value: 1.0,
                    score: None,
                    started_at: report.ts,
                    period_ms: 0,
                    window_ms: 0,
                    fired_at: report.ts,
                    ended_at: None,
                    end_reason: EndReason::default(),
                    texts: texts_of(report),
                });
                let last_reported_at = alert.started_at;
                self.by_last_report.insert((last_reported_at, fingerprint));
                self.firing.insert(fingerprint, FiringExternal { alert: Arc::clone(&alert), last_reported_at });
                Some(Transition { change: Change::Fired, alert })
            }
        }
    }

    /// Whether it is one of these alerts, and fires.
    pub fn is_firing(&self, fingerprint: &Fingerprint) -> bool {
        self.firing.contains_key(fingerprint)
    }

    /// Ends an alert that nobody reported as resolved.
    pub fn end(&mut self, fingerprint: &Fingerprint, at: TimestampMs, reason: EndReason) -> Option<Transition> {
        let known = self.forget(fingerprint)?;
        Some(ended(&known.alert, at.max(known.alert.started_at), reason))
    }

    /// When the next alert expires if it is not reported before.
    pub fn next_expiry(&self) -> Option<TimestampMs> {
        self.by_last_report.first().map(|(last_reported_at, _)| last_reported_at + self.expiry_ms)
    }

    /// Ends the alerts that expire at or before `at`.
    pub fn expire(&mut self, at: TimestampMs) -> Vec<Transition> {
        let mut over = Vec::new();
        while let Some((last_reported_at, fingerprint)) =
            self.by_last_report.first().filter(|(last_reported_at, _)| last_reported_at + self.expiry_ms <= at).copied()
        {
            over.extend(
                self.forget(&fingerprint).map(|known| ended(&known.alert, last_reported_at + self.expiry_ms, EndReason::Expired)),
            );
        }
        over
    }

    fn forget(&mut self, fingerprint: &Fingerprint) -> Option<FiringExternal> {
        let known = self.firing.remove(fingerprint)?;
        self.by_last_report.remove(&(known.last_reported_at, *fingerprint));
        Some(known)
    }
}

fn ended(alert: &Alert, at: TimestampMs, reason: EndReason) -> Transition {
    Transition { change: Change::Resolved, alert: Arc::new(alert.ended(at, reason)) }
}

fn texts_of(report: ExternalAlert) -> Texts {
    Texts { summary: Some(report.summary.unwrap_or(report.name)), description: None, runbook: report.runbook }
}
