//! What an incident knows of one thing that its alerts are about.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::incident::evidence::{Evidence, IndicatorCounts, Indicators};
use crate::incident::tally::Tally;
use crate::model::fingerprint::Fingerprint;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// What an alert is about: its entity, or its rule where it names none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Subject {
    Entity(Arc<str>),
    Rule(Arc<str>),
}

impl Subject {
    pub(crate) fn of(alert: &Alert) -> Self {
        match &alert.entity {
            Some(entity) => Self::Entity(Arc::clone(entity)),
            None => Self::Rule(Arc::clone(&alert.rule)),
        }
    }
}

/// The order in which alerts are worth reading: the worst first, then the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    severity: Reverse<Severity>,
    started_at: TimestampMs,
    pub(crate) fingerprint: Fingerprint,
}

impl Rank {
    pub(crate) fn of(alert: &Alert) -> Self {
        Self { severity: Reverse(alert.severity), started_at: alert.started_at, fingerprint: alert.fingerprint }
    }

    pub(crate) fn severity(&self) -> Severity {
        self.severity.0
    }
}

/// The alerts about one subject.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubjectAlerts {
    pub(crate) firing: BTreeSet<Rank>,
    pub(crate) ended: BTreeSet<Rank>,
    /// Ended alerts that the incident no longer holds.
    pub(crate) evicted: u64,
    by_peer: Vec<PeerEvidence>,
}

/// What the alerts show that the same peer raised, or none.
#[derive(Clone, Debug)]
struct PeerEvidence {
    counts: IndicatorCounts,
    /// What alerts showed that the incident no longer holds.
    evicted: Option<Indicators>,
    total: Evidence,
}

impl SubjectAlerts {
    pub(crate) fn add(&mut self, alert: &Alert) {
        let ranks = if alert.is_firing() { &mut self.firing } else { &mut self.ended };
        ranks.insert(Rank::of(alert));
        if let Some(evidence) = Evidence::of(alert) {
            let (at, one) = (self.peer_at(&evidence), evidence.indicators);
            self.by_peer[at].counts.add(&one);
            self.renew(at);
        }
    }

    pub(crate) fn remove(&mut self, alert: &Alert) {
        let ranks = if alert.is_firing() { &mut self.firing } else { &mut self.ended };
        ranks.remove(&Rank::of(alert));
        if let Some(evidence) = Evidence::of(alert) {
            let at = self.peer_at(&evidence);
            self.by_peer[at].counts.remove(&evidence.indicators);
            self.renew(at);
        }
    }

    /// An alert is no longer held, and what it showed still counts.
    pub(crate) fn keep_evidence(&mut self, evidence: &Evidence) {
        let at = self.peer_at(evidence);
        let evicted = &mut self.by_peer[at].evicted;
        match evicted {
            Some(known) => known.merge(&evidence.indicators),
            None => *evicted = Some(evidence.indicators),
        }
        self.renew(at);
    }

    pub(crate) fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.by_peer.iter().map(|peer| &peer.total)
    }

    /// What evicted alerts showed, for the checkpoint.
    pub(crate) fn evicted_evidence(&self) -> impl Iterator<Item = (Option<Arc<str>>, Indicators)> {
        self.by_peer.iter().filter_map(|peer| Some((peer.total.peer.clone(), peer.evicted?)))
    }

    /// How many fire and how many have ended, those included that are no longer held.
    pub(crate) fn tally(&self) -> Tally {
        Tally { firing: self.firing.len() as u64, ended: self.ended.len() as u64 + self.evicted }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.firing.is_empty() && self.ended.is_empty() && self.evicted == 0
    }

    /// The alert to read first: one that fires, else one that has ended.
    pub(crate) fn worst(&self) -> Option<Rank> {
        self.firing.first().or_else(|| self.ended.first()).copied()
    }

    fn peer_at(&mut self, evidence: &Evidence) -> usize {
        let known = self.by_peer.iter().position(|peer| peer.total.peer == evidence.peer);
        known.unwrap_or_else(|| {
            let counts = IndicatorCounts::default();
            self.by_peer.push(PeerEvidence { counts, evicted: None, total: evidence.clone() });
            self.by_peer.len() - 1
        })
    }

    fn renew(&mut self, at: usize) {
        let PeerEvidence { counts, evicted, total } = &mut self.by_peer[at];
        match (counts.total(), *evicted) {
            (Some(mut live), Some(evicted)) => {
                live.merge(&evicted);
                total.indicators = live;
            }
            (Some(only), None) | (None, Some(only)) => total.indicators = only,
            (None, None) => {
                self.by_peer.remove(at);
            }
        }
    }
}
