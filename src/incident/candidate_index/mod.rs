//! Where the [`search`] for links finds the alerts that may be related to a new one, without comparing it with every alert of every
//! incident. In a storm, the cost of an alert depends on its neighbours in the topology and not on the size of the storm.

pub mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::HashMap;

use crate::alert::Alert;
use crate::incident::correlation_params::CorrelationParams;
use crate::incident::entity_ids::{EntityId, EntityIds, IdKind, about};
use crate::incident::id::IncidentId;
use crate::incident::link_score::{Neighborhood, Tie, TieEnd};
use crate::model::fingerprint::Fingerprint;
use crate::topology::Topology;

/// All alerts of all incidents, by what they are about.
pub struct CandidateIndex {
    topology: Arc<Topology>,
    hops: usize,
    keys: Vec<Arc<str>>,
    of_env: BTreeMap<Arc<str>, EnvIndex>,
    cut: u64,
}

/// The same of one environment.
pub struct EnvIndex {
    spots: EntityIds,
    /// Never iterated: a hash map has no stable order.
    of_spot: HashMap<EntityId, NodeIndex>,
}

/// One thing that alerts are about, or on which such a thing depends.
#[derive(Default)]
struct NodeIndex {
    /// Its neighborhood, as long as alerts are about it or name it as the caller.
    around: Option<Arc<Neighborhood>>,
    /// The alerts about it, by incident.
    members: BTreeMap<IncidentId, BTreeMap<Fingerprint, Arc<Alert>>>,
    /// How many of them fire.
    firing: usize,
    /// How many of its direct dependents have firing alerts.
    failing_dependents: usize,
    /// The entities of each incident that depend on it, directly or not.
    under: BTreeMap<IncidentId, BTreeSet<EntityId>>,
    /// The entities of each incident whose alerts name it as the caller.
    complains: BTreeMap<IncidentId, BTreeSet<EntityId>>,
}

impl NodeIndex {
    fn is_asked(&self) -> bool {
        !self.members.is_empty() || self.firing > 0 || !self.complains.is_empty()
    }

    fn is_blank(&self) -> bool {
        !self.is_asked() && self.failing_dependents == 0 && self.under.is_empty()
    }
}

/// The best link to each incident.
pub type Ties = BTreeMap<IncidentId, Tie>;

impl CandidateIndex {
    /// An empty index.
    pub fn new(topology: Arc<Topology>, params: &CorrelationParams) -> Self {
        Self { topology, hops: params.hops, keys: params.keys.clone(), of_env: BTreeMap::new(), cut: 0 }
    }

    /// An empty index over another topology.
    pub fn over(&self, topology: Arc<Topology>) -> Self {
        Self { topology, hops: self.hops, keys: self.keys.clone(), of_env: BTreeMap::new(), cut: self.cut }
    }

    /// Adds an alert that was in an incident before the index was built: after a restart, or over another topology.
    pub fn remember(&mut self, id: &IncidentId, alert: &Arc<Alert>) {
        if alert.is_firing() {
            self.fires(alert);
        } else {
            self.knows(alert);
        }
        self.put(id, alert);
    }

    /// The index of one environment.
    pub fn of_env(&self, env: &str) -> Option<&EnvIndex> {
        self.of_env.get(env)
    }

    /// How often a neighborhood was cut at a limit.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// An alert began to fire, whichever incident will take it. Returns whether it is the only firing one about the same thing.
    pub fn fires(&mut self, alert: &Alert) -> bool {
        self.knows(alert);
        let Some(of_env) = self.of_env.get_mut(&alert.env) else { return true };
        let Some(of_spot) = of_env.spots.of_alert(alert).and_then(|spot| of_env.of_spot.get_mut(&spot)) else { return true };
        of_spot.firing += 1;
        let first = of_spot.firing == 1;
        for dependency in of_spot.around.clone().filter(|_| first).iter().flat_map(|around| around.direct()) {
            of_env.of_spot.entry(dependency).or_default().failing_dependents += 1;
        }
        first
    }

    /// Prepares for an alert: finds the neighborhoods of its entity and of its caller.
    fn knows(&mut self, alert: &Alert) {
        let Self { topology, hops, of_env, cut, .. } = self;
        if !of_env.contains_key(&alert.env) {
            of_env.insert(Arc::clone(&alert.env), EnvIndex { spots: EntityIds::new(topology), of_spot: HashMap::default() });
        }
        let Some(of_env) = of_env.get_mut(&alert.env) else { return };
        for end in [Some(about(alert)), alert.peer.as_ref().map(|peer| (IdKind::Entity, peer))].into_iter().flatten() {
            let spot = of_env.spots.number(end.0, end.1, topology);
            let of_spot = of_env.of_spot.entry(spot).or_default();
            if of_spot.around.is_none() && spot.is_node(topology) {
                let around = Neighborhood::new(topology, spot.number(), &alert.env, *hops);
                *cut += u64::from(around.cut);
                of_spot.around = Some(Arc::new(around));
            }
        }
    }

    /// Adds or updates an alert of an incident. For a firing one, [`Self::fires`] was called before.
    pub fn put(&mut self, id: &IncidentId, alert: &Arc<Alert>) {
        let keys = self.keys_of(alert);
        let topology = &self.topology;
        let Some(of_env) = self.of_env.get_mut(&alert.env) else { return };
        let Some(spot) = of_env.spots.of_alert(alert) else { return };
        let of_spot = of_env.of_spot.entry(spot).or_default();
        let around = of_spot.around.clone().filter(|_| !of_spot.members.contains_key(id));
        let before = of_spot.members.entry(*id).or_default().insert(alert.fingerprint, Arc::clone(alert));
        for (dependency, _) in around.iter().flat_map(|around| around.dependencies()) {
            of_env.of_spot.entry(*dependency).or_default().under.entry(*id).or_default().insert(spot);
        }
        if let Some(peer) = &alert.peer
            && let Some(caller) = of_env.spots.find(IdKind::Entity, peer)
        {
            of_env.of_spot.entry(caller).or_default().complains.entry(*id).or_default().insert(spot);
        }
        for key in &keys {
            let key = of_env.spots.number(IdKind::Key, key, topology);
            let members = &mut of_env.of_spot.entry(key).or_default().members;
            members.entry(*id).or_default().insert(alert.fingerprint, Arc::clone(alert));
        }
        if before.is_some_and(|before| before.is_firing()) && !alert.is_firing() {
            of_env.ended(spot);
        }
    }

    /// The labels of `correlation.keys`, with their values.
    fn keys_of(&self, alert: &Alert) -> Vec<Arc<str>> {
        let of_key = |key: &Arc<str>| Some(format!("{key}={}", alert.labels.get(key)?).into());
        self.keys.iter().filter_map(of_key).collect()
    }

    /// Moves an alert to another incident.
    pub fn move_to(&mut self, from: &IncidentId, to: &IncidentId, alert: &Arc<Alert>) {
        self.leave(from, alert);
        self.put(to, alert);
    }

    /// Removes an alert.
    pub fn take(&mut self, id: &IncidentId, alert: &Alert) {
        let taken = self.leave(id, alert);
        let Some(of_env) = self.of_env.get_mut(&alert.env) else { return };
        if let Some(spot) = taken.filter(|taken| taken.is_firing()).and_then(|taken| of_env.spots.of_alert(&taken)) {
            of_env.ended(spot);
        }
        of_env.forget(alert);
    }

    fn leave(&mut self, id: &IncidentId, alert: &Alert) -> Option<Arc<Alert>> {
        let keys = self.keys_of(alert);
        let of_env = self.of_env.get_mut(&alert.env)?;
        let spot = of_env.spots.of_alert(alert)?;
        let of_spot = of_env.of_spot.get_mut(&spot)?;
        let alerts = of_spot.members.get_mut(id)?;
        let taken = alerts.remove(&alert.fingerprint);
        let complains_still = alerts.values().any(|other| other.peer == alert.peer);
        if alerts.is_empty() {
            of_spot.members.remove(id);
            for (dependency, _) in of_spot.around.clone().iter().flat_map(|around| around.dependencies()) {
                of_env.change(*dependency, |of_spot| leave(&mut of_spot.under, id, spot));
            }
        }
        if let Some(peer) = alert.peer.as_ref().filter(|_| !complains_still)
            && let Some(caller) = of_env.spots.find(IdKind::Entity, peer)
        {
            of_env.change(caller, |of_spot| leave(&mut of_spot.complains, id, spot));
        }
        for key in keys {
            let Some(spot) = of_env.spots.find(IdKind::Key, &key) else { continue };
            let blank = of_env.change(spot, |of_spot| {
                let left = of_spot.members.get_mut(id).is_some_and(|alerts| {
                    alerts.remove(&alert.fingerprint);
                    alerts.is_empty()
                });
                if left {
                    of_spot.members.remove(id);
                }
            });
            if blank {
                of_env.spots.forget(IdKind::Key, &key);
            }
        }
        taken
    }
}

impl EnvIndex {
    /// What an entity with alerts depends on.
    pub fn dependencies(&self, spot: EntityId) -> &[(EntityId, usize)] {
        self.of_spot.get(&spot).and_then(|of_spot| of_spot.around.as_ref()).map_or(&[], |around| around.dependencies())
    }

    /// Whether an entity with alerts depends on a node.
    pub fn depends(&self, entity: &str, on: EntityId) -> bool {
        let around = self.spot(entity).and_then(|spot| self.of_spot.get(&spot)?.around.as_ref());
        around.is_some_and(|around| around.hops_to(on).is_some())
    }

    /// The id of an entity, if it has alerts.
    pub fn spot(&self, entity: &str) -> Option<EntityId> {
        self.spots.find(IdKind::Entity, entity)
    }

    /// The entity of an alert, as one end of a link.
    fn end<'a>(&'a self, alert: &Alert, nothing: &'a Neighborhood) -> TieEnd<'a> {
        let spot = alert.entity.as_ref().and_then(|entity| self.spot(entity));
        let around = spot.and_then(|spot| self.of_spot.get(&spot)?.around.as_deref());
        TieEnd { spot, around: around.unwrap_or(nothing) }
    }

    fn share_alerting(&self, spot: EntityId, env: &str, topology: &Topology) -> f64 {
        let failing = self.of_spot.get(&spot).map_or(0, |of_spot| of_spot.failing_dependents);
        let all = topology.direct_dependents(spot.number(), env);
        if all == 0 { 0.0 } else { failing as f64 / all as f64 }
    }

    /// Changes one entry, and drops it if it is empty then. Returns whether it is.
    fn change(&mut self, spot: EntityId, change: impl FnOnce(&mut NodeIndex)) -> bool {
        let Some(of_spot) = self.of_spot.get_mut(&spot) else { return true };
        change(of_spot);
        let blank = of_spot.is_blank();
        if blank {
            self.of_spot.remove(&spot);
        }
        blank
    }

    /// An alert about this ended.
    fn ended(&mut self, spot: EntityId) {
        let Some(of_spot) = self.of_spot.get_mut(&spot) else { return };
        of_spot.firing = of_spot.firing.saturating_sub(1);
        if of_spot.firing == 0
            && let Some(around) = of_spot.around.clone()
        {
            for dependency in around.direct() {
                self.change(dependency, |of_spot| of_spot.failing_dependents = of_spot.failing_dependents.saturating_sub(1));
            }
        }
    }

    /// Drops the neighborhoods that no alert needs any more.
    fn forget(&mut self, alert: &Alert) {
        for (sort, name) in [Some(about(alert)), alert.peer.as_ref().map(|peer| (IdKind::Entity, peer))].into_iter().flatten() {
            let Some(spot) = self.spots.find(sort, name) else { continue };
            if let Some(of_spot) = self.of_spot.get_mut(&spot).filter(|of_spot| !of_spot.is_asked()) {
                of_spot.around = None;
            }
            if self.change(spot, |_| {}) {
                self.spots.forget(sort, name);
            }
        }
    }
}

/// Removes an entity of an incident.
fn leave(all: &mut BTreeMap<IncidentId, BTreeSet<EntityId>>, id: &IncidentId, spot: EntityId) {
    let Some(spots) = all.get_mut(id) else { return };
    spots.remove(&spot);
    if spots.is_empty() {
        all.remove(id);
    }
}
