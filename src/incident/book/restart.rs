//! The book, kept over a restart. What can be found anew from incidents and graph is: where to look, and when to wake.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::incident::IncidentId;
use crate::incident::book::{BookCounts, Incident, IncidentBook};
use crate::words::fingerprint::Fingerprint;

/// What is kept.
#[derive(Serialize, Deserialize)]
pub struct SavedBook {
    incidents: BTreeMap<IncidentId, Incident>,
    home: BTreeMap<Fingerprint, IncidentId>,
    counts: BookCounts,
}

impl IncidentBook {
    /// What is to be kept over a restart.
    pub fn save(&self) -> SavedBook {
        SavedBook { incidents: self.incidents.clone(), home: self.home.clone(), counts: self.counts }
    }

    /// Fills an empty book with what was kept.
    pub fn restore(&mut self, saved: SavedBook) {
        (self.incidents, self.home, self.counts) = (saved.incidents, saved.home, saved.counts);
        for (id, incident) in &self.incidents {
            for alert in incident.alerts.values() {
                if alert.is_firing() {
                    self.nearby.fires(alert, &self.topology, self.params.hops);
                } else {
                    self.nearby.knows(alert, &self.topology, self.params.hops);
                }
                self.nearby.put(id, alert);
            }
        }
        let ids: Vec<IncidentId> = self.incidents.keys().cloned().collect();
        ids.iter().for_each(|id| self.reset_wake(id));
    }
}
