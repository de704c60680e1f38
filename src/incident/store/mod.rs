//! All incidents that are open or may reopen: takes what happened to alerts, keeps which incident each belongs to, and yields revisions.
//!
//! One owner, one thread, no clock: `apply` at an instant, in the order of instants.

pub(crate) mod alert_set;
pub mod commands;
mod incident;
mod link_set;
mod notify_hold;
mod render;
mod silenced;
mod silences;
pub mod snapshot;
mod split;
mod topology_change;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Change, Transition};
use crate::incident::candidate_index::CandidateIndex;
use crate::incident::candidate_index::search::Search;
use crate::incident::co_occurrence::CoOccurrence;
use crate::incident::correlation_params::CorrelationParams;
use crate::incident::id::IncidentId;
use crate::incident::link_score::{Direction, Tie};
use crate::incident::notify::NotifyParams;
use crate::incident::notify::decision::Decision;
use crate::incident::notify::state::{NotifyFacts, NotifyState};
use crate::incident::revision::{Candidate, Revision};
use crate::incident::root_cause;
use crate::incident::silence::registry::SilenceRegistry;
use crate::incident::status::{RevisionChange, Status};
use crate::incident::store::commands::recent::RecentCommands;
use crate::incident::store::incident::Incident;
use crate::incident::store::render::revision_of;
use crate::model::fingerprint::Fingerprint;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::topology::Topology;

/// Which entities of an environment may be failing: those of alerts that breach and do not fire yet.
pub type Pending<'a> = dyn Fn(&str) -> BTreeSet<Arc<str>> + 'a;

/// All incidents that are open or may still reopen.
pub struct IncidentStore {
    params: CorrelationParams,
    notify: NotifyParams,
    topology: Arc<Topology>,
    incidents: BTreeMap<IncidentId, Incident>,
    /// The incident that each alert, firing or ended, belongs to.
    home: BTreeMap<Fingerprint, IncidentId>,
    /// What their alerts are about.
    index: CandidateIndex,
    /// Who failed with whom before.
    co_occurrence: CoOccurrence,
    /// When something is due though nothing happens, by incident.
    wakes: BTreeSet<(TimestampMs, IncidentId)>,
    silences: SilenceRegistry,
    /// Where incidents went that were merged, as long as the other is known: a command may name the older id.
    merged: BTreeMap<IncidentId, IncidentId>,
    commands: RecentCommands,
    counts: IncidentCounts,
}

/// What became of alerts and incidents so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentCounts {
    /// Incidents opened.
    pub opened: u64,
    /// Revisions made.
    pub revisions: u64,
    /// Revisions of which a person is notified.
    pub notifications: u64,
    /// Revisions by the code of their decision, in the order of [`Decision::CODES`].
    pub decisions: [u64; Decision::CODES.len()],
    /// Alerts that fired.
    pub alerts: u64,
    /// Ended alerts that their incident no longer holds.
    pub evicted: u64,
    /// Looks at the graph around an entity that met a limit: only the nearest was seen.
    pub surroundings_cut: u64,
}

impl IncidentStore {
    /// A store without incidents.
    pub fn new(params: CorrelationParams, notify: NotifyParams, topology: Arc<Topology>) -> Self {
        Self {
            index: CandidateIndex::new(Arc::clone(&topology), &params),
            params,
            notify,
            topology,
            incidents: BTreeMap::new(),
            home: BTreeMap::new(),
            co_occurrence: CoOccurrence::default(),
            wakes: BTreeSet::new(),
            silences: SilenceRegistry::default(),
            merged: BTreeMap::new(),
            commands: RecentCommands::default(),
            counts: IncidentCounts::default(),
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> IncidentCounts {
        IncidentCounts { surroundings_cut: self.index.cut(), ..self.counts }
    }

    /// How many incidents are open.
    pub fn open(&self) -> usize {
        self.incidents.values().filter(|incident| incident.status() == Status::Open).count()
    }

    /// When [`Self::apply`] must be called next even if nothing happens.
    pub fn wake_at(&self) -> Option<TimestampMs> {
        [self.wakes.first().map(|(at, _)| *at), self.silences.wake_at()].into_iter().flatten().min()
    }

    fn wake_of(&self, incident: &Incident) -> Option<TimestampMs> {
        if incident.doubted_at.is_some() {
            return incident.doubted_at;
        }
        if let Some(resolved_at) = incident.resolved_at {
            return Some(resolved_at + self.params.reopen_ms);
        }
        let over = if incident.alerts.is_firing() {
            None
        } else {
            incident.alerts.last_end().map(|end| end + self.params.resolve_wait_ms)
        };
        let due = incident.notify.wake_at(&self.notify, &incident.facts(incident.opened_at));
        let owed = incident.owes.then_some(incident.revised_at + incident.gathers_for());
        [over, due, owed].into_iter().flatten().min()
    }

    /// A large incident changes with every second of a storm, and a revision of it is long: its alerts are told together.
    fn can_wait(&mut self, at: TimestampMs, id: &IncidentId, change: RevisionChange) -> bool {
        let notify = &self.notify;
        let Some(incident) = self.incidents.get_mut(id) else { return false };
        let may_notify = || incident.notify.may_notify(notify, &incident.facts(at));
        incident.owes = change == RevisionChange::Updated && at < incident.revised_at + incident.gathers_for() && !may_notify();
        incident.owes
    }

    fn reset_wake(&mut self, id: &IncidentId) {
        let Some(wake_at) = self.incidents.get(id).map(|incident| self.wake_of(incident)) else { return };
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let before = std::mem::replace(&mut incident.wake_at, wake_at);
        if before != wake_at {
            before.map(|at| self.wakes.remove(&(at, *id)));
            wake_at.map(|at| self.wakes.insert((at, *id)));
        }
    }

    /// What happened at `at`: every transition of that instant in one call. Yields one revision for each incident that changed
    /// or owes a decision. `pending` says which entities of an environment may be failing.
    pub fn apply(&mut self, at: TimestampMs, mut transitions: Vec<Transition>, pending: &Pending<'_>) -> Vec<Revision> {
        transitions.sort_by_key(|transition| (transition.change, transition.alert.started_at, transition.alert.fingerprint));
        let mut touched: BTreeMap<IncidentId, RevisionChange> = BTreeMap::new();
        let mut revisions = Vec::new();
        self.advance_silences(at, &mut touched);
        for Transition { change, alert } in transitions {
            match change {
                Change::Resolved | Change::Escalated => self.update(alert, &mut touched),
                Change::Fired => self.fire(at, alert, &mut touched, &mut revisions),
            }
        }
        self.wake(at, &mut touched);
        for (id, change) in touched {
            if !self.can_wait(at, &id, change) {
                revisions.extend(self.revise(at, &id, change, pending));
            }
            self.reset_wake(&id);
        }
        self.count(&revisions);
        revisions
    }

    fn count(&mut self, revisions: &[Revision]) {
        self.counts.revisions += revisions.len() as u64;
        revisions.iter().for_each(|revision| self.counts.decisions[revision.decision.index()] += 1);
        self.counts.notifications += revisions.iter().filter(|revision| revision.decision.is_sent()).count() as u64;
    }

    fn update(&mut self, alert: Arc<Alert>, touched: &mut BTreeMap<IncidentId, RevisionChange>) {
        let Some(id) = self.home.get(&alert.fingerprint) else { return };
        let Some(incident) = self.incidents.get_mut(id) else { return };
        touch(touched, id, RevisionChange::Updated);
        if alert.severity > incident.severity {
            incident.severity = alert.severity;
            touch(touched, id, RevisionChange::Escalated);
        }
        self.index.put(id, &alert);
        let id = *id;
        if let Some(evicted) = incident.put(Arc::clone(&alert)) {
            self.forget_evicted(&id, &evicted);
        }
        self.silence_alert(&id, &alert);
    }

    /// An ended alert is no longer held by its incident.
    fn forget_evicted(&mut self, id: &IncidentId, alert: &Alert) {
        self.counts.evicted += 1;
        self.index.take(id, alert);
        self.home.remove(&alert.fingerprint);
        if let Some(incident) = self.incidents.get_mut(id) {
            incident.silenced.remove(alert.fingerprint);
        }
    }

    fn fire(
        &mut self,
        at: TimestampMs,
        alert: Arc<Alert>,
        touched: &mut BTreeMap<IncidentId, RevisionChange>,
        revisions: &mut Vec<Revision>,
    ) {
        self.counts.alerts += 1;
        let first = self.index.fires(&alert);
        if let Some(id) = self.home.get(&alert.fingerprint).copied()
            && let Some(incident) = self.incidents.get_mut(&id)
            && (incident.status() == Status::Open || at - incident.resolved_at.unwrap_or(at) <= self.params.reopen_ms)
        {
            if let Some(resolved_at) = incident.resolved_at.take() {
                incident.notify.reopened(&self.notify, resolved_at, at);
                touch(touched, &id, RevisionChange::Reopened);
                self.doubt(at, &id);
            }
            self.learn_co_occurrence(at, &alert, first);
            self.join(&id, alert, &[], touched);
            return;
        }
        let ties = self.ties(&alert);
        self.learn_co_occurrence(at, &alert, first);
        let Some(best) = ties.first().map(|(id, _)| *id) else {
            self.open_incident(at, alert, touched);
            return;
        };
        // What explains two incidents makes them one. A symptom of two causes does not: it stays with the likelier one.
        let joins = |tie: &Tie| matches!(tie.direction(), Direction::Cause | Direction::Same | Direction::Siblings);
        let others: Vec<IncidentId> = ties[1..].iter().filter(|(id, tie)| *id != best && joins(tie)).map(|(id, _)| *id).collect();
        let merging = joins(&ties[0].1) && !others.is_empty();
        let told: Vec<&Tie> =
            ties.iter().filter(|(id, _)| *id == best || (merging && others.contains(id))).map(|(_, tie)| tie).collect();
        let mut survivor = best;
        if merging {
            for other in others {
                survivor = self.merge(at, survivor, other, touched, revisions);
            }
        }
        self.join(&survivor, alert, &told, touched);
    }

    /// Learns who fails together: neither from announcements, nor from what fails already.
    fn learn_co_occurrence(&mut self, at: TimestampMs, alert: &Alert, first: bool) {
        if let Some(entity) = alert.entity.as_ref().filter(|_| first && alert.severity > Severity::Info) {
            self.co_occurrence.saw(at, &alert.env, entity, self.params.gap_ms);
        }
    }

    /// The best tie to each incident that would take the alert, best first; older incidents win a draw.
    fn ties(&self, alert: &Arc<Alert>) -> Vec<(IncidentId, Tie)> {
        let takes = |id: &IncidentId| {
            self.incidents.get(id).is_some_and(|incident| {
                incident.status() == Status::Open && alert.fired_at - incident.opened_at < self.params.lifetime_ms
            })
        };
        let search = Search { params: &self.params, co_occurrence: &self.co_occurrence, takes: &takes };
        let started = |id: &IncidentId| self.incidents.get(id).map(|incident| incident.started_at);
        let mut found: Vec<(IncidentId, Tie)> = self.index.ties(alert, &search).into_iter().collect();
        found.sort_by(|a, b| b.1.score.total_cmp(&a.1.score).then_with(|| (started(&a.0), &a.0).cmp(&(started(&b.0), &b.0))));
        found
    }

    fn open_incident(&mut self, at: TimestampMs, alert: Arc<Alert>, touched: &mut BTreeMap<IncidentId, RevisionChange>) {
        let id = IncidentId::of_first(&alert);
        self.counts.opened += 1;
        self.home.insert(alert.fingerprint, id);
        self.index.put(&id, &alert);
        touch(touched, &id, RevisionChange::Opened);
        let mut incident = Incident { notify: NotifyState::new(&self.notify, at), ..Incident::new(at, &alert) };
        incident.put(Arc::clone(&alert));
        self.incidents.insert(id, incident);
        self.silence_alert(&id, &alert);
    }

    fn join(&mut self, id: &IncidentId, alert: Arc<Alert>, ties: &[&Tie], touched: &mut BTreeMap<IncidentId, RevisionChange>) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        touch(touched, id, RevisionChange::Updated);
        if alert.severity > incident.severity {
            incident.severity = alert.severity;
            touch(touched, id, RevisionChange::Escalated);
        }
        incident.started_at = incident.started_at.min(alert.started_at);
        self.home.insert(alert.fingerprint, *id);
        self.index.put(id, &alert);
        ties.iter().for_each(|tie| incident.links.tie(tie, &alert, &self.topology));
        if incident.is_unrelated(&alert, ties, self.params.gap_ms) {
            incident.notify.joined_unrelated();
        }
        incident.put(Arc::clone(&alert));
        self.silence_alert(id, &alert);
    }

    /// Makes two incidents one: the older id survives, the other's last revision says where it went.
    fn merge(
        &mut self,
        at: TimestampMs,
        a: IncidentId,
        b: IncidentId,
        touched: &mut BTreeMap<IncidentId, RevisionChange>,
        revisions: &mut Vec<Revision>,
    ) -> IncidentId {
        let age = |id: &IncidentId| (self.incidents.get(id).map_or(TimestampMs::MAX, |incident| incident.started_at), *id);
        let (survivor, gone) = if age(&a) <= age(&b) { (a, b) } else { (b, a) };
        let Some(mut other) = self.incidents.remove(&gone) else { return survivor };
        let was = touched.remove(&gone);
        other.wake_at.map(|at| self.wakes.remove(&(at, gone)));
        if was != Some(RevisionChange::Opened) {
            other.revision += 1;
            let facts = NotifyFacts { merged_into: Some(survivor), ..other.facts(at) };
            let decision = other.notify.clone().decide(&self.notify, &facts);
            let candidates = self.candidates(&other);
            let topology = self.topology.stamp();
            let last = Revision {
                status: Status::Merged,
                merged_into: Some(survivor),
                ..revision_of(&gone, &other, at, RevisionChange::Merged, (topology, candidates), decision)
            };
            revisions.push(last);
        } else {
            // Opened and merged at the same instant: nobody ever saw it.
            self.counts.opened -= 1;
        }
        if let Some(incident) = self.incidents.get_mut(&survivor) {
            self.merged.insert(gone, survivor);
            for alert in other.alerts.iter() {
                self.home.insert(alert.fingerprint, survivor);
                self.index.move_to(&gone, &survivor, alert);
            }
            incident.changed.append(&mut other.changed);
            let evicted = incident.alerts.absorb(other.alerts);
            incident.links.absorb(other.links);
            incident.silenced.absorb(other.silenced);
            incident.handling.absorb(other.handling);
            if other.severity > incident.severity {
                incident.severity = other.severity;
                touch(touched, &survivor, RevisionChange::Escalated);
            }
            incident.started_at = incident.started_at.min(other.started_at);
            incident.notify.absorb(&other.notify);
            incident.doubted_at = [incident.doubted_at, other.doubted_at].into_iter().flatten().min();
            touch(
                touched,
                &survivor,
                if was == Some(RevisionChange::Opened) { RevisionChange::Updated } else { RevisionChange::Merged },
            );
            evicted.iter().for_each(|alert| self.forget_evicted(&survivor, alert));
        }
        survivor
    }

    /// Incidents whose time has come: to be resolved, told again, or forgotten.
    fn wake(&mut self, at: TimestampMs, touched: &mut BTreeMap<IncidentId, RevisionChange>) {
        let due: Vec<IncidentId> = self.wakes.iter().take_while(|(wake, _)| *wake <= at).map(|(_, id)| *id).collect();
        for id in due {
            let Some(incident) = self.incidents.get_mut(&id) else { continue };
            if incident.status() == Status::Resolved {
                if let Some(incident) = self.incidents.remove(&id) {
                    self.merged.retain(|_, survivor| *survivor != id);
                    incident.wake_at.map(|at| self.wakes.remove(&(at, id)));
                    for alert in incident.alerts.iter() {
                        self.index.take(&id, alert);
                        if self.home.get(&alert.fingerprint) == Some(&id) {
                            self.home.remove(&alert.fingerprint);
                        }
                    }
                }
                touched.remove(&id);
            } else if incident.doubted_at.is_some() {
                self.split(at, &id, touched);
            } else if !incident.alerts.is_firing()
                && incident.alerts.last_end().is_some_and(|end| end + self.params.resolve_wait_ms <= at)
            {
                incident.resolved_at = incident.alerts.last_end();
                self.end_silences_of(at, &id);
                touch(touched, &id, RevisionChange::Resolved);
            } else {
                touch(touched, &id, RevisionChange::Updated);
            }
        }
    }

    fn revise(&mut self, at: TimestampMs, id: &IncidentId, change: RevisionChange, pending: &Pending<'_>) -> Option<Revision> {
        let candidates = self.candidates(self.incidents.get(id)?);
        let held_by = self.held_by(at, self.incidents.get(id)?, pending);
        let topology = self.topology.stamp();
        let incident = self.incidents.get_mut(id)?;
        incident.revision += 1;
        incident.revised_at = at;
        incident.owes = false;
        incident.cause = candidates.first().map(|candidate| Arc::clone(&candidate.entity));
        let mut state = std::mem::take(&mut incident.notify);
        state.expire_acknowledgement(at);
        let decision = state.decide(&self.notify, &NotifyFacts { held_by, ..incident.facts(at) });
        incident.notify = state;
        let is_sent = decision.is_sent();
        let revision = revision_of(id, incident, at, change, (topology, candidates), decision);
        incident.changed.clear();
        if is_sent {
            incident.alerts.mark_notified();
        }
        Some(revision)
    }

    fn candidates(&self, incident: &Incident) -> Vec<Candidate> {
        let Some(of_env) = self.index.of_env(&incident.env) else { return Vec::new() };
        root_cause::rank(incident.alerts.evidence(), of_env, &self.topology)
    }
}

fn touch(touched: &mut BTreeMap<IncidentId, RevisionChange>, id: &IncidentId, change: RevisionChange) {
    let known = touched.entry(*id).or_insert(change);
    *known = change.max(*known);
}
