//! Commands: what people ask of squelch, as events of the input. A command says who sent it, when, and why. What becomes of it is decided
//! by the engine; here is only what was asked.

pub mod matcher;
pub mod recurrence;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::command::matcher::Matcher;
use crate::model::command::recurrence::Recurrence;
use crate::model::fingerprint::Fingerprint;
use crate::model::time::TimestampMs;

/// The namespace of ids that are derived from the text of a command.
const NAMESPACE: Uuid = Uuid::from_u128(0x6a1c_5c1e_51f0_5f0a_9d3c_7371_7565_6c63);

/// The identity of a command, and of the silence that it makes: a UUID, as Alertmanager's clients want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandId(u128);

impl CommandId {
    /// An id that follows from these texts: the same in every run over the same input.
    pub fn derived<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut name = Vec::new();
        for part in parts {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part);
        }
        Self(Uuid::new_v5(&NAMESPACE, &name).as_u128())
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Uuid::from_u128(self.0).hyphenated())
    }
}

/// The text is no UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no UUID: write for example 7d5c2f0e-3a52-5d1b-9c55-0d9a3f1e7b42")]
pub struct BadId(pub String);

impl FromStr for CommandId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        Uuid::try_parse(text).map(|id| Self(id.as_u128())).map_err(|_| BadId(text.to_string()))
    }
}

/// What kind of command: the last token of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CommandKind {
    /// Somebody takes care of an incident.
    Acknowledge,
    /// Nobody does after all.
    Unacknowledge,
    /// Alerts that nobody wants to be notified of.
    Silence,
    /// A silence or maintenance ends now.
    Expire,
    /// The same as a silence, for work that was planned.
    Maintenance,
    /// A note on an incident.
    Note,
    /// Who is in charge of an incident.
    Owner,
    /// Two incidents are one.
    Merge,
    /// Some alerts of an incident are an incident of their own.
    Split,
    /// An alert belongs to another incident.
    Move,
    /// An incident is over.
    Resolve,
}

impl CommandKind {
    /// All kinds.
    pub const ALL: [CommandKind; 11] = [
        CommandKind::Acknowledge,
        CommandKind::Unacknowledge,
        CommandKind::Silence,
        CommandKind::Expire,
        CommandKind::Maintenance,
        CommandKind::Note,
        CommandKind::Owner,
        CommandKind::Merge,
        CommandKind::Split,
        CommandKind::Move,
        CommandKind::Resolve,
    ];

    /// The name in subjects and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            CommandKind::Acknowledge => "acknowledge",
            CommandKind::Unacknowledge => "unacknowledge",
            CommandKind::Silence => "silence",
            CommandKind::Expire => "expire",
            CommandKind::Maintenance => "maintenance",
            CommandKind::Note => "note",
            CommandKind::Owner => "owner",
            CommandKind::Merge => "merge",
            CommandKind::Split => "split",
            CommandKind::Move => "move",
            CommandKind::Resolve => "resolve",
        }
    }
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is the name of no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown command {0:?}: use acknowledge, unacknowledge, silence, expire, maintenance, note, owner, merge, split, move or resolve"
)]
pub struct UnknownCommand(pub String);

impl FromStr for CommandKind {
    type Err = UnknownCommand;

    fn from_str(text: &str) -> Result<Self, UnknownCommand> {
        CommandKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownCommand(text.to_string()))
    }
}

/// A command as it was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its identity; a silence that it makes has the same.
    pub id: CommandId,
    /// What kind it is.
    pub kind: CommandKind,
    /// Who sent it.
    pub by: Arc<str>,
    /// When, by the sender's clock, else by the broker's; `None` where neither is known.
    pub at: Option<TimestampMs>,
    /// Why.
    pub comment: Arc<str>,
    /// What is asked, or why that cannot be understood: the sender gets the reason as the answer.
    pub action: Result<Action, String>,
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "commands are few: one at a time is on its way")]
pub enum Action {
    /// Stops repeats and escalation until the incident gets worse.
    Acknowledge {
        /// The incident.
        incident: Arc<str>,
        /// When it runs out.
        until: Limit,
    },
    /// Takes an acknowledgement back.
    Unacknowledge {
        /// The incident.
        incident: Arc<str>,
    },
    /// Silences alerts; also a maintenance.
    Silence(SilenceRequest),
    /// Ends a silence or a maintenance.
    Expire {
        /// Which.
        silence: CommandId,
    },
    /// Adds the command's comment to an incident's notes.
    Note {
        /// The incident.
        incident: Arc<str>,
    },
    /// Puts somebody in charge of an incident.
    Owner {
        /// The incident.
        incident: Arc<str>,
        /// Who; nobody where it is `None`.
        owner: Option<Arc<str>>,
    },
    /// Makes one incident of two: the older id survives.
    Merge {
        /// One of them.
        incident: Arc<str>,
        /// The other.
        with: Arc<str>,
    },
    /// Makes an incident of its own of some alerts.
    Split {
        /// The incident.
        incident: Arc<str>,
        /// The alerts that leave.
        alerts: Vec<Fingerprint>,
    },
    /// Moves an alert to another incident.
    Move {
        /// The alert.
        alert: Fingerprint,
        /// Where it goes.
        into: Arc<str>,
    },
    /// Ends an incident.
    Resolve {
        /// The incident.
        incident: Arc<str>,
    },
}

/// Until when something holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// There is no limit.
    #[default]
    None,
    /// Until then.
    Until(TimestampMs),
    /// For so many milliseconds from its beginning.
    For(i64),
}

impl Limit {
    /// The end of what begins at `from`.
    pub fn end(self, from: TimestampMs) -> Option<TimestampMs> {
        match self {
            Limit::None => None,
            Limit::Until(at) => Some(at),
            Limit::For(duration_ms) => Some(from.saturating_add(duration_ms)),
        }
    }
}

/// A silence as it was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SilenceRequest {
    /// Which alerts.
    pub target: SilenceTarget,
    /// From when on; at once where it is `None`.
    pub from: Option<TimestampMs>,
    /// Until when.
    pub to: Limit,
    /// Only at certain times between the two.
    pub recurrence: Option<Recurrence>,
    /// The silence that this is another form of: it keeps its id.
    pub edits: Option<CommandId>,
    /// The silence that this one replaces: it ends where this one is accepted.
    pub replaces: Option<CommandId>,
}

/// Which alerts a silence is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SilenceTarget {
    /// Those whose labels match all of these.
    Matchers(Vec<Matcher>),
    /// Those of an incident, now and later.
    Incident(Arc<str>),
    /// Those about a node of the topology and about all that depends on it.
    Node {
        /// The node.
        name: Arc<str>,
        /// The environment; all where it is `None`.
        env: Option<Arc<str>>,
    },
}
