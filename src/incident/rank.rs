//! Which entity is the cause: a ranking of the entities that alert, and of what they all depend on, with reasons in words.
//!
//! Five things speak for an entity, each from 0 to 1, in this order of weight: how much of the incident it would explain (the
//! entities that depend on it), that nothing it depends on alerts (dependency direction; it counts as far as the entity explains
//! anything), that it began first (time order), how loud it is, and
//! how far its values depart from their own history. None is enough alone: the deepest alerting dependency may be a
//! bystander, the first alert may come of the fastest rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::Candidate;
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
    severity: Severity,
    score: f64,
}

/// What the evidence of one incident is measured against.
struct Measure {
    first_at: TimestampMs,
    score_max: f64,
}

impl Measure {
    /// 0 to 1, on a logarithmic scale: a hundred deviations are not ten times the evidence of ten.
    fn departs(&self, score: f64) -> f64 {
        if self.score_max > 0.0 { score.ln_1p() / self.score_max.ln_1p() } else { 0.0 }
    }

    fn sum(&self, explains: f64, deepest: f64, first: f64, loud: f64, departs: f64) -> f64 {
        let others = WEIGHT_EXPLAINS * explains + WEIGHT_DEEPEST * deepest * explains + WEIGHT_FIRST * first + WEIGHT_LOUD * loud;
        if self.score_max > 0.0 { others + WEIGHT_DEPARTS * departs } else { others / (1.0 - WEIGHT_DEPARTS) }
    }
}

/// Ranks the possible causes of an incident with these alerts. `around` gives the surroundings of an alerting entity.
pub fn rank<'a>(alerts: impl Iterator<Item = &'a Alert>, around: &BTreeMap<Arc<str>, Surroundings>) -> Vec<Candidate> {
    let mut by_entity: BTreeMap<&Arc<str>, Evidence> = BTreeMap::new();
    for alert in alerts {
        let Some(entity) = &alert.entity else { continue };
        let fresh = Evidence { entity, started_at: alert.started_at, severity: alert.severity, score: 0.0 };
        let known = by_entity.entry(entity).or_insert(fresh);
        known.score = known.score.max(alert.score.unwrap_or(0.0));
        known.started_at = known.started_at.min(alert.started_at);
        known.severity = known.severity.max(alert.severity);
    }
    let all: Vec<Evidence> = by_entity.into_values().collect();
    let Some(first_at) = all.iter().map(|evidence| evidence.started_at).min() else { return Vec::new() };
    let measure = Measure { first_at, score_max: all.iter().map(|evidence| evidence.score).fold(0.0, f64::max) };
    let names: BTreeSet<&str> = all.iter().map(|evidence| evidence.entity.as_ref()).collect();
    let mut candidates: Vec<Candidate> = all.iter().map(|evidence| watched(evidence, &all, around, &measure)).collect();
    candidates.extend(unwatched(&all, &names, around, &measure));
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.entity.cmp(&b.entity)));
    candidates.truncate(CANDIDATES_MAX);
    candidates
}

/// An entity that alerts.
fn watched(mine: &Evidence, all: &[Evidence], around: &BTreeMap<Arc<str>, Surroundings>, measure: &Measure) -> Candidate {
    let (explains, explained) = explains(mine.entity, all, around);
    let deepest_other = dependencies_of(mine.entity, around).and_then(|known| {
        all.iter().filter_map(|other| Some((known.get(other.entity)?, other))).min_by_key(|(hops, other)| (**hops, other.entity))
    });
    let deepest = deepest_other.as_ref().map_or(1.0, |(hops, _)| 1.0 - HOP_DECAY.powi(**hops as i32 - 1));
    let late_ms = mine.started_at - measure.first_at;
    let first = (-(late_ms as f64) / FIRST_OVER_MS).exp();
    let score = measure.sum(explains, deepest, first, loudness(mine.severity), measure.departs(mine.score));
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
        reasons.push(if late_ms == 0 {
            "it was the first to fail".into()
        } else {
            format!("it failed {} after the first", format_ms(late_ms))
        });
    } else {
        reasons.push("it alone alerts".into());
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
    all: &[Evidence],
    names: &BTreeSet<&str>,
    around: &BTreeMap<Arc<str>, Surroundings>,
    measure: &Measure,
) -> Vec<Candidate> {
    let mut suspects: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for dependency in all.iter().filter_map(|evidence| dependencies_of(evidence.entity, around)).flat_map(BTreeMap::keys) {
        if !names.contains(dependency.as_ref()) {
            *suspects.entry(Arc::clone(dependency)).or_default() += 1;
        }
    }
    let suspects = suspects.into_iter().filter(|(_, count)| *count >= 2);
    suspects
        .map(|(entity, count)| {
            let (explains, _) = explains(&entity, all, around);
            let score = UNWATCHED * measure.sum(explains, 1.0, 0.5, 0.0, 0.5);
            let reasons = vec![
                format!("{count} of the {} failing entities depend on it", all.len()),
                "no alert of its own: suspected, not seen".into(),
            ];
            Candidate { entity, score: round(score), reasons }
        })
        .collect()
}

/// How much of the incident `cause` would explain, weighted by loudness, and how many other entities that is.
fn explains(cause: &Arc<str>, all: &[Evidence], around: &BTreeMap<Arc<str>, Surroundings>) -> (f64, usize) {
    let (mut sum, mut of, mut count) = (0.0, 0.0, 0);
    for evidence in all {
        let weight = loudness(evidence.severity);
        of += weight;
        if evidence.entity == cause {
            sum += weight;
        } else if let Some(hops) = dependencies_of(evidence.entity, around).and_then(|known| known.get(cause)) {
            sum += weight * HOP_DECAY.powi(*hops as i32 - 1);
            count += 1;
        }
    }
    (sum / of, count)
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
