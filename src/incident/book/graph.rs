//! Another graph under open incidents: what is decided from here on is decided on it; what was tied stays tied, under the version
//! that tied it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::incident::book::IncidentBook;
use crate::incident::relate::Surroundings;
use crate::topology::Topology;

impl IncidentBook {
    /// Goes on with another graph. No revision comes of it: the next one of an incident ranks its causes anew.
    pub fn set_topology(&mut self, topology: Arc<Topology>) {
        self.topology = topology;
        // Of what surrounded entities whose incidents are forgotten, nothing needs to be known any more.
        let mut wanted: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        for alert in self.incidents.values().flat_map(|incident| incident.alerts.values()) {
            wanted.entry(Arc::clone(&alert.env)).or_default().extend(alert.entity.clone());
        }
        self.around.clear();
        for (env, entities) in wanted {
            for entity in entities {
                self.look_around(&env, &entity);
            }
        }
    }

    /// Looks around an entity that alerts, unless that was done.
    pub(super) fn look_around(&mut self, env: &Arc<str>, entity: &Arc<str>) {
        let known = self.around.entry(Arc::clone(env)).or_default();
        if !known.contains_key(entity) {
            let around = Surroundings::new(&self.topology, entity, env, self.params.hops);
            self.counts.surroundings_cut += u64::from(around.cut);
            known.insert(Arc::clone(entity), around);
        }
    }

    /// The graph in force.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }
}
