//! Which known alerts may be tied to a new one, found without asking every alert of every incident.
//!
//! What a tie is, [`relate`](crate::incident::relate) says; here is only where to look: the alert's own entity, what it depends
//! on, what depends on it, and what shares a dependency of which enough dependents alert. Incidents are asked in the order of
//! the best score that a place could give, so that one with a better tie already is left alone. In a storm an alert costs its
//! neighbours, not the storm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::relate::{Context, Surroundings, Tie, bound_of_hops, bound_of_siblings, tie};
use crate::incident::{CorrelationParams, IncidentId};
use crate::topology::Topology;
use crate::words::fingerprint::Fingerprint;
use crate::words::severity::Severity;

/// Alerts of one incident that are asked for a common dependency: those of one incident say much the same.
const SIBLINGS_MAX: usize = 64;

/// What the alerts of the book are about, by environment.
#[derive(Default)]
pub struct Nearby {
    of_env: BTreeMap<Arc<str>, OfEnv>,
}

#[derive(Default)]
struct OfEnv {
    /// Around each entity that has alerts.
    around: BTreeMap<Arc<str>, Surroundings>,
    /// The alerts about each entity, by incident; of alerts about none, by rule.
    members: BTreeMap<Place, BTreeMap<IncidentId, BTreeMap<Fingerprint, Arc<Alert>>>>,
    /// How many alerts of each entity fire.
    firing: BTreeMap<Arc<str>, usize>,
    /// How many direct dependents of each node have alerts that fire.
    failing_dependents: BTreeMap<Arc<str>, usize>,
    /// Which entities of an incident depend on a node, near or far.
    under: BTreeMap<Arc<str>, BTreeMap<IncidentId, BTreeSet<Arc<str>>>>,
}

/// What an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Entity(Arc<str>),
    NoEntity(Arc<str>),
}

impl Place {
    fn of(alert: &Alert) -> Self {
        match &alert.entity {
            Some(entity) => Place::Entity(Arc::clone(entity)),
            None => Place::NoEntity(Arc::clone(&alert.rule)),
        }
    }
}

/// The best tie to each incident.
pub type Ties = BTreeMap<IncidentId, Tie>;

impl Nearby {
    /// What surrounds the entities that have alerts.
    pub fn around(&self, env: &str) -> Option<&BTreeMap<Arc<str>, Surroundings>> {
        self.of_env.get(env).map(|of_env| &of_env.around)
    }

    /// An alert began to fire, wherever it will belong.
    pub fn fires(&mut self, alert: &Alert, topology: &Topology, hops: usize) {
        let Some(entity) = &alert.entity else { return };
        self.knows(alert, topology, hops);
        let of_env = self.of_env.entry(Arc::clone(&alert.env)).or_default();
        let firing = of_env.firing.entry(Arc::clone(entity)).or_default();
        *firing += 1;
        if *firing == 1 {
            for dependency in of_env.around.get(entity).into_iter().flat_map(Surroundings::direct) {
                *of_env.failing_dependents.entry(Arc::clone(dependency)).or_default() += 1;
            }
        }
    }

    /// An alert will belong to an incident: looks around its entity.
    pub fn knows(&mut self, alert: &Alert, topology: &Topology, hops: usize) {
        let Some(entity) = &alert.entity else { return };
        let of_env = self.of_env.entry(Arc::clone(&alert.env)).or_default();
        if !of_env.around.contains_key(entity) {
            of_env.around.insert(Arc::clone(entity), Surroundings::new(topology, entity, &alert.env, hops));
        }
    }

    fn ended(&mut self, alert: &Alert) {
        let Some(of_env) = self.of_env.get_mut(&alert.env) else { return };
        let Some(entity) = &alert.entity else { return };
        let Some(firing) = of_env.firing.get_mut(entity) else { return };
        *firing -= 1;
        if *firing == 0 {
            of_env.firing.remove(entity);
            for dependency in of_env.around.get(entity).into_iter().flat_map(Surroundings::direct) {
                if let Some(failing) = of_env.failing_dependents.get_mut(dependency) {
                    *failing -= 1;
                    if *failing == 0 {
                        of_env.failing_dependents.remove(dependency);
                    }
                }
            }
        }
    }

    /// An alert of an incident is as it is now: it joined, changed, or ended. One that fires was told to [`Self::fires`] before.
    pub fn put(&mut self, id: &IncidentId, alert: &Arc<Alert>) {
        let of_env = self.of_env.entry(Arc::clone(&alert.env)).or_default();
        let place = Place::of(alert);
        if let Place::Entity(entity) = &place
            && let Some(around) = of_env.around.get(entity)
            && !of_env.members.get(&place).is_some_and(|of_place| of_place.contains_key(id))
        {
            for dependency in around.dependencies.keys() {
                let of_incident = of_env.under.entry(Arc::clone(dependency)).or_default();
                of_incident.entry(id.clone()).or_default().insert(Arc::clone(entity));
            }
        }
        let alerts = of_env.members.entry(place).or_default().entry(id.clone()).or_default();
        let before = alerts.insert(alert.fingerprint, Arc::clone(alert));
        if before.is_some_and(|before| before.is_firing()) && !alert.is_firing() {
            self.ended(alert);
        }
    }

    /// An alert that fires found no room in its incident.
    pub fn refuse(&mut self, alert: &Alert) {
        self.ended(alert);
        self.forget(alert);
    }

    /// An alert goes on in another incident.
    pub fn move_to(&mut self, from: &IncidentId, to: &IncidentId, alert: &Arc<Alert>) {
        self.leave(from, alert);
        self.put(to, alert);
    }

    /// An alert is in no incident any more.
    pub fn take(&mut self, id: &IncidentId, alert: &Alert) {
        if self.leave(id, alert).is_some_and(|taken| taken.is_firing()) {
            self.ended(alert);
        }
        self.forget(alert);
    }

    fn leave(&mut self, id: &IncidentId, alert: &Alert) -> Option<Arc<Alert>> {
        let of_env = self.of_env.get_mut(&alert.env)?;
        let place = Place::of(alert);
        let of_place = of_env.members.get_mut(&place)?;
        let alerts = of_place.get_mut(id)?;
        let taken = alerts.remove(&alert.fingerprint);
        if alerts.is_empty() {
            of_place.remove(id);
            if of_place.is_empty() {
                of_env.members.remove(&place);
            }
            if let Place::Entity(entity) = &place {
                of_env.leave(id, entity);
            }
        }
        taken
    }

    /// What surrounds an entity is asked for as long as it has alerts.
    fn forget(&mut self, alert: &Alert) {
        if let (Some(of_env), Some(entity)) = (self.of_env.get_mut(&alert.env), &alert.entity)
            && !of_env.members.contains_key(&Place::of(alert))
            && !of_env.firing.contains_key(entity)
        {
            of_env.around.remove(entity);
        }
    }

    /// The best tie of `new` to each incident that takes it. [`Self::fires`] knows of it already.
    pub fn ties(&self, new: &Arc<Alert>, search: &Search<'_>) -> Ties {
        let mut best = Ties::new();
        let Some(of_env) = self.of_env.get(&new.env) else { return best };
        let nothing = Surroundings::default();
        let around = new.entity.as_ref().and_then(|entity| of_env.around.get(entity)).unwrap_or(&nothing);
        let share = |name: &str| of_env.share_alerting(name, &new.env, search.topology);
        let looking = Looking { new, around, share: &share, of_env, search };
        looking.at(&Place::of(new), f64::INFINITY, &mut best);
        let at_home = |tie: &Tie| tie.link.score >= bound_of_hops(1);
        if new.entity.is_none() || best.values().any(at_home) {
            // The entity fails already, and what could be tied to that was tied to it then.
            return best;
        }
        looking.around(&mut best);
        looking.siblings(&mut best);
        best
    }
}

impl OfEnv {
    fn leave(&mut self, id: &IncidentId, entity: &Arc<str>) {
        for dependency in self.around.get(entity).into_iter().flat_map(|around| around.dependencies.keys()) {
            let Some(of_incident) = self.under.get_mut(dependency) else { continue };
            if let Some(entities) = of_incident.get_mut(id) {
                entities.remove(entity);
                if entities.is_empty() {
                    of_incident.remove(id);
                }
            }
            if of_incident.is_empty() {
                self.under.remove(dependency);
            }
        }
    }

    fn share_alerting(&self, name: &str, env: &str, topology: &Topology) -> f64 {
        let failing = self.failing_dependents.get(name).copied().unwrap_or(0);
        let all = topology.direct_dependents(name, env);
        if all == 0 { 0.0 } else { failing as f64 / all as f64 }
    }
}

/// What a search needs to know.
pub struct Search<'a> {
    /// Settings.
    pub params: &'a CorrelationParams,
    /// The graph.
    pub topology: &'a Topology,
    /// Whether an incident takes the new alert.
    pub takes: &'a dyn Fn(&IncidentId) -> bool,
}

/// A search for the ties of one new alert.
struct Looking<'a> {
    new: &'a Arc<Alert>,
    around: &'a Surroundings,
    share: &'a dyn Fn(&str) -> f64,
    of_env: &'a OfEnv,
    search: &'a Search<'a>,
}

impl Looking<'_> {
    /// Asks the alerts at a place, of incidents whose tie so far is not above `bound`: the best that the place can give.
    fn at(&self, place: &Place, bound: f64, best: &mut Ties) {
        for (id, alerts) in self.of_env.members.get(place).into_iter().flatten() {
            if best.get(id).is_none_or(|known| known.link.score <= bound) && (self.search.takes)(id) {
                self.ask(id, alerts, best);
            }
        }
    }

    fn ask(&self, id: &IncidentId, alerts: &BTreeMap<Fingerprint, Arc<Alert>>, best: &mut Ties) {
        let nothing = Surroundings::default();
        for known in telling(alerts, self.new).into_iter().flatten() {
            let context = Context {
                params: self.search.params,
                around_new: self.around,
                around_known: known.entity.as_ref().and_then(|entity| self.of_env.around.get(entity)).unwrap_or(&nothing),
                share_alerting: self.share,
            };
            let Some(tie) = tie(self.new, known, &context) else { continue };
            let better =
                |known: &Tie| tie.link.score.total_cmp(&known.link.score).then_with(|| known.link.to.cmp(&tie.link.to)).is_gt();
            if best.get(id).is_none_or(better) {
                best.insert(id.clone(), tie);
            }
        }
    }

    /// Dependencies and dependents, nearest first.
    fn around(&self, best: &mut Ties) {
        let places = self.around.dependencies.iter().chain(&self.around.dependents);
        let mut near: Vec<(usize, Place)> = Vec::new();
        if self.around.dependencies.len() + self.around.dependents.len() <= self.of_env.members.len() {
            let known = places.map(|(entity, hops)| (*hops, Place::Entity(Arc::clone(entity))));
            near.extend(known.filter(|(_, place)| self.of_env.members.contains_key(place)));
        } else {
            for place in self.of_env.members.keys() {
                let Place::Entity(entity) = place else { continue };
                let hops =
                    [&self.around.dependencies, &self.around.dependents].into_iter().filter_map(|map| map.get(entity)).min();
                near.extend(hops.map(|hops| (*hops, place.clone())));
            }
        }
        near.sort_unstable();
        near.iter().for_each(|(hops, place)| self.at(place, bound_of_hops(*hops), best));
    }

    /// What shares a dependency.
    fn siblings(&self, best: &mut Ties) {
        for (dependency, hops) in &self.around.dependencies {
            let Some(under) = self.of_env.under.get(dependency) else { continue };
            let bound = bound_of_siblings(*hops, (self.share)(dependency));
            if bound < self.search.params.threshold {
                continue;
            }
            for (id, entities) in under {
                if best.get(id).is_some_and(|known| known.link.score > bound) || !(self.search.takes)(id) {
                    continue;
                }
                for entity in entities.iter().take(SIBLINGS_MAX) {
                    let of_place = self.of_env.members.get(&Place::Entity(Arc::clone(entity)));
                    if let Some(alerts) = of_place.and_then(|of_place| of_place.get(id)) {
                        self.ask(id, alerts, best);
                    }
                }
            }
        }
    }
}

/// Of many alerts about one entity in one incident those that tell all: a tie's score depends on when they began and ended, and
/// is best for one of these.
fn telling<'a>(alerts: &'a BTreeMap<Fingerprint, Arc<Alert>>, new: &Alert) -> [Option<&'a Arc<Alert>>; 5] {
    let announces = |alert: &Alert| alert.severity == Severity::Info;
    if alerts.len() == 1 {
        return [alerts.values().next(), None, None, None, None];
    }
    let same = || alerts.values().filter(|alert| announces(alert) == announces(new));
    let began = |alert: &&Arc<Alert>| (alert.started_at, alert.fingerprint);
    let ended = |alert: &&Arc<Alert>| (alert.ended_at, alert.fingerprint);
    [
        same().filter(|alert| alert.is_firing()).min_by_key(began),
        same().filter(|alert| alert.started_at <= new.started_at).max_by_key(began),
        same().filter(|alert| alert.started_at > new.started_at).min_by_key(began),
        same().filter(|alert| !alert.is_firing()).max_by_key(ended),
        same().filter(|alert| !alert.is_firing() && alert.started_at <= new.started_at).max_by_key(ended),
    ]
}
