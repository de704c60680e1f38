//! What nodes and edges are, in the words that operators use; a word that nobody knows is kept as it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a node is. Correlation treats all alike: the kind is for people and for what they build on the graph.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeKind {
    /// Something that answers requests; also where nothing is known.
    #[default]
    Service,
    /// A machine, real or virtual.
    Host,
    /// Something that keeps data.
    Database,
    /// Something that keeps messages.
    Queue,
    /// Something that others run.
    External,
    /// Any other word.
    Other(String),
}

/// What an edge says of the dependent and its dependency.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EdgeKind {
    /// It sends requests there; also where nothing is known.
    #[default]
    Calls,
    /// It cannot do without it.
    Uses,
    /// It is a process there.
    RunsOn,
    /// Any other word.
    Other(String),
}

impl NodeKind {
    /// The word in files.
    pub fn as_str(&self) -> &str {
        match self {
            NodeKind::Service => "service",
            NodeKind::Host => "host",
            NodeKind::Database => "database",
            NodeKind::Queue => "queue",
            NodeKind::External => "external",
            NodeKind::Other(word) => word,
        }
    }
}

impl EdgeKind {
    /// The word in files.
    pub fn as_str(&self) -> &str {
        match self {
            EdgeKind::Calls => "calls",
            EdgeKind::Uses => "uses",
            EdgeKind::RunsOn => "runs_on",
            EdgeKind::Other(word) => word,
        }
    }
}

impl From<String> for NodeKind {
    fn from(word: String) -> Self {
        match word.as_str() {
            "service" => NodeKind::Service,
            "host" => NodeKind::Host,
            "database" => NodeKind::Database,
            "queue" => NodeKind::Queue,
            "external" => NodeKind::External,
            _ => NodeKind::Other(word),
        }
    }
}

impl From<String> for EdgeKind {
    fn from(word: String) -> Self {
        match word.as_str() {
            "calls" => EdgeKind::Calls,
            "uses" => EdgeKind::Uses,
            "runs_on" => EdgeKind::RunsOn,
            _ => EdgeKind::Other(word),
        }
    }
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for EdgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
