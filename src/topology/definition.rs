//! What a graph is built of, as files, buckets and the learner tell it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::topology::node_kind::{EdgeKind, NodeKind};

/// A node: something that can fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The name, as alerts call the entity.
    pub name: Arc<str>,
    /// What it is.
    pub kind: NodeKind,
    /// The environment, where the node exists in one only.
    pub env: Option<String>,
}

/// An edge: the one that fails when the other does, and the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The dependent.
    pub from: Arc<str>,
    /// Its dependency.
    pub to: Arc<str>,
    /// What it does there.
    pub kind: EdgeKind,
    /// The environment, where the edge holds in one only.
    pub env: Option<String>,
}

impl Edge {
    /// `from` calls `to`, in every environment.
    pub fn calls(from: &str, to: &str) -> Self {
        Self { from: from.into(), to: to.into(), kind: EdgeKind::Calls, env: None }
    }
}

/// Nodes and edges: edges may name nodes that the list of nodes leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyDefinition {
    /// Nodes with what is known of them.
    pub nodes: Vec<Node>,
    /// Edges.
    pub edges: Vec<Edge>,
}

impl TopologyDefinition {
    /// All of them, in their order.
    pub fn merged<'a>(all: impl IntoIterator<Item = &'a TopologyDefinition>) -> Self {
        let mut together = Self::default();
        for parts in all {
            together.nodes.extend(parts.nodes.iter().cloned());
            together.edges.extend(parts.edges.iter().cloned());
        }
        together
    }
}

/// Where parts come from. What a later one says of a node or an edge goes before an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopologySource {
    /// Edges seen in events.
    Learned,
    /// The topology file.
    File,
    /// The key-value bucket.
    Bucket,
}

impl TopologySource {
    /// All of them.
    pub const ALL: [TopologySource; 3] = [TopologySource::Learned, TopologySource::File, TopologySource::Bucket];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            TopologySource::Learned => "learned",
            TopologySource::File => "file",
            TopologySource::Bucket => "bucket",
        }
    }
}

impl fmt::Display for TopologySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
