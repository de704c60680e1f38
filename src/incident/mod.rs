//! Floor 2: incidents. Which alerts belong together ([`link_score`]) and where to look for them ([`candidate_index`]), which entity is the cause
//! ([`root_cause`]; of an edge, which end: [`edge_blame`]), when a person is told ([`notify`]), and the book of all open ones ([`store`]).
//! Pure: no clock, no I/O.

pub mod candidate_index;
pub mod co_occurrence;
pub mod edge_blame;
pub mod entity_ids;
pub mod evidence;
pub mod invariants;
pub mod link_score;
pub mod notify;
pub mod root_cause;
pub mod store;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::incident::link_score::LinkBasis;
use crate::model::fingerprint::stable_hash;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::topology::Stamp;

/// Where the second candidate has this share of the first one's score, it is told with it: that ranking decides little.
pub const NEARLY_AS_LIKELY: f64 = 0.9;

/// The identity of an incident: the same in every run over the same events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IncidentId(u64);

impl IncidentId {
    /// The id of the incident that `first` opens: a hash of the alert's identity and of when it began.
    pub fn of_first(first: &Alert) -> Self {
        let parts = [first.fingerprint.to_string(), first.started_at.to_string()];
        Self(stable_hash(parts.iter().map(String::as_str)))
    }

    /// The id of a part that leaves `whole` with its first alert: an incident that the same alert once opened is another.
    pub fn of_part(first: &Alert, whole: &IncidentId, at: TimestampMs) -> Self {
        let parts = [first.fingerprint.to_string(), whole.to_string(), at.to_string()];
        Self(stable_hash(parts.iter().map(String::as_str)))
    }
}

impl fmt::Display for IncidentId {
    /// As it stands in messages: `inc-` and sixteen hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("inc-{:016x}", self.0))
    }
}

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Some alert fires, or did until a moment ago.
    Open,
    /// No alert fires any more.
    Resolved,
    /// It turned out to be part of another incident.
    Merged,
}

impl Status {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Resolved => "resolved",
            Status::Merged => "merged",
        }
    }
}

/// What a revision is about; of several things at once, the last of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevisionChange {
    /// Alerts joined or ended, or a decision was due.
    Updated,
    /// The severity rose.
    Escalated,
    /// The last alert ended.
    Resolved,
    /// An alert of a resolved incident fired again.
    Reopened,
    /// Two incidents turned out to be one.
    Merged,
    /// One incident turned out to be several: of the one that goes on, and the first revision of each that leaves.
    Split,
    /// The first revision.
    Opened,
}

impl RevisionChange {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            RevisionChange::Updated => "updated",
            RevisionChange::Escalated => "escalated",
            RevisionChange::Resolved => "resolved",
            RevisionChange::Reopened => "reopened",
            RevisionChange::Merged => "merged",
            RevisionChange::Split => "split",
            RevisionChange::Opened => "opened",
        }
    }
}

/// Why two alerts belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The entity whose alert came to the incident.
    pub from: Arc<str>,
    /// The entity that it was tied to.
    pub to: Arc<str>,
    /// 0 to 1.
    pub score: f64,
    /// In words.
    pub reason: String,
    /// On what it stands.
    pub ground: LinkBasis,
    /// The graph that it was decided on.
    pub topology_version: u64,
}

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

/// Whether a person is told of a revision, and why or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Told.
    pub send: bool,
    /// In words.
    pub reason: String,
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
    /// The loudest of its alerts so far.
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
    /// The graph that causes were ranked on.
    pub topology: Stamp,
    /// Possible causes, likeliest first; the first one is the root cause.
    pub candidates: Vec<Candidate>,
    /// Its alerts by start and fingerprint.
    pub alerts: Vec<Arc<Alert>>,
    /// What ties them.
    pub links: Vec<Arc<Link>>,
    /// The incident that carries on.
    pub merged_into: Option<IncidentId>,
    /// The incident that it was part of before it was split.
    pub split_from: Option<IncidentId>,
    /// Whether a person is told.
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

/// How alerts are tied into incidents. Times in milliseconds of event time.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelationParams {
    /// How far apart symptoms of one cause may begin: the score of a link falls to 1/e over this.
    pub gap_ms: i64,
    /// How much later than its symptom a cause's own alert may begin: detection takes time, but not long.
    pub cause_gap_ms: i64,
    /// An incident older than this takes no new alerts.
    pub lifetime_ms: i64,
    /// How many edges apart two alerts may be.
    pub hops: usize,
    /// A link counts from this score on.
    pub threshold: f64,
    /// How often two entities must have failed together for that to tie them; 0 for never.
    pub together: u32,
    /// Labels that tie alerts which have the same value of one.
    pub keys: Vec<Arc<str>>,
    /// How long after its last alert an incident is resolved.
    pub resolve_wait_ms: i64,
    /// How long after that the same alert reopens it.
    pub reopen_ms: i64,
}

impl Default for CorrelationParams {
    fn default() -> Self {
        let minute_ms = 60_000;
        Self {
            gap_ms: 5 * minute_ms,
            cause_gap_ms: 3 * minute_ms,
            lifetime_ms: 120 * minute_ms,
            hops: 4,
            threshold: 0.3,
            together: 3,
            keys: Vec::new(),
            resolve_wait_ms: minute_ms,
            reopen_ms: 30 * minute_ms,
        }
    }
}
