//! Which entity is the cause: a ranking of the entities that alert, and of what they all depend on, with reasons in words.
//!
//! Six things speak for an entity, each from 0 to 1: how much of the incident it would explain (the entities that depend on it),
//! that nothing it depends on alerts (dependency direction; it counts as far as the entity explains anything), that it began first
//! (time order, as far as the time between two looks lets one tell), how loud it is, how far its values depart from their own
//! history, and how many of the slow or failing edges end at it. None is enough alone: the deepest alerting dependency may be a
//! bystander, the first alert may come of the fastest rule. docs/root-cause.md says what each is worth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::HashMap;

use crate::incident::candidate_index::EnvIndex;
use crate::incident::edge_blame::EdgeBlame;
use crate::incident::entity_ids::EntityId;
use crate::incident::evidence::{Evidence, Indicators};
use crate::incident::link_score::round;
use crate::incident::revision::Candidate;
use crate::model::duration::format_ms;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::topology::Topology;

const WEIGHT_EXPLAINS: f64 = 0.25;
const WEIGHT_DEEPEST: f64 = 0.20;
const WEIGHT_FIRST: f64 = 0.15;
const WEIGHT_LOUD: f64 = 0.10;
/// Counts only where some rule says how far its values depart from what is usual; without it the others make up the whole.
const WEIGHT_DEPARTS: f64 = 0.30;
/// Counts only where some alert is about an edge, likewise.
const WEIGHT_EDGES: f64 = 0.20;
/// The callee of an edge for which its caller answers is believed half as much as the caller.
const CLEARED: f64 = 0.5;
/// An entity that nothing watches is believed less than one that alerts.
const UNWATCHED: f64 = 0.8;
/// What each edge between cause and symptom leaves of an explanation.
const HOP_DECAY: f64 = 0.9;
/// Beginning this much later than the first leaves 1/e of that evidence.
const FIRST_OVER_MS: f64 = 120_000.0;
/// Candidates that a person can take in.
const CANDIDATES_MAX: usize = 5;

/// One alerting entity, summed up.
struct EntityEvidence<'a> {
    entity: &'a Arc<str>,
    spot: Option<EntityId>,
    indicators: Indicators,
    /// Some alert is about itself, not only about calls for which it answers.
    alerts: bool,
    /// The callees of its edges that nobody else complains of: it answers for them.
    answers_for: BTreeSet<&'a str>,
}

impl EntityEvidence<'_> {
    fn dependencies<'e>(&self, of_env: &'e EnvIndex) -> &'e [(EntityId, usize)] {
        self.spot.map_or(&[], |spot| of_env.dependencies(spot))
    }
}

/// The alerting entities together.
struct FailingEntities<'a> {
    /// By name.
    all: &'a [EntityEvidence<'a>],
    /// Those of which alerts tell, but for which their callers answer; by name.
    cleared: Vec<&'a Arc<str>>,
    explained: ExplainedShare,
    /// Never walked through: the order of a hash map is nobody's.
    by_spot: HashMap<EntityId, &'a EntityEvidence<'a>>,
}

/// A candidate before it is put into words: of hundreds, five are.
struct RankedCandidate<'a> {
    entity: &'a Arc<str>,
    score: f64,
    of: Subject<'a>,
}

enum Subject<'a> {
    /// It alerts, and so does this dependency of it, the nearest that does.
    Alerting(&'a EntityEvidence<'a>, Option<&'a EntityEvidence<'a>>),
    /// This many of the failing entities depend on it.
    Suspected(usize),
    /// These callers complain of it, and answer for that themselves.
    Cleared(&'a BTreeSet<&'a Arc<str>>),
}

/// What speaks for one candidate, each from 0 to 1.
struct ScoreParts {
    explains: f64,
    deepest: f64,
    first: f64,
    loud: f64,
    departs: f64,
    edges: f64,
}

/// What the evidence of one incident is measured against.
struct IncidentScale {
    first_at: TimestampMs,
    first_window_ms: i64,
    score_max: f64,
    has_edges: bool,
}

impl IncidentScale {
    /// 0 to 1, on a logarithmic scale: a hundred deviations are not ten times the evidence of ten.
    fn departs(&self, score: f64) -> f64 {
        if self.score_max > 0.0 { score.ln_1p() / self.score_max.ln_1p() } else { 0.0 }
    }

    /// How much later than the first it began, as far as one can tell.
    fn late_ms(&self, mine: &EntityEvidence) -> i64 {
        later_ms(self.first_at, self.first_window_ms, mine)
    }

    /// The weighted mean of what is known: a part of which the incident says nothing does not count.
    fn sum(&self, parts: &ScoreParts) -> f64 {
        let known = |known: bool, weight: f64, part: f64| if known { (weight, weight * part) } else { (0.0, 0.0) };
        let weighed = [
            known(true, WEIGHT_EXPLAINS, parts.explains),
            known(true, WEIGHT_DEEPEST, parts.deepest * parts.explains),
            known(true, WEIGHT_FIRST, parts.first),
            known(true, WEIGHT_LOUD, parts.loud),
            known(self.score_max > 0.0, WEIGHT_DEPARTS, parts.departs),
            known(self.has_edges, WEIGHT_EDGES, parts.edges),
        ];
        let (of, sum) = weighed.iter().fold((0.0, 0.0), |(of, sum), (weight, part)| (of + weight, sum + part));
        sum / of
    }
}

/// Ranks the possible causes of an incident of which this is said, on this graph. `of_env` knows what its entities depend on.
pub fn rank<'a>(evidence: impl Iterator<Item = &'a Evidence>, of_env: &EnvIndex, topology: &Topology) -> Vec<Candidate> {
    let evidence: Vec<&Evidence> = evidence.collect();
    let edges = EdgeBlame::new(&evidence);
    let mut by_entity: BTreeMap<&Arc<str>, EntityEvidence> = BTreeMap::new();
    let mut cleared: BTreeMap<&Arc<str>, BTreeSet<&Arc<str>>> = BTreeMap::new();
    for said in &evidence {
        let blamed = edges.blames(said);
        let known = by_entity.entry(blamed).or_insert_with(|| EntityEvidence {
            entity: blamed,
            spot: of_env.spot(blamed),
            indicators: said.indicators,
            alerts: false,
            answers_for: BTreeSet::new(),
        });
        known.indicators.merge(&said.indicators);
        if *blamed == said.entity {
            known.alerts = true;
        } else {
            known.answers_for.insert(&said.entity);
            cleared.entry(&said.entity).or_default().insert(blamed);
        }
    }
    let all: Vec<EntityEvidence> = by_entity.into_values().collect();
    let Some(first) = all.iter().min_by_key(|evidence| (evidence.indicators.started_at, evidence.indicators.window_ms)) else {
        return Vec::new();
    };
    let measure = IncidentScale {
        first_at: first.indicators.started_at,
        first_window_ms: first.indicators.window_ms,
        score_max: all.iter().map(|evidence| evidence.indicators.score).fold(0.0, f64::max),
        has_edges: !edges.is_empty(),
    };
    let failing = FailingEntities {
        all: &all,
        cleared: cleared.keys().copied().filter(|entity| !is_known(&all, entity)).collect(),
        explained: ExplainedShare::new(&all, of_env),
        by_spot: all.iter().filter_map(|evidence| Some((evidence.spot?, evidence))).collect(),
    };
    let mut ranked: Vec<RankedCandidate> =
        all.iter().map(|evidence| failing.watched(evidence, &edges, of_env, &measure)).collect();
    if !failing.cleared.is_empty() {
        let scores: HashMap<&str, f64> = ranked.iter().map(|known| (known.entity.as_ref(), known.score)).collect();
        for (entity, callers) in cleared.iter().filter(|(entity, _)| !scores.contains_key(entity.as_ref())) {
            let of_callers = callers.iter().filter_map(|caller| scores.get(caller.as_ref()));
            let score = CLEARED * of_callers.fold(0.0, |most: f64, score| most.max(*score));
            ranked.push(RankedCandidate { entity, score: round(score), of: Subject::Cleared(callers) });
        }
    }
    failing.unwatched(of_env, topology, &measure, &mut ranked);
    let best_first = |a: &RankedCandidate, b: &RankedCandidate| b.score.total_cmp(&a.score).then_with(|| a.entity.cmp(b.entity));
    if ranked.len() > CANDIDATES_MAX {
        ranked.select_nth_unstable_by(CANDIDATES_MAX, best_first);
        ranked.truncate(CANDIDATES_MAX);
    }
    ranked.sort_unstable_by(best_first);
    let in_words = |known: RankedCandidate| Candidate {
        entity: Arc::clone(known.entity),
        score: known.score,
        reasons: match known.of {
            Subject::Alerting(evidence, nearest) => failing.reasons(evidence, nearest, &edges, (of_env, topology), &measure),
            Subject::Suspected(dependents) => vec![
                match all.len() {
                    2 => "both failing entities depend on it".into(),
                    failing if failing == dependents => format!("all {failing} failing entities depend on it"),
                    failing => format!("{dependents} of the {failing} failing entities depend on it"),
                },
                "no alert is about it: suspected, not seen".into(),
            ],
            Subject::Cleared(callers) => {
                let callers = callers.iter().map(|caller| caller.as_ref()).collect::<Vec<_>>().join(", ");
                vec![format!("only calls from {callers} to it fail or are slow, which points at {callers}")]
            }
        },
    };
    ranked.into_iter().map(in_words).collect()
}

impl<'a> FailingEntities<'a> {
    /// An entity that alerts.
    fn watched(
        &self,
        mine: &'a EntityEvidence<'a>,
        edges: &EdgeBlame,
        of_env: &EnvIndex,
        measure: &IncidentScale,
    ) -> RankedCandidate<'a> {
        let (explains, _) = self.explained.of(mine.spot, mine);
        let nearest = self.nearest_cause(mine, of_env);
        let deepest = nearest.map_or(1.0, |(hops, _)| 1.0 - HOP_DECAY.powi(hops as i32 - 1));
        let score = measure.sum(&ScoreParts {
            explains,
            deepest,
            first: (-(measure.late_ms(mine) as f64) / FIRST_OVER_MS).exp(),
            loud: loudness(mine.indicators.severity),
            departs: measure.departs(mine.indicators.score),
            edges: edges.share(mine.entity, &mine.answers_for),
        });
        RankedCandidate { entity: mine.entity, score: round(score), of: Subject::Alerting(mine, nearest.map(|(_, other)| other)) }
    }

    /// The nearest of its dependencies that alerts.
    fn nearest_cause(&self, mine: &EntityEvidence, of_env: &EnvIndex) -> Option<(usize, &'a EntityEvidence<'a>)> {
        let dependencies = mine.dependencies(of_env).iter();
        let alerting = dependencies.filter_map(|(spot, hops)| Some((*hops, *self.by_spot.get(spot)?)));
        alerting.min_by_key(|(hops, other)| (*hops, other.entity))
    }

    fn reasons(
        &self,
        mine: &EntityEvidence,
        nearest: Option<&EntityEvidence>,
        edges: &EdgeBlame,
        (of_env, topology): (&EnvIndex, &Topology),
        measure: &IncidentScale,
    ) -> Vec<String> {
        let mut reasons = Vec::new();
        let unknown = topology.size().0 > 0 && !mine.spot.is_some_and(|spot| spot.is_node(topology));
        let cleared = || self.cleared.iter().filter(|entity| !mine.answers_for.contains(entity.as_ref()));
        match self.all.len() - 1 + cleared().count() {
            0 if mine.alerts => reasons.push("no other entity fails".into()),
            0 => reasons.push("no alert is about it, only about its calls".into()),
            others => {
                let of_cleared = cleared().filter(|entity| mine.spot.is_some_and(|spot| of_env.depends(entity, spot)));
                reasons.push(depending(self.explained.of(mine.spot, mine).1 + of_cleared.count(), others));
                reasons.push(match nearest {
                    None if unknown => "it is not in the topology, so its dependencies are unknown".into(),
                    None if mine.dependencies(of_env).is_empty() => "it depends on nothing that the topology knows".into(),
                    None => "none of its dependencies fails".into(),
                    Some(other) => format!("it depends on {}, which alerts too", other.entity),
                });
                if self.all.len() > 1 {
                    reasons.push(self.when(mine, measure));
                }
            }
        }
        if unknown && reasons.len() == 1 {
            reasons.push("it is not in the topology".into());
        }
        if !mine.answers_for.is_empty() {
            let callees = mine.answers_for.iter().copied().collect::<Vec<_>>().join(", ");
            reasons.push(format!("its calls to {callees} fail or are slow, those of other callers do not"));
        }
        let callers = edges.callers(mine.entity);
        if !callers.is_empty() {
            reasons.push(format!("calls to it from {} fail or are slow", callers.join(", ")));
        }
        if mine.indicators.score > 0.0 && self.all.len() > 1 {
            let score = mine.indicators.score;
            let further = self
                .all
                .iter()
                .filter(|other| other.indicators.score > score)
                .max_by(|a, b| a.indicators.score.total_cmp(&b.indicators.score));
            reasons.push(match further {
                None => format!("nothing else departs further from what is usual (score {score:.0})"),
                Some(other) => {
                    format!(
                        "it departs from what is usual (score {score:.0}), but {} further ({:.0})",
                        other.entity, other.indicators.score
                    )
                }
            });
        }
        reasons.push(if mine.alerts {
            format!("its worst alert is {}", mine.indicators.severity)
        } else {
            format!("the worst alert about its calls is {}", mine.indicators.severity)
        });
        reasons
    }

    /// Whether it came first, as far as one can tell: what began at the same look began in an order that nobody knows.
    fn when(&self, mine: &EntityEvidence, measure: &IncidentScale) -> String {
        let late_ms = mine.indicators.started_at - measure.first_at;
        if late_ms > 0 {
            let blurred = if measure.late_ms(mine) == 0 { ", less than can be told apart" } else { "" };
            return format!("it failed {} after the first{blurred}", format_ms(late_ms));
        }
        let others = self.all.len() - 1;
        let with_it = self.all.iter().filter(|other| other.indicators.started_at == measure.first_at).count() - 1;
        let close = self.all.iter().filter(|other| measure.late_ms(other) == 0).count() - 1;
        match close {
            0 => "it was the first to fail".into(),
            _ if with_it == others && others == 1 => "both began at the same time".into(),
            _ if with_it == others => "all began at the same time".into(),
            _ if with_it == close => format!("it was among the first to fail: {close} more began at the same time"),
            1 => "it was the first to fail, but one more failed too soon after it to tell".into(),
            _ => format!("it was the first to fail, but {close} more failed too soon after it to tell"),
        }
    }

    /// Dependencies that no rule watches, or that are silent, on which at least two failing entities depend.
    fn unwatched<'t>(
        &self,
        of_env: &EnvIndex,
        topology: &'t Topology,
        measure: &IncidentScale,
        ranked: &mut Vec<RankedCandidate<'t>>,
    ) {
        // Subject a callee that is cleared there is an alert: it is no silent one.
        let cleared: Vec<EntityId> = self.cleared.iter().filter_map(|entity| of_env.spot(entity)).collect();
        let silent = |spot: &EntityId| !self.by_spot.contains_key(spot) && !cleared.contains(spot);
        let mut suspects: Vec<(EntityId, usize)> =
            self.explained.by_count().filter(|(spot, count)| *count >= 2 && silent(spot)).collect();
        suspects.sort_unstable();
        for (spot, dependents) in suspects {
            let Some(entity) = topology.name(spot.number()) else { continue };
            let parts = ScoreParts {
                explains: self.explained.share(spot),
                deepest: 1.0,
                first: 0.5,
                loud: 0.0,
                departs: 0.5,
                edges: 0.5,
            };
            let score = round(UNWATCHED * measure.sum(&parts));
            ranked.push(RankedCandidate { entity, score, of: Subject::Suspected(dependents) });
        }
    }
}

/// EntityEvidence is in the order of names.
fn is_known(all: &[EntityEvidence], entity: &Arc<str>) -> bool {
    all.binary_search_by_key(&entity, |evidence| evidence.entity).is_ok()
}

/// How many of the other failing entities depend on it.
fn depending(explained: usize, others: usize) -> String {
    match (explained, others) {
        (1, 1) => "the other failing entity depends on it".into(),
        (0, 1) => "the other failing entity does not depend on it".into(),
        (2, 2) => "both other failing entities depend on it".into(),
        (0, _) => format!("none of the {others} other failing entities depends on it"),
        (1, _) => format!("1 of the {others} other failing entities depends on it"),
        _ if explained == others => format!("all {others} other failing entities depend on it"),
        _ => format!("{explained} of the {others} other failing entities depend on it"),
    }
}

/// How much later it began than what showed at `then` in a window of `window_ms`, as far as one can tell. What began since the last
/// look may have been there before the other, and a longer window shows the same later.
fn later_ms(then: TimestampMs, window_ms: i64, mine: &EntityEvidence) -> i64 {
    let lag_ms = mine.indicators.started_at - then;
    let blur_ms = mine.indicators.period_ms.max(mine.indicators.window_ms - window_ms);
    if lag_ms < blur_ms { 0 } else { lag_ms.max(0) }
}

/// How much of an incident each entity would explain, weighted by loudness, and how many other entities that is: found in one walk
/// over what the failing entities depend on, since in a storm there are thousands of pairs.
struct ExplainedShare {
    whole: f64,
    /// Subject nodes of the graph.
    by_cause: HashMap<EntityId, (f64, usize)>,
}

impl ExplainedShare {
    fn new(all: &[EntityEvidence<'_>], of_env: &EnvIndex) -> Self {
        let pairs = all.iter().map(|evidence| evidence.dependencies(of_env).len()).sum();
        let mut explained = Self { whole: 0.0, by_cause: HashMap::with_capacity_and_hasher(pairs, Default::default()) };
        for evidence in all {
            let weight = loudness(evidence.indicators.severity);
            explained.whole += weight;
            for (cause, hops) in evidence.dependencies(of_env) {
                if Some(*cause) != evidence.spot {
                    let (sum, count) = explained.by_cause.entry(*cause).or_default();
                    *sum += weight * HOP_DECAY.powi(*hops as i32 - 1);
                    *count += 1;
                }
            }
        }
        explained
    }

    /// What an alerting entity explains, itself included.
    fn of(&self, spot: Option<EntityId>, mine: &EntityEvidence) -> (f64, usize) {
        let (sum, count) = spot.and_then(|spot| self.by_cause.get(&spot)).copied().unwrap_or_default();
        ((sum + loudness(mine.indicators.severity)) / self.whole, count)
    }

    /// What a silent node explains.
    fn share(&self, spot: EntityId) -> f64 {
        self.by_cause.get(&spot).map_or(0.0, |(sum, _)| sum / self.whole)
    }

    /// How many failing entities depend on each node, in no order.
    fn by_count(&self) -> impl Iterator<Item = (EntityId, usize)> {
        self.by_cause.iter().map(|(spot, (_, count))| (*spot, *count))
    }
}

fn loudness(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 1.0,
        Severity::Warning => 0.6,
        Severity::Info => 0.1,
    }
}
