//! A revision: an incident as it is after a change. This is what goes out of the engine.

use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::id::IncidentId;
use crate::incident::link::Link;
use crate::incident::notify::Decision;
use crate::incident::status::{RevisionChange, Status};
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
    /// Its alerts by start and fingerprint.
    pub alerts: Vec<Arc<Alert>>,
    /// Why they belong together.
    pub links: Vec<Arc<Link>>,
    /// The incident that goes on, where this one was merged.
    pub merged_into: Option<IncidentId>,
    /// The incident that it was part of before it was split.
    pub split_from: Option<IncidentId>,
    /// Whether people are notified, and why.
    pub decision: Decision,
}

impl Revision {
    /// The entities that alert, each once, in order of name.
    pub fn entities(&self) -> Vec<&str> {
        let mut entities: Vec<&str> = self.alerts.iter().map(|alert| alert.subject()).collect();
        entities.sort_unstable();
        entities.dedup();
        entities
    }

    /// The likeliest cause.
    pub fn root_cause(&self) -> Option<&Candidate> {
        self.candidates.first()
    }
}
