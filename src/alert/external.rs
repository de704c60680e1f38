//! The alerts of other systems: they say themselves when they fire and when they are over, and are forgotten when they say
//! nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Change, Texts, Transition, entity_of, env_of};
use crate::model::event::ExternalAlert;
use crate::model::fingerprint::Fingerprint;
use crate::model::time::TimestampMs;

/// What is kept of them over a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedExternalAlerts {
    firing: BTreeMap<Fingerprint, Heard>,
}

/// The firing alerts of other systems.
#[derive(Clone, Debug)]
pub struct ExternalAlerts {
    expiry_ms: i64,
    firing: BTreeMap<Fingerprint, Heard>,
    /// The same by when they were last heard of.
    silent: BTreeSet<(TimestampMs, Fingerprint)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Heard {
    alert: Arc<Alert>,
    last_at: TimestampMs,
}

impl ExternalAlerts {
    /// No alerts. One that is not heard of for `expiry_ms` is taken for resolved, as Alertmanager does after its
    /// `resolve_timeout`.
    pub fn new(expiry_ms: i64) -> Self {
        Self { expiry_ms, firing: BTreeMap::new(), silent: BTreeSet::new() }
    }

    /// What is to be kept over a restart.
    pub fn save(&self) -> SavedExternalAlerts {
        SavedExternalAlerts { firing: self.firing.clone() }
    }

    /// Goes on from what was kept.
    pub fn restore(&mut self, saved: SavedExternalAlerts) {
        self.silent = saved.firing.iter().map(|(fingerprint, heard)| (heard.last_at, *fingerprint)).collect();
        self.firing = saved.firing;
    }

    /// How many fire now.
    pub fn firing(&self) -> usize {
        self.firing.len()
    }

    /// Another system spoke of the alert with this fingerprint.
    pub fn hear(&mut self, fingerprint: Fingerprint, said: ExternalAlert) -> Option<Transition> {
        if !said.firing {
            let heard = self.forget(&fingerprint)?;
            return Some(resolved(&heard.alert, said.ts.max(heard.alert.started_at)));
        }
        match self.firing.get_mut(&fingerprint) {
            Some(heard) => {
                self.silent.remove(&(heard.last_at, fingerprint));
                heard.last_at = heard.last_at.max(said.ts);
                self.silent.insert((heard.last_at, fingerprint));
                if said.severity <= heard.alert.severity {
                    return None;
                }
                heard.alert = Arc::new(Alert { severity: said.severity, texts: texts_of(said), ..heard.alert.as_ref().clone() });
                Some(Transition { change: Change::Escalated, alert: Arc::clone(&heard.alert) })
            }
            None => {
                let alert = Arc::new(Alert {
                    fingerprint,
                    rule: said.name.as_str().into(),
                    severity: said.severity,
                    env: env_of(&said.labels),
                    entity: entity_of(&said.labels, None),
                    peer: None,
                    labels: said.labels.clone(),
                    value: 1.0,
                    score: None,
                    started_at: said.ts,
                    period_ms: 0,
                    window_ms: 0,
                    fired_at: said.ts,
                    ended_at: None,
                    texts: texts_of(said),
                });
                let last_at = alert.started_at;
                self.silent.insert((last_at, fingerprint));
                self.firing.insert(fingerprint, Heard { alert: Arc::clone(&alert), last_at });
                Some(Transition { change: Change::Fired, alert })
            }
        }
    }

    /// When the next alert expires if nothing is heard of it.
    pub fn next_expiry(&self) -> Option<TimestampMs> {
        self.silent.first().map(|(last_at, _)| last_at + self.expiry_ms)
    }

    /// Resolves the alerts that expire at or before `at`.
    pub fn expire(&mut self, at: TimestampMs) -> Vec<Transition> {
        let mut over = Vec::new();
        while let Some((last_at, fingerprint)) =
            self.silent.first().filter(|(last_at, _)| last_at + self.expiry_ms <= at).copied()
        {
            over.extend(self.forget(&fingerprint).map(|heard| resolved(&heard.alert, last_at + self.expiry_ms)));
        }
        over
    }

    fn forget(&mut self, fingerprint: &Fingerprint) -> Option<Heard> {
        let heard = self.firing.remove(fingerprint)?;
        self.silent.remove(&(heard.last_at, *fingerprint));
        Some(heard)
    }
}

fn resolved(alert: &Alert, at: TimestampMs) -> Transition {
    Transition { change: Change::Resolved, alert: Arc::new(Alert { ended_at: Some(at), ..alert.clone() }) }
}

fn texts_of(said: ExternalAlert) -> Texts {
    Texts { summary: Some(said.summary.unwrap_or(said.name)), description: None, runbook: said.runbook }
}
