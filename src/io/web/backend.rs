//! What the pages need of a running squelch besides its news.

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::model::command::{CommandKind, SilenceTarget};
use crate::page::silence_preview::Hit;

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It did what it asked for.
    Accepted {
        /// The revisions that follow from it: incident and number.
        revisions: Vec<(String, u32)>,
    },
    /// It did not, for this reason.
    Refused(String),
    /// It is stored, and nobody has decided yet.
    Unanswered,
}

/// Where commands go, and what is asked for seldom. The error of each is for people.
pub trait Backend: Send + Sync + 'static {
    /// Begins to follow what is published, if it does not do that yet.
    fn start(&self);

    /// The body of a revision at its place in the stream; nothing where it is too old.
    fn body(&self, sequence: u64) -> BoxFuture<'_, Result<Option<Bytes>, String>>;

    /// All revisions of an incident that is no longer among the newest ones.
    fn history(&self, incident: String) -> BoxFuture<'_, Result<Vec<Bytes>, String>>;

    /// Sends a command of these fields, and waits for its answer.
    fn send(&self, kind: CommandKind, fields: Map<String, Value>) -> BoxFuture<'_, Result<Outcome, String>>;

    /// What a silence would hit of these incidents.
    fn preview(&self, target: &SilenceTarget, open: &[&Value]) -> Vec<Hit>;

    /// Whether what depends on a node is known.
    fn knows_graph(&self) -> bool;
}
