//! The topology of a running engine. What events show of it comes into force at instants of event time that do not depend on how
//! messages were batched; what a file or a bucket gives comes into force between two batches.

use crate::engine::core::Engine;
use crate::engine::topology_calls::report_calls;
use crate::model::event::{EventBatch, TABLES};
use crate::model::time::TimestampMs;
use crate::topology::definition::{TopologyDefinition, TopologySource};
use crate::topology::live::{LiveTopology, TopologySize};

impl Engine {
    /// What a source gives of the topology, from here on.
    pub(super) fn set_topology(&mut self, source: TopologySource, parts: TopologyDefinition) {
        if self.topology.set(source, parts) {
            let now = self.watermark.now().unwrap_or(TimestampMs::MIN);
            self.incidents.set_topology(now, self.topology.current().clone());
        }
    }

    /// Observes the calls in rows `from[k]..to[k]` of each table.
    pub(super) fn learn(&mut self, batch: &EventBatch, from: [usize; TABLES], to: [usize; TABLES]) {
        let params = self.topology.learn_params().clone();
        report_calls(&mut self.topology, &params, batch, from, to);
    }

    /// What was learned before `at` comes into force.
    pub(super) fn learn_until(&mut self, at: TimestampMs) {
        if self.topology.advance(at) {
            self.incidents.set_topology(at, self.topology.current().clone());
        }
    }

    /// The topology in force.
    pub fn topology(&self) -> &LiveTopology {
        &self.topology
    }

    /// How large the topology in force is, and where it came from.
    pub fn topology_size(&self) -> TopologySize {
        self.topology.size()
    }
}
