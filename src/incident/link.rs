//! A link between two entities of one incident: why their alerts belong together, and on what that rests.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why two alerts belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The entity whose alert joined the incident.
    pub from: Arc<str>,
    /// The entity that it was linked to.
    pub to: Arc<str>,
    /// 0 to 1.
    pub score: f64,
    /// In words.
    pub reason: String,
    /// On what it rests.
    pub ground: LinkBasis,
    /// The version of the topology on which it was decided.
    pub topology_version: u64,
}

/// On what a link rests, so that it can be checked later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkBasis {
    /// On the alerts alone: a changed topology does not affect it.
    Alerts,
    /// On a path in the topology from one end to the other.
    Way,
    /// On paths from both ends to this node.
    Common(Arc<str>),
}
