//! Which known alerts may be tied to a new one, found without asking every alert of every incident.
//!
//! What a tie is, [`relate`](crate::incident::relate) says; here is only where to look: the alert's own entity, what it depends
//! on, what depends on it, what shares a dependency of which enough dependents alert, what has a named label in common, and what
//! failed with it before.
//! Incidents are asked in the order of the best score that a place could give, so that one with a better tie already is left
//! alone. In a storm an alert costs its neighbours, not the storm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::HashMap;

use crate::alert::Alert;
use crate::incident::company::{Company, Together};
use crate::incident::relate::{
    BOUND_OF_COMPANY, BOUND_OF_KEYS, Context, End, Surroundings, Tie, bound_of_hops, bound_of_siblings, tie,
};
use crate::incident::spots::{Sort, Spot, Spots, about};
use crate::incident::{CorrelationParams, IncidentId};
use crate::topology::Topology;
use crate::words::fingerprint::Fingerprint;
use crate::words::severity::Severity;

/// Alerts of one incident that are asked for a common dependency: those of one incident say much the same.
const SIBLINGS_MAX: usize = 64;

/// What the alerts of the book are about.
pub struct Nearby {
    topology: Arc<Topology>,
    hops: usize,
    keys: Vec<Arc<str>>,
    of_env: BTreeMap<Arc<str>, OfEnv>,
    cut: u64,
}

/// What the alerts of one environment are about.
pub struct OfEnv {
    spots: Spots,
    /// Never walked through: the order of a hash map is nobody's.
    of_spot: HashMap<Spot, OfSpot>,
}

/// What is known of one thing that alerts may be about, or on which such a thing depends.
#[derive(Default)]
struct OfSpot {
    /// What surrounds it, as long as it or a caller that complains has alerts.
    around: Option<Arc<Surroundings>>,
    /// The alerts about it, by incident.
    members: BTreeMap<IncidentId, BTreeMap<Fingerprint, Arc<Alert>>>,
    /// How many of them fire.
    firing: usize,
    /// How many of its direct dependents have alerts that fire.
    failing_dependents: usize,
    /// Which entities of an incident depend on it, near or far.
    under: BTreeMap<IncidentId, BTreeSet<Spot>>,
    /// Of which entities of an incident it complains, as their caller.
    complains: BTreeMap<IncidentId, BTreeSet<Spot>>,
}

impl OfSpot {
    fn is_asked(&self) -> bool {
        !self.members.is_empty() || self.firing > 0 || !self.complains.is_empty()
    }

    fn is_blank(&self) -> bool {
        !self.is_asked() && self.failing_dependents == 0 && self.under.is_empty()
    }
}

/// The best tie to each incident.
pub type Ties = BTreeMap<IncidentId, Tie>;

impl Nearby {
    /// Nothing alerts.
    pub fn new(topology: Arc<Topology>, params: &CorrelationParams) -> Self {
        Self { topology, hops: params.hops, keys: params.keys.clone(), of_env: BTreeMap::new(), cut: 0 }
    }

    /// Nothing alerts, on another graph.
    pub fn over(&self, topology: Arc<Topology>) -> Self {
        Self { topology, hops: self.hops, keys: self.keys.clone(), of_env: BTreeMap::new(), cut: self.cut }
    }

    /// An alert of an incident that began before this was looked at: after a restart, or on another graph.
    pub fn remember(&mut self, id: &IncidentId, alert: &Arc<Alert>) {
        if alert.is_firing() {
            self.fires(alert);
        } else {
            self.knows(alert);
        }
        self.put(id, alert);
    }

    /// What is known of one environment.
    pub fn of_env(&self, env: &str) -> Option<&OfEnv> {
        self.of_env.get(env)
    }

    /// How often only the nearest was seen of what surrounds an entity.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// An alert began to fire, wherever it will belong. Says whether it is the first about this that fires now.
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

    /// An alert will belong to an incident: looks around its entity, and around the caller that complains.
    fn knows(&mut self, alert: &Alert) {
        let Self { topology, hops, of_env, cut, .. } = self;
        if !of_env.contains_key(&alert.env) {
            of_env.insert(Arc::clone(&alert.env), OfEnv { spots: Spots::new(topology), of_spot: HashMap::default() });
        }
        let Some(of_env) = of_env.get_mut(&alert.env) else { return };
        for end in [Some(about(alert)), alert.peer.as_ref().map(|peer| (Sort::Entity, peer))].into_iter().flatten() {
            let spot = of_env.spots.number(end.0, end.1, topology);
            let of_spot = of_env.of_spot.entry(spot).or_default();
            if of_spot.around.is_none() && spot.is_node(topology) {
                let around = Surroundings::new(topology, spot.number(), &alert.env, *hops);
                *cut += u64::from(around.cut);
                of_spot.around = Some(Arc::new(around));
            }
        }
    }

    /// An alert of an incident is as it is now: it joined, changed, or ended. One that fires was told to [`Self::fires`] before.
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
            && let Some(caller) = of_env.spots.find(Sort::Entity, peer)
        {
            of_env.of_spot.entry(caller).or_default().complains.entry(*id).or_default().insert(spot);
        }
        for key in &keys {
            let key = of_env.spots.number(Sort::Key, key, topology);
            let members = &mut of_env.of_spot.entry(key).or_default().members;
            members.entry(*id).or_default().insert(alert.fingerprint, Arc::clone(alert));
        }
        if before.is_some_and(|before| before.is_firing()) && !alert.is_firing() {
            of_env.ended(spot);
        }
    }

    /// The labels that the operator named, with their values.
    fn keys_of(&self, alert: &Alert) -> Vec<Arc<str>> {
        let of_key = |key: &Arc<str>| Some(format!("{key}={}", alert.labels.get(key)?).into());
        self.keys.iter().filter_map(of_key).collect()
    }

    /// An alert that fires found no room in its incident.
    pub fn refuse(&mut self, alert: &Alert) {
        let Some(of_env) = self.of_env.get_mut(&alert.env) else { return };
        if let Some(spot) = of_env.spots.of_alert(alert) {
            of_env.ended(spot);
        }
        of_env.forget(alert);
    }

    /// An alert goes on in another incident.
    pub fn move_to(&mut self, from: &IncidentId, to: &IncidentId, alert: &Arc<Alert>) {
        self.leave(from, alert);
        self.put(to, alert);
    }

    /// An alert is in no incident any more.
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
            && let Some(caller) = of_env.spots.find(Sort::Entity, peer)
        {
            of_env.change(caller, |of_spot| leave(&mut of_spot.complains, id, spot));
        }
        for key in keys {
            let Some(spot) = of_env.spots.find(Sort::Key, &key) else { continue };
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
                of_env.spots.forget(Sort::Key, &key);
            }
        }
        taken
    }

    /// What ties two alerts that incidents have.
    pub fn tie_of(&self, new: &Alert, known: &Arc<Alert>, search: &Search<'_>) -> Option<Tie> {
        let of_env = self.of_env.get(&new.env)?;
        let nothing = Surroundings::default();
        let share = |spot: Spot| of_env.share_alerting(spot, &new.env, &self.topology);
        let context = Context {
            params: search.params,
            new: of_env.end(new, &nothing),
            known: of_env.end(known, &nothing),
            share_alerting: &share,
            together: &|known| search.together(new, known),
        };
        tie(new, known, &context)
    }

    /// The best tie of `new` to each incident that takes it. [`Self::fires`] knows of it already.
    pub fn ties(&self, new: &Arc<Alert>, search: &Search<'_>) -> Ties {
        let mut best = Ties::new();
        let Some(of_env) = self.of_env.get(&new.env) else { return best };
        let nothing = Surroundings::default();
        let spot = of_env.spots.of_alert(new);
        let end = of_env.end(new, &nothing);
        let share = |spot: Spot| of_env.share_alerting(spot, &new.env, &self.topology);
        let looking = Looking { new, end, nothing: &nothing, share: &share, of_env, search };
        spot.into_iter().for_each(|spot| looking.at(spot, f64::INFINITY, &mut best));
        let at_home = |tie: &Tie| tie.score >= bound_of_hops(1);
        if best.values().any(at_home) {
            // The entity fails already, and what could be tied to that was tied to it then.
            return best;
        }
        if new.entity.is_some() {
            looking.edges(&mut best);
            looking.around(&mut best);
        }
        for key in self.keys_of(new).iter().filter_map(|key| of_env.spots.find(Sort::Key, key)) {
            looking.at(key, BOUND_OF_KEYS, &mut best);
        }
        looking.siblings(&mut best);
        looking.company(&mut best);
        best
    }
}

impl OfEnv {
    /// What something depends on that has alerts.
    pub fn dependencies(&self, spot: Spot) -> &[(Spot, usize)] {
        self.of_spot.get(&spot).and_then(|of_spot| of_spot.around.as_ref()).map_or(&[], |around| around.dependencies())
    }

    /// The number of an entity, if it has alerts.
    pub fn spot(&self, entity: &str) -> Option<Spot> {
        self.spots.find(Sort::Entity, entity)
    }

    /// The entity of an alert, as one end of a tie.
    fn end<'a>(&'a self, alert: &Alert, nothing: &'a Surroundings) -> End<'a> {
        let spot = alert.entity.as_ref().and_then(|entity| self.spot(entity));
        let around = spot.and_then(|spot| self.of_spot.get(&spot)?.around.as_deref());
        End { spot, around: around.unwrap_or(nothing) }
    }

    fn share_alerting(&self, spot: Spot, env: &str, topology: &Topology) -> f64 {
        let failing = self.of_spot.get(&spot).map_or(0, |of_spot| of_spot.failing_dependents);
        let all = topology.direct_dependents(spot.number(), env);
        if all == 0 { 0.0 } else { failing as f64 / all as f64 }
    }

    /// Changes what is known of something, and drops it where nothing is left; says whether nothing is.
    fn change(&mut self, spot: Spot, change: impl FnOnce(&mut OfSpot)) -> bool {
        let Some(of_spot) = self.of_spot.get_mut(&spot) else { return true };
        change(of_spot);
        let blank = of_spot.is_blank();
        if blank {
            self.of_spot.remove(&spot);
        }
        blank
    }

    /// An alert about this fires no more.
    fn ended(&mut self, spot: Spot) {
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

    /// What surrounds an entity is asked for as long as it has alerts.
    fn forget(&mut self, alert: &Alert) {
        for (sort, name) in [Some(about(alert)), alert.peer.as_ref().map(|peer| (Sort::Entity, peer))].into_iter().flatten() {
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

/// An entity of an incident is there no more.
fn leave(all: &mut BTreeMap<IncidentId, BTreeSet<Spot>>, id: &IncidentId, spot: Spot) {
    let Some(spots) = all.get_mut(id) else { return };
    spots.remove(&spot);
    if spots.is_empty() {
        all.remove(id);
    }
}

/// What a search needs to know.
pub struct Search<'a> {
    /// Settings.
    pub params: &'a CorrelationParams,
    /// Who failed with whom before.
    pub company: &'a Company,
    /// Whether an incident takes the new alert.
    pub takes: &'a dyn Fn(&IncidentId) -> bool,
}

impl Search<'_> {
    fn together(&self, new: &Alert, known: &str) -> Option<Together> {
        let together = self.company.together(&new.env, new.entity.as_ref()?, known)?;
        (self.params.together > 0 && together.both >= self.params.together).then_some(together)
    }
}

/// A search for the ties of one new alert.
struct Looking<'a> {
    new: &'a Arc<Alert>,
    end: End<'a>,
    nothing: &'a Surroundings,
    share: &'a dyn Fn(Spot) -> f64,
    of_env: &'a OfEnv,
    search: &'a Search<'a>,
}

impl Looking<'_> {
    /// Asks the alerts at a place, of incidents whose tie so far is not above `bound`: the best that the place can give.
    fn at(&self, spot: Spot, bound: f64, best: &mut Ties) {
        let members = self.of_env.of_spot.get(&spot).map(|of_spot| &of_spot.members);
        for (id, alerts) in members.into_iter().flatten() {
            if best.get(id).is_none_or(|known| known.score <= bound) && (self.search.takes)(id) {
                self.ask(id, telling(alerts, self.new).into_iter().flatten(), best);
            }
        }
    }

    fn ask<'k>(&self, id: &IncidentId, alerts: impl Iterator<Item = &'k Arc<Alert>>, best: &mut Ties) {
        for known in alerts {
            let context = Context {
                params: self.search.params,
                new: self.end,
                known: self.of_env.end(known, self.nothing),
                share_alerting: self.share,
                together: &|known| self.search.together(self.new, known),
            };
            let Some(tie) = tie(self.new, known, &context) else { continue };
            let better = |best: &Tie| {
                let names = || best.known.subject().cmp(tie.known.subject());
                tie.score.total_cmp(&best.score).then_with(names).is_gt()
            };
            if best.get(id).is_none_or(better) {
                best.insert(*id, tie);
            }
        }
    }

    /// The ends of edges that were seen: who complains of the same as the new alert, or of its entity, and of whom it complains.
    fn edges(&self, best: &mut Ties) {
        let peer = self.new.peer.as_ref().and_then(|peer| self.of_env.spot(peer));
        peer.into_iter().for_each(|peer| self.at(peer, bound_of_hops(1), best));
        for (caller, name) in [(self.end.spot, &self.new.entity), (peer, &self.new.peer)] {
            let complains = caller.and_then(|caller| self.of_env.of_spot.get(&caller)).map(|of_spot| &of_spot.complains);
            for (id, callees) in complains.into_iter().flatten().filter(|(id, _)| (self.search.takes)(id)) {
                for callee in callees {
                    let alerts = self.of_env.of_spot.get(callee).and_then(|of_spot| of_spot.members.get(id));
                    let alerts = alerts.into_iter().flat_map(BTreeMap::values);
                    self.ask(id, alerts.filter(|alert| alert.peer.is_some() && alert.peer == *name), best);
                }
            }
        }
    }

    /// Dependencies and dependents, nearest first.
    fn around(&self, best: &mut Ties) {
        let Some(mine) = self.end.spot else { return };
        let of_spot = |spot: &Spot| self.of_env.of_spot.get(spot);
        let alerts = |spot: &Spot| of_spot(spot).is_some_and(|of_spot| !of_spot.members.is_empty());
        let mut near: Vec<(usize, Spot)> = Vec::new();
        near.extend(self.end.around.dependencies().iter().filter(|(spot, _)| alerts(spot)).map(|(spot, hops)| (*hops, *spot)));
        for dependent in of_spot(&mine).into_iter().flat_map(|of_spot| of_spot.under.values()).flatten() {
            let hops = of_spot(dependent).and_then(|of_spot| of_spot.around.as_ref()?.hops_to(mine));
            near.extend(hops.map(|hops| (hops, *dependent)));
        }
        near.sort_unstable();
        near.dedup();
        near.iter().for_each(|(hops, spot)| self.at(*spot, bound_of_hops(*hops), best));
    }

    /// Who failed with it before.
    fn company(&self, best: &mut Ties) {
        let Search { params, company, .. } = self.search;
        let Some(entity) = self.new.entity.as_ref().filter(|_| params.together > 0) else { return };
        let partners = company.partners(&self.new.env, entity, params.together);
        partners.filter_map(|partner| self.of_env.spot(partner)).for_each(|spot| self.at(spot, BOUND_OF_COMPANY, best));
    }

    /// What shares a dependency.
    fn siblings(&self, best: &mut Ties) {
        for (dependency, hops) in self.end.around.dependencies() {
            let Some(of_spot) = self.of_env.of_spot.get(dependency).filter(|of_spot| !of_spot.under.is_empty()) else { continue };
            let bound = bound_of_siblings(*hops, (self.share)(*dependency));
            if bound < self.search.params.threshold {
                continue;
            }
            for (id, entities) in &of_spot.under {
                if best.get(id).is_some_and(|known| known.score > bound) || !(self.search.takes)(id) {
                    continue;
                }
                for entity in entities.iter().take(SIBLINGS_MAX) {
                    let alerts = self.of_env.of_spot.get(entity).and_then(|of_spot| of_spot.members.get(id));
                    if let Some(alerts) = alerts {
                        self.ask(id, telling(alerts, self.new).into_iter().flatten(), best);
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
