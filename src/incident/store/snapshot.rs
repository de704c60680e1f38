//! The store, kept over a restart. What can be found anew from incidents and graph is: where to look, and when to wake.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::incident::co_occurrence::CoOccurrence;
use crate::incident::id::IncidentId;
use crate::incident::silence::registry::SilenceRegistry;
use crate::incident::store::commands::recent::RecentCommands;
use crate::incident::store::incident::Incident;
use crate::incident::store::{IncidentCounts, IncidentStore};
use crate::model::fingerprint::Fingerprint;
use crate::model::time::TimestampMs;

/// What is kept.
#[derive(Serialize, Deserialize)]
pub struct IncidentStoreSnapshot {
    incidents: BTreeMap<IncidentId, Incident>,
    home: BTreeMap<Fingerprint, IncidentId>,
    co_occurrence: CoOccurrence,
    silences: SilenceRegistry,
    merged: BTreeMap<IncidentId, IncidentId>,
    commands: RecentCommands,
    counts: IncidentCounts,
}

impl IncidentStore {
    /// What is to be kept over a restart.
    pub fn save(&self) -> IncidentStoreSnapshot {
        IncidentStoreSnapshot {
            incidents: self.incidents.clone(),
            home: self.home.clone(),
            co_occurrence: self.co_occurrence.clone(),
            silences: self.silences.clone(),
            merged: self.merged.clone(),
            commands: self.commands.clone(),
            counts: self.counts,
        }
    }

    /// Fills an empty store with what was saved; it goes on from `at`.
    pub fn restore(&mut self, at: TimestampMs, saved: IncidentStoreSnapshot) {
        (self.incidents, self.home) = (saved.incidents, saved.home);
        (self.silences, self.merged, self.commands) = (saved.silences, saved.merged, saved.commands);
        (self.co_occurrence, self.counts) = (saved.co_occurrence, saved.counts);
        self.look_anew();
        let ids: Vec<IncidentId> = self.incidents.keys().copied().collect();
        ids.iter().for_each(|id| self.reset_wake(id));
        // The graph may be another than before.
        self.doubt_links(at);
        self.silence_anew();
        // What was shown last may be older than what is known here.
        self.silences.show_all();
    }
}
