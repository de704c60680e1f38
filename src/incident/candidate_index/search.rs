//! Which known alerts may be related to a new one.
//!
//! [`link_score`](crate::incident::link_score) scores a pair. Here is where candidates are searched: the alert's own entity, what it
//! depends on, what depends on it, what shares a dependency of which enough dependents alert, what has a label in common, and what
//! failed with it before. The search goes from the places with the highest possible score to those with the lowest, so that it can skip
//! incidents that have a better link already.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::candidate_index::{CandidateIndex, EnvIndex, Ties};
use crate::incident::co_occurrence::{CoOccurrence, JointEpisodes};
use crate::incident::correlation_params::CorrelationParams;
use crate::incident::entity_ids::{EntityId, IdKind};
use crate::incident::id::IncidentId;
use crate::incident::link_score::{
    BOUND_OF_COMPANY, BOUND_OF_KEYS, Neighborhood, Tie, TieContext, TieEnd, bound_of_hops, bound_of_siblings, tie,
};
use crate::model::fingerprint::Fingerprint;
use crate::model::severity::Severity;

/// How many entities of one incident are compared for a common dependency. More would find the same.
const SIBLINGS_MAX: usize = 64;

impl CandidateIndex {
    /// The link between two alerts of incidents.
    pub fn tie_of(&self, new: &Alert, known: &Arc<Alert>, search: &Search<'_>) -> Option<Tie> {
        let of_env = self.of_env.get(&new.env)?;
        let nothing = Neighborhood::default();
        let share = |spot: EntityId| of_env.share_alerting(spot, &new.env, &self.topology);
        let context = TieContext {
            params: search.params,
            new: of_env.end(new, &nothing),
            known: of_env.end(known, &nothing),
            share_alerting: &share,
            together: &|known| search.together(new, known),
        };
        tie(new, known, &context)
    }

    /// The best link of `new` to each incident that takes it. [`Self::fires`] was called for it before.
    pub fn ties(&self, new: &Arc<Alert>, search: &Search<'_>) -> Ties {
        let mut best = Ties::new();
        let Some(of_env) = self.of_env.get(&new.env) else { return best };
        let nothing = Neighborhood::default();
        let spot = of_env.spots.of_alert(new);
        let end = of_env.end(new, &nothing);
        let share = |spot: EntityId| of_env.share_alerting(spot, &new.env, &self.topology);
        let looking = TieSearch { new, end, nothing: &nothing, share: &share, of_env, search };
        spot.into_iter().for_each(|spot| looking.at(spot, f64::INFINITY, &mut best));
        let at_home = |tie: &Tie| tie.score >= bound_of_hops(1);
        if best.values().any(at_home) {
            // The entity fails already, and other incidents were linked by its first alert.
            return best;
        }
        if new.entity.is_some() {
            looking.edges(&mut best);
            looking.around(&mut best);
        }
        for key in self.keys_of(new).iter().filter_map(|key| of_env.spots.find(IdKind::Key, key)) {
            looking.at(key, BOUND_OF_KEYS, &mut best);
        }
        looking.siblings(&mut best);
        looking.co_occurrence(&mut best);
        best
    }
}

/// What a search needs besides the index.
pub struct Search<'a> {
    /// Settings.
    pub params: &'a CorrelationParams,
    /// Which entities failed together before.
    pub co_occurrence: &'a CoOccurrence,
    /// Whether an incident still takes alerts.
    pub takes: &'a dyn Fn(&IncidentId) -> bool,
}

impl Search<'_> {
    fn together(&self, new: &Alert, known: &str) -> Option<JointEpisodes> {
        let together = self.co_occurrence.together(&new.env, new.entity.as_ref()?, known)?;
        (self.params.together > 0 && together.both >= self.params.together).then_some(together)
    }
}

/// A search for the links of one new alert.
struct TieSearch<'a> {
    new: &'a Arc<Alert>,
    end: TieEnd<'a>,
    nothing: &'a Neighborhood,
    share: &'a dyn Fn(EntityId) -> f64,
    of_env: &'a EnvIndex,
    search: &'a Search<'a>,
}

impl TieSearch<'_> {
    /// Compares with the alerts at a place. Skips incidents whose best link is above `bound`, the highest score possible there.
    fn at(&self, spot: EntityId, bound: f64, best: &mut Ties) {
        let members = self.of_env.of_spot.get(&spot).map(|of_spot| &of_spot.members);
        for (id, alerts) in members.into_iter().flatten() {
            if best.get(id).is_none_or(|known| known.score <= bound) && (self.search.takes)(id) {
                self.ask(id, telling(alerts, self.new).into_iter().flatten(), best);
            }
        }
    }

    fn ask<'k>(&self, id: &IncidentId, alerts: impl Iterator<Item = &'k Arc<Alert>>, best: &mut Ties) {
        for known in alerts {
            let context = TieContext {
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

    /// The ends of edges that alerts report: alerts with the same caller, about the caller, or with the new entity as the caller.
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
        let of_spot = |spot: &EntityId| self.of_env.of_spot.get(spot);
        let alerts = |spot: &EntityId| of_spot(spot).is_some_and(|of_spot| !of_spot.members.is_empty());
        let mut near: Vec<(usize, EntityId)> = Vec::new();
        near.extend(self.end.around.dependencies().iter().filter(|(spot, _)| alerts(spot)).map(|(spot, hops)| (*hops, *spot)));
        for dependent in of_spot(&mine).into_iter().flat_map(|of_spot| of_spot.under.values()).flatten() {
            let hops = of_spot(dependent).and_then(|of_spot| of_spot.around.as_ref()?.hops_to(mine));
            near.extend(hops.map(|hops| (hops, *dependent)));
        }
        near.sort_unstable();
        near.dedup();
        near.iter().for_each(|(hops, spot)| self.at(*spot, bound_of_hops(*hops), best));
    }

    /// What failed with it before.
    fn co_occurrence(&self, best: &mut Ties) {
        let Search { params, co_occurrence, .. } = self.search;
        let Some(entity) = self.new.entity.as_ref().filter(|_| params.together > 0) else { return };
        let partners = co_occurrence.partners(&self.new.env, entity, params.together);
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

/// Of many alerts about one entity in one incident, those among which the best link is: a score depends on when they began and
/// ended.
fn telling<'a>(alerts: &'a BTreeMap<Fingerprint, Arc<Alert>>, new: &Alert) -> [Option<&'a Arc<Alert>>; 5] {
    let announces = |alert: &Alert| alert.severity == Severity::Info;
    if alerts.len() == 1 {
        return [alerts.values().next(), None, None, None, None];
    }
    let began = |alert: &Arc<Alert>| (alert.started_at, alert.fingerprint);
    let ended = |alert: &Arc<Alert>| (alert.ended_at, alert.fingerprint);
    let [mut first_firing, mut last_before, mut first_after, mut last_ended, mut last_ended_before] = [None; 5];
    for alert in alerts.values().filter(|alert| announces(alert) == announces(new)) {
        if alert.is_firing() {
            put_if(&mut first_firing, alert, |best| began(alert) < began(best));
        } else {
            put_if(&mut last_ended, alert, |best| ended(alert) > ended(best));
        }
        if alert.started_at > new.started_at {
            put_if(&mut first_after, alert, |best| began(alert) < began(best));
        } else {
            put_if(&mut last_before, alert, |best| began(alert) > began(best));
            if !alert.is_firing() {
                put_if(&mut last_ended_before, alert, |best| ended(alert) > ended(best));
            }
        }
    }
    [first_firing, last_before, first_after, last_ended, last_ended_before]
}

fn put_if<'a>(best: &mut Option<&'a Arc<Alert>>, alert: &'a Arc<Alert>, is_better: impl Fn(&Arc<Alert>) -> bool) {
    if best.is_none_or(is_better) {
        *best = Some(alert);
    }
}
