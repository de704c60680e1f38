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

use crate::alert::Alert;
use crate::incident::Candidate;
use crate::incident::edges::Edges;
use crate::incident::relate::{Surroundings, round};
use crate::words::duration::format_ms;
use crate::words::severity::Severity;
use crate::words::time::TimestampMs;

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
struct Evidence<'a> {
    entity: &'a Arc<str>,
    started_at: TimestampMs,
    /// Of the alert that began then: see [`Alert`].
    period_ms: i64,
    window_ms: i64,
    severity: Severity,
    score: f64,
    /// The callees of its edges that nobody else complains of: it answers for them.
    answers_for: BTreeSet<&'a str>,
}

/// The alerting entities together.
struct Failing<'a> {
    all: &'a [Evidence<'a>],
    explained: Explained<'a>,
    by_entity: HashMap<&'a str, &'a Evidence<'a>>,
}

/// What speaks for one candidate, each from 0 to 1.
struct Parts {
    explains: f64,
    deepest: f64,
    first: f64,
    loud: f64,
    departs: f64,
    edges: f64,
}

/// What the evidence of one incident is measured against.
struct Measure {
    first_at: TimestampMs,
    first_window_ms: i64,
    score_max: f64,
    has_edges: bool,
}

impl Measure {
    /// 0 to 1, on a logarithmic scale: a hundred deviations are not ten times the evidence of ten.
    fn departs(&self, score: f64) -> f64 {
        if self.score_max > 0.0 { score.ln_1p() / self.score_max.ln_1p() } else { 0.0 }
    }

    /// How much later than the first it began, as far as one can tell.
    fn late_ms(&self, mine: &Evidence) -> i64 {
        later_ms(self.first_at, self.first_window_ms, mine)
    }

    /// The weighted mean of what is known: a part of which the incident says nothing does not count.
    fn sum(&self, parts: &Parts) -> f64 {
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

/// Ranks the possible causes of an incident with these alerts. `around` gives the surroundings of an alerting entity.
pub fn rank<'a>(alerts: impl Iterator<Item = &'a Alert>, around: &BTreeMap<Arc<str>, Surroundings>) -> Vec<Candidate> {
    let alerts: Vec<&Alert> = alerts.collect();
    let edges = Edges::new(&alerts);
    let mut by_entity: BTreeMap<&Arc<str>, Evidence> = BTreeMap::new();
    let mut cleared: BTreeMap<&Arc<str>, BTreeSet<&Arc<str>>> = BTreeMap::new();
    for alert in &alerts {
        let Some(entity) = &alert.entity else { continue };
        let blamed = edges.blames(alert).unwrap_or(entity);
        let known = by_entity.entry(blamed).or_insert(Evidence {
            entity: blamed,
            started_at: alert.started_at,
            period_ms: alert.period_ms,
            window_ms: alert.window_ms,
            severity: alert.severity,
            score: 0.0,
            answers_for: BTreeSet::new(),
        });
        known.score = known.score.max(alert.score.unwrap_or(0.0));
        let shown = (alert.started_at, alert.window_ms, alert.period_ms);
        (known.started_at, known.window_ms, known.period_ms) = (known.started_at, known.window_ms, known.period_ms).min(shown);
        known.severity = known.severity.max(alert.severity);
        if blamed != entity {
            known.answers_for.insert(entity);
            cleared.entry(entity).or_default().insert(blamed);
        }
    }
    let all: Vec<Evidence> = by_entity.into_values().collect();
    let Some(first) = all.iter().min_by_key(|evidence| (evidence.started_at, evidence.window_ms)) else { return Vec::new() };
    let measure = Measure {
        first_at: first.started_at,
        first_window_ms: first.window_ms,
        score_max: all.iter().map(|evidence| evidence.score).fold(0.0, f64::max),
        has_edges: !edges.is_empty(),
    };
    let failing = Failing {
        all: &all,
        explained: Explained::new(&all, around),
        by_entity: all.iter().map(|evidence| (evidence.entity.as_ref(), evidence)).collect(),
    };
    let names: BTreeSet<&str> = alerts.iter().filter_map(|alert| alert.entity.as_deref()).collect();
    let mut candidates: Vec<Candidate> =
        all.iter().map(|evidence| watched(evidence, &failing, &edges, around, &measure)).collect();
    let scores: BTreeMap<&str, f64> = candidates.iter().map(|known| (known.entity.as_ref(), known.score)).collect();
    let mut suspects: Vec<Candidate> = unwatched(&failing, &names, around, &measure);
    for (entity, callers) in cleared.iter().filter(|(entity, _)| !scores.contains_key(entity.as_ref())) {
        let score =
            callers.iter().filter_map(|caller| scores.get(caller.as_ref())).fold(0.0, |most: f64, score| most.max(*score));
        let caller = callers.iter().map(|caller| caller.as_ref()).collect::<Vec<_>>().join(", ");
        let reasons = vec![format!("only {caller} complains of it, and answers for that itself")];
        suspects.push(Candidate { entity: Arc::clone(entity), score: round(CLEARED * score), reasons });
    }
    candidates.extend(suspects);
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.entity.cmp(&b.entity)));
    candidates.truncate(CANDIDATES_MAX);
    candidates
}

/// An entity that alerts.
fn watched(
    mine: &Evidence,
    failing: &Failing,
    edges: &Edges,
    around: &BTreeMap<Arc<str>, Surroundings>,
    measure: &Measure,
) -> Candidate {
    let all = failing.all;
    let (explains, explained) = failing.explained.of(mine.entity);
    let deepest_other = dependencies_of(mine.entity, around).and_then(|known| {
        let alerting = known.iter().filter_map(|(entity, hops)| Some((hops, failing.by_entity.get(entity.as_ref())?)));
        alerting.min_by_key(|(hops, other)| (**hops, other.entity))
    });
    let deepest = deepest_other.as_ref().map_or(1.0, |(hops, _)| 1.0 - HOP_DECAY.powi(**hops as i32 - 1));
    let late_ms = mine.started_at - measure.first_at;
    let share = edges.share(mine.entity, &mine.answers_for);
    let score = measure.sum(&Parts {
        explains,
        deepest,
        first: (-(measure.late_ms(mine) as f64) / FIRST_OVER_MS).exp(),
        loud: loudness(mine.severity),
        departs: measure.departs(mine.score),
        edges: share,
    });
    let mut reasons = Vec::new();
    if all.len() > 1 {
        reasons.push(match all.len() - 1 {
            1 if explained == 1 => "the other failing entity depends on it".into(),
            1 => "the other failing entity does not depend on it".into(),
            2 if explained == 2 => "both other failing entities depend on it".into(),
            others if explained == others => format!("all {others} other failing entities depend on it"),
            others => format!("{explained} of the {others} other failing entities depend on it"),
        });
        reasons.push(match deepest_other {
            None => "nothing that it depends on alerts".into(),
            Some((_, other)) => format!("it depends on {}, which alerts too", other.entity),
        });
        reasons.push(match late_ms {
            0 => "it was the first to fail".into(),
            _ if measure.late_ms(mine) == 0 => {
                format!("it failed {} after the first, less than can be told apart", format_ms(late_ms))
            }
            _ => format!("it failed {} after the first", format_ms(late_ms)),
        });
    } else {
        reasons.push("it alone alerts".into());
    }
    if !mine.answers_for.is_empty() {
        let callees = mine.answers_for.iter().copied().collect::<Vec<_>>().join(", ");
        reasons.push(format!("its calls of {callees} suffer, of which nobody else complains"));
    }
    let callers = edges.callers(mine.entity);
    if !callers.is_empty() {
        reasons.push(format!("{} complain{} of it", callers.join(", "), if callers.len() == 1 { "s" } else { "" }));
    }
    if mine.score > 0.0 {
        let most = if mine.score >= measure.score_max { ", the most of all" } else { "" };
        reasons.push(format!("it is {:.0} deviations from its usual{most}", mine.score));
    }
    reasons.push(format!("its worst alert is {}", mine.severity));
    Candidate { entity: Arc::clone(mine.entity), score: round(score), reasons }
}

/// Dependencies that no rule watches, or that are silent, on which at least two failing entities depend.
fn unwatched(
    failing: &Failing,
    names: &BTreeSet<&str>,
    around: &BTreeMap<Arc<str>, Surroundings>,
    measure: &Measure,
) -> Vec<Candidate> {
    let mut suspects: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let all = failing.all;
    for dependency in all.iter().filter_map(|evidence| dependencies_of(evidence.entity, around)).flat_map(BTreeMap::keys) {
        if !names.contains(dependency.as_ref()) {
            *suspects.entry(Arc::clone(dependency)).or_default() += 1;
        }
    }
    let suspects = suspects.into_iter().filter(|(_, count)| *count >= 2);
    suspects
        .map(|(entity, count)| {
            let (explains, _) = failing.explained.of(&entity);
            let parts = Parts { explains, deepest: 1.0, first: 0.5, loud: 0.0, departs: 0.5, edges: 0.5 };
            let score = UNWATCHED * measure.sum(&parts);
            let reasons = vec![
                format!("{count} of the {} failing entities depend on it", all.len()),
                "no alert of its own: suspected, not seen".into(),
            ];
            Candidate { entity, score: round(score), reasons }
        })
        .collect()
}

/// How much later it began than what showed at `then` in a window of `window_ms`, as far as one can tell. What began since the last
/// look may have been there before the other, and a longer window shows the same later.
fn later_ms(then: TimestampMs, window_ms: i64, mine: &Evidence) -> i64 {
    let lag_ms = mine.started_at - then;
    let blur_ms = mine.period_ms.max(mine.window_ms - window_ms);
    if lag_ms < blur_ms { 0 } else { lag_ms.max(0) }
}

/// How much of an incident each entity would explain, weighted by loudness, and how many other entities that is: found in one walk
/// over what the failing entities depend on, since in a storm there are thousands of pairs.
struct Explained<'a> {
    whole: f64,
    /// Never walked through: the order of a hash map is nobody's.
    by_cause: HashMap<&'a str, (f64, usize)>,
}

impl<'a> Explained<'a> {
    fn new(all: &[Evidence<'a>], around: &'a BTreeMap<Arc<str>, Surroundings>) -> Self {
        let mut explained = Self { whole: 0.0, by_cause: HashMap::default() };
        for evidence in all {
            let weight = loudness(evidence.severity);
            explained.whole += weight;
            explained.by_cause.entry(evidence.entity).or_default().0 += weight;
            for (cause, hops) in dependencies_of(evidence.entity, around).into_iter().flatten() {
                if cause != evidence.entity {
                    let (sum, count) = explained.by_cause.entry(cause).or_default();
                    *sum += weight * HOP_DECAY.powi(*hops as i32 - 1);
                    *count += 1;
                }
            }
        }
        explained
    }

    fn of(&self, cause: &str) -> (f64, usize) {
        let (sum, count) = self.by_cause.get(cause).copied().unwrap_or_default();
        (sum / self.whole, count)
    }
}

fn dependencies_of<'a>(entity: &Arc<str>, around: &'a BTreeMap<Arc<str>, Surroundings>) -> Option<&'a BTreeMap<Arc<str>, usize>> {
    around.get(entity).map(|surroundings| &surroundings.dependencies)
}

fn loudness(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 1.0,
        Severity::Warning => 0.6,
        Severity::Info => 0.1,
    }
}
