//! An incident falls apart when what tied it is gone: an edge of the graph turned out to be wrong, or went with a release.
//!
//! LinkSet that stand on the alerts alone hold whatever becomes of the graph. Where those that stood on it hold no more, and nothing
//! else ties the parts, the part with the oldest alert goes on under the id, and each other part becomes an incident of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::candidate_index::EnvIndex;
use crate::incident::candidate_index::search::Search;
use crate::incident::entity_ids::EntityId;
use crate::incident::id::IncidentId;
use crate::incident::link::Link;
use crate::incident::link::LinkBasis;
use crate::incident::notify::state::NotifyState;
use crate::incident::status::{RevisionChange, Status};
use crate::incident::store::incident::Incident;
use crate::incident::store::{IncidentStore, touch};
use crate::model::time::TimestampMs;
use crate::topology::Topology;

/// Pairs of entities that are asked whether something else ties the parts.
const PAIRS_MAX: usize = 10_000;

impl IncidentStore {
    /// Marks the incidents of which a link holds no more on the graph as it is from `at` on: they are looked at then.
    pub(crate) fn doubt_links(&mut self, at: TimestampMs) {
        let ids: Vec<IncidentId> = self.incidents.keys().copied().collect();
        ids.iter().for_each(|id| self.doubt(at, id));
    }

    /// The same of one incident. One that is resolved is looked at when it is reopened.
    pub(crate) fn doubt(&mut self, at: TimestampMs, id: &IncidentId) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let Some(of_env) = self.index.of_env(&incident.env) else { return };
        let open = incident.status() == Status::Open && incident.doubted_at.is_none();
        if open && incident.links.iter().any(|link| !holds(link, of_env, &self.topology)) {
            incident.doubted_at = Some(at);
            self.reset_wake(id);
        }
    }

    /// Looks whether a doubted incident still is one.
    pub(crate) fn split(&mut self, at: TimestampMs, id: &IncidentId, touched: &mut BTreeMap<IncidentId, RevisionChange>) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let Some(of_env) = self.index.of_env(&incident.env) else { return };
        incident.doubted_at = None;
        // Of so many links the weakest are not kept: what they tied cannot be told.
        let known = incident.links.dropped() == 0;
        incident.links.extract(|link| !holds(link, of_env, &self.topology));
        touch(touched, id, RevisionChange::Updated);
        if !known {
            return;
        }
        let mut parts = Components::new(incident);
        self.tie_again(id, &mut parts);
        for alerts in parts.apart() {
            self.part(at, id, alerts, touched);
        }
    }

    /// Looks for another tie between the parts.
    fn tie_again(&mut self, id: &IncidentId, parts: &mut Components) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let search = Search { params: &self.params, co_occurrence: &self.co_occurrence, takes: &|_| true };
        let firsts = parts.firsts();
        let pairs = firsts.iter().enumerate().flat_map(|(at, new)| firsts[..at].iter().map(move |known| (new, known)));
        for (new, known) in pairs.take(PAIRS_MAX) {
            if parts.are_one(new.subject(), known.subject()) {
                continue;
            }
            if let Some(tie) = self.index.tie_of(new, known, &search) {
                parts.join(new.subject(), known.subject());
                incident.links.tie(&tie, new, &self.topology);
            }
        }
    }

    /// Makes an incident of its own of these alerts.
    pub(crate) fn part(
        &mut self,
        at: TimestampMs,
        from: &IncidentId,
        alerts: Vec<Arc<Alert>>,
        touched: &mut BTreeMap<IncidentId, RevisionChange>,
    ) {
        let (Some(first), Some(incident)) = (alerts.first(), self.incidents.get_mut(from)) else { return };
        let id = IncidentId::of_part(first, from, at);
        let mut part = Incident {
            opened_at: incident.opened_at,
            split_from: Some(*from),
            notify: NotifyState::new(&self.notify, at),
            ..Incident::new(at, first)
        };
        for alert in alerts {
            incident.alerts.take(alert.fingerprint);
            incident.changed.remove(&alert.fingerprint);
            self.index.move_to(from, &id, &alert);
            self.home.insert(alert.fingerprint, id);
            incident.silenced.move_to(alert.fingerprint, &mut part.silenced);
            part.severity = part.severity.max(alert.severity);
            part.put(alert);
        }
        part.links = incident.links.extract(|link| part.alerts.iter().any(|alert| alert.subject() == link.from.as_ref()));
        incident.severity = incident.alerts.severity().unwrap_or(incident.severity);
        self.incidents.insert(id, part);
        self.counts.opened += 1;
        touch(touched, from, RevisionChange::Split);
        touch(touched, &id, RevisionChange::Split);
    }
}

/// Whether what a link stands on is there.
fn holds(link: &Link, of_env: &EnvIndex, topology: &Topology) -> bool {
    let depends = |entity: &str, on: &str| topology.number(on).is_some_and(|on| of_env.depends(entity, EntityId::of_node(on)));
    match &link.ground {
        LinkBasis::Alerts => true,
        LinkBasis::Way => depends(&link.from, &link.to) || depends(&link.to, &link.from),
        LinkBasis::Common(via) => depends(&link.from, via) && depends(&link.to, via),
    }
}

/// The parts that the links of an incident hold together.
struct Components {
    entities: BTreeMap<Arc<str>, Component>,
}

struct Component {
    /// Oldest first.
    alerts: Vec<Arc<Alert>>,
    /// Another entity of the same part, earlier by name; itself, where there is none.
    next: Arc<str>,
}

impl Components {
    fn new(incident: &Incident) -> Self {
        let mut parts = Self { entities: BTreeMap::new() };
        for alert in incident.alerts.iter() {
            let name: Arc<str> = alert.subject().into();
            let entity = parts.entities.entry(Arc::clone(&name)).or_insert_with(|| Component { alerts: Vec::new(), next: name });
            entity.alerts.push(Arc::clone(alert));
        }
        for entity in parts.entities.values_mut() {
            entity.alerts.sort_by_key(|alert| (alert.started_at, alert.fingerprint));
        }
        incident.links.iter().for_each(|link| parts.join(&link.from, &link.to));
        parts
    }

    /// The entity that stands for a part.
    fn head(&self, name: &str) -> Option<Arc<str>> {
        let mut at = &self.entities.get(name)?.next;
        while let Some(entity) = self.entities.get(at).filter(|entity| entity.next != *at) {
            at = &entity.next;
        }
        Some(Arc::clone(at))
    }

    fn are_one(&self, a: &str, b: &str) -> bool {
        self.head(a) == self.head(b)
    }

    fn join(&mut self, a: &str, b: &str) {
        if let (Some(a), Some(b)) = (self.head(a), self.head(b))
            && let Some(entity) = self.entities.get_mut(Ord::max(&a, &b))
        {
            entity.next = a.min(b);
        }
    }

    /// The oldest alert of each entity, oldest first.
    fn firsts(&self) -> Vec<Arc<Alert>> {
        let mut firsts: Vec<Arc<Alert>> = self.entities.values().filter_map(|entity| entity.alerts.first().cloned()).collect();
        firsts.sort_by_key(|alert| (alert.started_at, alert.fingerprint));
        firsts
    }

    /// The alerts of each part but the one with the oldest alert; each part's and the parts themselves oldest first.
    fn apart(&self) -> Vec<Vec<Arc<Alert>>> {
        let mut of_head: BTreeMap<Arc<str>, Vec<Arc<Alert>>> = BTreeMap::new();
        for (name, entity) in &self.entities {
            of_head.entry(self.head(name).unwrap_or_default()).or_default().extend(entity.alerts.iter().cloned());
        }
        let mut parts: Vec<Vec<Arc<Alert>>> = of_head.into_values().collect();
        for alerts in &mut parts {
            alerts.sort_by_key(|alert| (alert.started_at, alert.fingerprint));
        }
        parts.sort_by_key(|alerts| alerts.first().map(|alert| (alert.started_at, alert.fingerprint)));
        parts.split_off(parts.len().min(1))
    }
}
