//! Another graph under open incidents: what is decided from here on is decided on it; what was tied stays tied, under the version
//! that tied it.

use std::sync::Arc;

use crate::incident::book::IncidentBook;
use crate::topology::Topology;

impl IncidentBook {
    /// Goes on with another graph, between two instants. No revision comes of it: the next one of an incident ranks its causes
    /// anew.
    pub fn set_topology(&mut self, topology: Arc<Topology>) {
        self.nearby = std::mem::take(&mut self.nearby).over(&topology, self.params.hops);
        self.topology = topology;
    }
}
