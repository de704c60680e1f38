//! What became of a command: the answer that its sender gets.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::incident::id::IncidentId;
use crate::model::command::{Command, CommandId, CommandKind};
use crate::model::time::TimestampMs;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandAnswer {
    /// The command.
    pub id: CommandId,
    /// What kind it was.
    pub kind: CommandKind,
    /// Who sent it.
    pub by: Arc<str>,
    /// When it was decided, in event time.
    pub at: TimestampMs,
    /// What it did, or why it was refused.
    pub outcome: Result<Accepted, String>,
}

/// What a command did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The revisions that follow from it: the incident and its number.
    pub revisions: Vec<(IncidentId, u32)>,
    /// The silence that it made, changed or ended.
    pub silence: Option<CommandId>,
}

impl CommandAnswer {
    /// The answer to a command that was refused.
    pub fn refused(command: &Command, at: TimestampMs, reason: String) -> Self {
        Self { id: command.id, kind: command.kind, by: Arc::clone(&command.by), at, outcome: Err(reason) }
    }
}
