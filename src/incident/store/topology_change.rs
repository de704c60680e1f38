//! Another graph under open incidents: what is decided from here on is decided on it. What was tied stays tied, under the version
//! that tied it, unless what tied it is gone.

use std::sync::Arc;

use crate::incident::store::IncidentStore;
use crate::model::time::TimestampMs;
use crate::topology::Topology;

impl IncidentStore {
    /// Goes on with another graph from `at` on, between two instants. No revision comes of it yet: the next one of an incident ranks its
    /// causes anew, and an incident that a link holds together no more is looked at then.
    pub fn set_topology(&mut self, at: TimestampMs, topology: Arc<Topology>) {
        self.index = self.index.over(Arc::clone(&topology));
        self.topology = topology;
        self.look_anew();
        self.doubt_links(at);
        self.silence_anew();
    }

    /// Tells where to look of every alert of every incident.
    pub(crate) fn look_anew(&mut self) {
        for (id, incident) in &self.incidents {
            incident.alerts.iter().for_each(|alert| self.index.remember(id, alert));
        }
    }
}
