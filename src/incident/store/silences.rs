//! What silences do to the alerts of incidents: which alert is silenced is kept up to date as alerts, silences and the topology change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::id::IncidentId;
use crate::incident::silence::registry::{SilenceChanges, SilenceRegistry};
use crate::incident::status::{RevisionChange, Status};
use crate::incident::store::incident::Incident;
use crate::incident::store::{IncidentStore, touch};
use crate::model::time::TimestampMs;

impl IncidentStore {
    /// All silences.
    pub fn silences(&self) -> &SilenceRegistry {
        &self.silences
    }

    /// All silences, for who shows their changes.
    pub fn silences_mut(&mut self) -> &mut SilenceRegistry {
        &mut self.silences
    }

    /// Brings silences to `at`, and with them the alerts that they are for.
    pub(crate) fn advance_silences(&mut self, at: TimestampMs, touched: &mut BTreeMap<IncidentId, RevisionChange>) {
        if self.silences.wake_at().is_none_or(|wake| wake > at) {
            return;
        }
        let SilenceChanges { started, ended } = self.silences.advance(at);
        let open = self.incidents.iter().filter(|(_, incident)| incident.status() == Status::Open);
        let ids: Vec<IncidentId> = open.map(|(id, _)| *id).collect();
        for id in ids {
            for notice in &ended {
                let under: Vec<Arc<Alert>> = self.incidents.get(&id).map_or_else(Vec::new, |incident| {
                    let under = incident.silenced.firing_under(&notice.id);
                    under.into_iter().filter_map(|fingerprint| incident.alerts.find(fingerprint).cloned()).collect()
                });
                under.iter().for_each(|alert| self.silence_alert(&id, alert));
                let Some(incident) = self.incidents.get_mut(&id).filter(|_| !under.is_empty()) else { continue };
                incident.silenced.forget_unused();
                touch(touched, &id, RevisionChange::Updated);
                if under.iter().any(|alert| incident.silenced.silences_of(alert.fingerprint).is_empty()) {
                    incident.notify.silence_ended(&notice.by);
                }
            }
            for alert in self.incidents.get(&id).filter(|_| !started.is_empty()).map_or_else(Vec::new, firing) {
                if self.silences.hits(&alert, &id, &self.topology).iter().any(|hit| started.contains(hit)) {
                    self.silence_alert(&id, &alert);
                    touch(touched, &id, RevisionChange::Silenced);
                }
            }
        }
    }

    /// Looks which silences hold for an alert as it is now.
    pub(crate) fn silence_alert(&mut self, id: &IncidentId, alert: &Alert) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        if self.silences.active() == 0 && incident.silenced.is_empty() {
            return;
        }
        if !alert.is_firing() {
            incident.silenced.ends(alert.fingerprint);
            return;
        }
        let hits = self.silences.hits(alert, id, &self.topology);
        hits.iter().filter_map(|hit| self.silences.notice(hit)).for_each(|notice| incident.silenced.know(notice));
        incident.silenced.fires(alert.fingerprint, hits);
    }

    /// The topology is another one: what silences of nodes cover may be something else.
    pub(crate) fn silence_anew(&mut self) {
        if !self.silences.forget_topology() {
            return;
        }
        let ids: Vec<IncidentId> = self.incidents.keys().copied().collect();
        for id in ids {
            for alert in self.incidents.get(&id).map_or_else(Vec::new, firing) {
                self.silence_alert(&id, &alert);
            }
            self.reset_wake(&id);
        }
    }

    /// The silences of an incident end with it.
    pub(crate) fn end_silences_of(&mut self, at: TimestampMs, id: &IncidentId) {
        if !self.silences.is_empty() {
            self.silences.of_incident(id, at).iter().for_each(|silence| self.silences.expire(silence, at));
        }
    }
}

fn firing(incident: &Incident) -> Vec<Arc<Alert>> {
    incident.alerts.iter().filter(|alert| alert.is_firing()).cloned().collect()
}
