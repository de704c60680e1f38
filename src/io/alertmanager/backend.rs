//! What the API needs of a running squelch.

use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::model::command::CommandKind;

/// What became of a command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Why it was refused, where it was.
    pub refused: Option<String>,
    /// The silence that it made, changed or ended.
    pub silence: Option<String>,
}

/// What is open and silenced, and where commands go. The error of each is for people.
pub trait Backend: Send + Sync + 'static {
    /// The newest revision of each open incident, as it was published.
    fn incidents(&self) -> BoxFuture<'_, Result<Vec<Value>, String>>;

    /// Each silence, as it is shown.
    fn silences(&self) -> BoxFuture<'_, Result<Vec<Value>, String>>;

    /// Sends a command of these fields, and waits for its answer.
    fn send(&self, kind: CommandKind, fields: Map<String, Value>) -> BoxFuture<'_, Result<Outcome, String>>;

    /// Who is notified, as a configuration of Alertmanager. `nobody` is the receiver of what no route matches.
    fn configuration(&self, nobody: &str) -> String;

    /// When the process began, RFC 3339.
    fn started_at(&self) -> String;
}
