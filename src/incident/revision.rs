//! A revision: an incident as it is after a change. This is what goes out of the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::handling::{Acknowledgement, Handling};
use crate::incident::id::IncidentId;
use crate::incident::link::Link;
use crate::incident::notify::decision::Decision;
use crate::incident::silence::SilenceNotice;
use crate::incident::status::{RevisionChange, Status};
use crate::incident::tally::Tally;
use crate::model::command::CommandId;
use crate::model::fingerprint::Fingerprint;
use crate::model::limits::LEFT_OUT_RULES_MAX;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::topology::Stamp;

/// A second candidate with this share of the first one's score is named too: the ranking decides little.
pub const NEARLY_AS_LIKELY: f64 = 0.9;

/// An entity that may be the cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The topology node.
    pub entity: Arc<str>,
    /// 0 to 1; only the order among the candidates of one incident means something.
    pub score: f64,
    /// In words, strongest first.
    pub reasons: Vec<String>,
}

/// How many alerts and entities an incident has, whether a message has room for them or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevisionCounts {
    /// Alerts of each severity.
    pub by_severity: BTreeMap<Severity, Tally>,
    /// Entities that alert, or did.
    pub entities: usize,
}

impl RevisionCounts {
    /// Alerts of all severities.
    pub fn alerts(&self) -> Tally {
        let add = |sum: Tally, one: &Tally| Tally { firing: sum.firing + one.firing, ended: sum.ended + one.ended };
        self.by_severity.values().fold(Tally::default(), add)
    }
}

/// What a message has no room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Alerts, by rule.
    pub alerts: BTreeMap<Arc<str>, u64>,
    /// Entities.
    pub entities: u64,
    /// Links, those included that were too weak to be kept.
    pub links: u64,
}

impl LeftOut {
    /// The rules of which most alerts are left out, each with their number.
    pub fn most_left_out(&self) -> Vec<(Arc<str>, u64)> {
        let mut rules: Vec<(Arc<str>, u64)> = self.alerts.iter().map(|(rule, count)| (Arc::clone(rule), *count)).collect();
        rules.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        rules.truncate(LEFT_OUT_RULES_MAX);
        rules
    }
}

/// An incident as it is after a change: what goes out.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Which incident.
    pub id: IncidentId,
    /// From 1, by one.
    pub revision: u32,
    /// What this revision is about.
    pub change: RevisionChange,
    /// Where the incident is in its life.
    pub status: Status,
    /// That of its worst alert so far.
    pub severity: Severity,
    /// The environment.
    pub env: Arc<str>,
    /// One line for a person.
    pub title: String,
    /// What a person needs besides.
    pub summary: String,
    /// When the first of its alerts began.
    pub started_at: TimestampMs,
    /// When this revision was made.
    pub updated_at: TimestampMs,
    /// When its last alert ended.
    pub resolved_at: Option<TimestampMs>,
    /// The topology on which causes were ranked.
    pub topology: Stamp,
    /// Possible causes, likeliest first; the first one is the root cause.
    pub candidates: Vec<Candidate>,
    /// Its most telling alerts, by start and fingerprint.
    pub alerts: Vec<Arc<Alert>>,
    /// The alerts that changed since the last revision, by fingerprint.
    pub changed: Vec<Arc<Alert>>,
    /// The entities that alert, or did, by name, with their alerts; of too many those that fail, the worst first.
    pub entities: Vec<(Arc<str>, Tally)>,
    /// Why they belong together: the strongest links.
    pub links: Vec<Arc<Link>>,
    /// How many of everything there are.
    pub counts: RevisionCounts,
    /// How many of them are not here.
    pub left_out: LeftOut,
    /// The incident that goes on, where this one was merged.
    pub merged_into: Option<IncidentId>,
    /// The incident that it was part of before it was split.
    pub split_from: Option<IncidentId>,
    /// The teams that own its entities, by entity.
    pub teams: BTreeMap<Arc<str>, Arc<str>>,
    /// Who takes care of it.
    pub acknowledged: Option<Acknowledgement>,
    /// What silences alerts of it that fire, the one that lasts longest first.
    pub silenced: Vec<SilenceNotice>,
    /// The silences of each listed alert that fires silenced.
    pub silenced_alerts: BTreeMap<Fingerprint, Vec<CommandId>>,
    /// Who is in charge, and what people noted.
    pub handling: Handling,
    /// Whether people are notified, and why.
    pub decision: Decision,
}

impl Revision {
    /// The team that owns the likeliest cause, else the first entity that has one.
    pub fn team(&self) -> Option<&Arc<str>> {
        let cause = self.candidates.first().and_then(|cause| self.teams.get(&cause.entity));
        cause.or_else(|| self.teams.values().next())
    }

    /// The team that owns the entity of an alert.
    pub fn team_of(&self, alert: &Alert) -> Option<&Arc<str>> {
        self.teams.get(alert.entity.as_ref()?)
    }

    /// The names of its entities.
    pub fn entity_names(&self) -> Vec<&str> {
        self.entities.iter().map(|(entity, _)| entity.as_ref()).collect()
    }

    /// The likeliest cause.
    pub fn root_cause(&self) -> Option<&Candidate> {
        self.candidates.first()
    }
}
