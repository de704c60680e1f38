//! Incidents that people put together, take apart or end. What squelch finds later holds as before: an alert that fires again stays
//! where it was put.

use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::id::IncidentId;
use crate::incident::revision::Revision;
use crate::incident::status::RevisionChange;
use crate::incident::store::commands::Touched;
use crate::incident::store::{IncidentStore, touch};
use crate::model::command::Command;
use crate::model::fingerprint::Fingerprint;
use crate::model::time::TimestampMs;

impl IncidentStore {
    pub(super) fn merge_by_hand(
        &mut self,
        at: TimestampMs,
        command: &Command,
        (one, other): (&str, &str),
        touched: &mut Touched,
        revisions: &mut Vec<Revision>,
    ) -> Result<(), String> {
        let ((one, one_env, from), (other, other_env, to)) = (self.described(one)?, self.described(other)?);
        if one == other {
            return Err(format!("{one} is the same incident as the other"));
        }
        if one_env != other_env {
            return Err(format!(
                "{one} is in {one_env} and {other} in {other_env}: incidents of several environments are never one"
            ));
        }
        let survivor = self.merge(at, one, other, touched, revisions);
        if let Some(incident) = self.incidents.get_mut(&survivor) {
            incident.links.tie_by_hand(&from, &to, &command.by, &self.topology);
        }
        Ok(())
    }

    pub(super) fn split_by_hand(
        &mut self,
        at: TimestampMs,
        incident: &str,
        fingerprints: &[Fingerprint],
        touched: &mut Touched,
    ) -> Result<(), String> {
        let (id, incident) = self.open_named(incident)?;
        let mut alerts: Vec<Arc<Alert>> = Vec::new();
        for fingerprint in fingerprints {
            let alert = incident.alerts.find(*fingerprint).ok_or_else(|| format!("{id} has no alert {fingerprint}"))?;
            alerts.push(Arc::clone(alert));
        }
        alerts.sort_by_key(|alert| (alert.started_at, alert.fingerprint));
        alerts.dedup_by_key(|alert| alert.fingerprint);
        if alerts.len() == incident.alerts.len() {
            return Err(format!("these are all alerts of {id}: nothing would stay"));
        }
        self.part(at, &id, alerts, touched);
        Ok(())
    }

    pub(super) fn move_by_hand(
        &mut self,
        command: &Command,
        fingerprint: Fingerprint,
        into: &str,
        touched: &mut Touched,
    ) -> Result<(), String> {
        let (into, env, to) = self.described(into)?;
        let from = *self.home.get(&fingerprint).ok_or_else(|| format!("no incident has an alert {fingerprint}"))?;
        if from == into {
            return Err(format!("{into} has the alert {fingerprint} already"));
        }
        let left = self.incidents.get_mut(&from).ok_or_else(|| format!("{from} is not known"))?;
        let alert = left.alerts.find(fingerprint).cloned().ok_or_else(|| format!("{from} has no alert {fingerprint}"))?;
        if left.env != env {
            return Err(format!(
                "the alert is in {} and {into} in {env}: incidents of several environments are never one",
                left.env
            ));
        }
        if left.alerts.len() == 1 {
            return Err(format!("it is the only alert of {from}: merge the incidents"));
        }
        left.alerts.take(fingerprint);
        left.changed.remove(&fingerprint);
        left.severity = left.alerts.severity().unwrap_or(left.severity);
        let mut silenced = std::mem::take(&mut left.silenced);
        self.index.move_to(&from, &into, &alert);
        self.home.insert(fingerprint, into);
        if let Some(incident) = self.incidents.get_mut(&into) {
            silenced.move_to(fingerprint, &mut incident.silenced);
            incident.severity = incident.severity.max(alert.severity);
            incident.started_at = incident.started_at.min(alert.started_at);
            incident.links.tie_by_hand(alert.subject(), &to, &command.by, &self.topology);
            if let Some(evicted) = incident.put(alert) {
                self.forget_evicted(&into, &evicted);
            }
        }
        if let Some(left) = self.incidents.get_mut(&from) {
            left.silenced = silenced;
        }
        touch(touched, &from, RevisionChange::Updated);
        touch(touched, &into, RevisionChange::Updated);
        Ok(())
    }

    /// Ends an incident of which nothing fires any more.
    pub(super) fn resolve_by_hand(&mut self, at: TimestampMs, incident: &str, touched: &mut Touched) -> Result<(), String> {
        let (id, incident) = self.open_named(incident)?;
        if incident.alerts.is_firing() {
            return Err(format!("{id} has alerts that fire"));
        }
        incident.resolved_at = incident.alerts.last_end().or(Some(at));
        incident.doubted_at = None;
        self.end_silences_of(at, &id);
        touch(touched, &id, RevisionChange::Resolved);
        Ok(())
    }

    /// The alerts that fire in an open incident, and its id.
    pub fn firing_in(&mut self, incident: &str) -> Result<(IncidentId, Vec<Arc<Alert>>), String> {
        let (id, incident) = self.open_named(incident)?;
        Ok((id, incident.alerts.iter().filter(|alert| alert.is_firing()).cloned().collect()))
    }

    /// An open incident: its id, its environment, and what its worst alert is about.
    fn described(&mut self, name: &str) -> Result<(IncidentId, Arc<str>, String), String> {
        let (id, incident) = self.open_named(name)?;
        let subject = incident.alerts.worst().map(|alert| alert.subject().to_string()).unwrap_or_default();
        Ok((id, Arc::clone(&incident.env), subject))
    }
}
