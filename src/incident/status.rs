//! Where an incident is in its life, and what a revision of it is about.

use serde::{Deserialize, Serialize};

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Some alert fires, or did until a moment ago.
    Open,
    /// No alert fires any more.
    Resolved,
    /// It became part of another incident.
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

/// What a revision is about. Of several changes at once, the last in this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevisionChange {
    /// Alerts joined or ended, or a decision was due.
    Updated,
    /// Somebody noted something, or took charge.
    Noted,
    /// Alerts were silenced.
    Silenced,
    /// Somebody takes care of it.
    Acknowledged,
    /// The severity rose.
    Escalated,
    /// The last alert ended.
    Resolved,
    /// An alert of a resolved incident fired again.
    Reopened,
    /// Two incidents became one.
    Merged,
    /// One incident became several: of the one that goes on, and the first revision of each part that leaves.
    Split,
    /// The first revision.
    Opened,
}

impl RevisionChange {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            RevisionChange::Updated => "updated",
            RevisionChange::Noted => "noted",
            RevisionChange::Silenced => "silenced",
            RevisionChange::Acknowledged => "acknowledged",
            RevisionChange::Escalated => "escalated",
            RevisionChange::Resolved => "resolved",
            RevisionChange::Reopened => "reopened",
            RevisionChange::Merged => "merged",
            RevisionChange::Split => "split",
            RevisionChange::Opened => "opened",
        }
    }
}
