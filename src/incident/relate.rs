//! How strongly an alert is tied to one that is already in an incident: a score from graph and time, with the reason in words.
//!
//! Time is judged by direction, because cause and symptom are not alike. A symptom may follow its cause at any distance while
//! the cause still fires; a cause's own alert may come later than its symptoms, but only by the time that detection takes. So a
//! service that fails eight minutes after its callers did is not what broke them, and two outages at once stay two even where
//! one gateway stands above both.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::{CorrelationParams, Link};
use crate::topology::{Topology, Way};
use crate::words::duration::format_ms;
use crate::words::severity::Severity;

/// The share of a score that each further edge leaves.
const HOP_DECAY: f64 = 0.85;
/// How much weaker than a direct tie two symptoms without their cause are.
const COMMON_DEPENDENCY: f64 = 0.8;

/// What an entity reaches, kept because every alert on it asks again.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Entities that it depends on, with hops. Those that depend on it are not looked for: they know it themselves, and a hub
    /// has too many.
    pub dependencies: BTreeMap<Arc<str>, usize>,
    /// There are more than were looked at: these are the nearest.
    pub cut: bool,
}

impl Surroundings {
    /// Looks around `entity`.
    pub fn new(topology: &Topology, entity: &str, env: &str, hops: usize) -> Self {
        let reach = topology.reach(entity, env, hops, Way::Dependencies);
        Self { dependencies: reach.hops, cut: reach.cut }
    }

    /// The entities that it depends on directly.
    pub fn direct(&self) -> impl Iterator<Item = &Arc<str>> {
        self.dependencies.iter().filter(|(_, hops)| **hops == 1).map(|(entity, _)| entity)
    }
}

/// No tie over this many edges scores more.
pub fn bound_of_hops(hops: usize) -> f64 {
    round(near(hops))
}

/// No tie by a dependency this many edges away scores more, where this share of its dependents alerts.
pub fn bound_of_siblings(hops: usize, share: f64) -> f64 {
    round(COMMON_DEPENDENCY * near(hops) * share)
}

/// The side of a link on which the cause stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The same entity.
    Same,
    /// The new alert's entity depends on the known one: it is a symptom.
    Symptom,
    /// The known alert's entity depends on the new one: it may be the cause.
    Cause,
    /// Both depend on something else, or something else complains of both.
    Siblings,
}

/// A tie between a new alert and a known one.
#[derive(Clone, Debug, PartialEq)]
pub struct Tie {
    /// Which way it points.
    pub direction: Direction,
    /// With score and reason.
    pub link: Link,
}

/// What is needed to judge a tie besides the two alerts.
pub struct Context<'a> {
    /// Settings.
    pub params: &'a CorrelationParams,
    /// Around the new alert's entity.
    pub around_new: &'a Surroundings,
    /// Around the known alert's entity.
    pub around_known: &'a Surroundings,
    /// The share of a node's dependents that alert now, 0 to 1.
    pub share_alerting: &'a dyn Fn(&str) -> f64,
    /// The graph that this is decided on.
    pub topology_version: u64,
}

/// Ties `new` to `known`, if anything does.
pub fn tie(new: &Alert, known: &Alert, context: &Context<'_>) -> Option<Tie> {
    // An announcement (a deploy, a certificate that expires in weeks) is no failure: it neither draws failures to it nor joins one.
    let announces = |alert: &Alert| alert.severity == Severity::Info;
    if new.env != known.env || announces(new) != announces(known) {
        return None;
    }
    let params = context.params;
    let lag_ms = new.started_at - known.started_at;
    let make = |direction, score: f64, reason: String| Tie {
        direction,
        link: Link {
            from: new.subject().into(),
            to: known.subject().into(),
            score: round(score),
            reason,
            topology_version: context.topology_version,
        },
    };
    let (Some(new_entity), Some(known_entity)) = (&new.entity, &known.entity) else {
        return (new.rule == known.rule && new.entity == known.entity).then(|| {
            make(Direction::Same, decay(lag_ms.abs(), params.gap_ms), format!("the same rule {}, no entity", new.rule))
        });
    };
    if new_entity == known_entity {
        // While the known alert fires, or where both began together, the same entity is the same trouble.
        let silence_ms = known.ended_at.map_or(0, |ended_at| (new.started_at - ended_at).max(0));
        return Some(make(Direction::Same, decay(silence_ms, params.gap_ms), format!("the same entity {new_entity}")));
    }
    // An edge that was seen is a dependency, whether or not the topology knows it.
    let seen = |caller: &Arc<str>, of: &Alert| (of.peer.as_ref() == Some(caller)).then_some(&1);
    let up = context.around_new.dependencies.get(known_entity).into_iter().chain(seen(new_entity, known)).min();
    let upstream = up.map(|hops| {
        let late_ms = known.ended_at.map_or(0, |ended_at| (new.started_at - ended_at).max(0));
        let early_ms = (-lag_ms).max(0);
        let time = decay(late_ms, params.gap_ms) * decay(early_ms, params.cause_gap_ms);
        make(
            Direction::Symptom,
            near(*hops) * time,
            format!("{new_entity} depends on {known_entity} ({}) and failed {}", edges(*hops), after(lag_ms)),
        )
    });
    let down = context.around_known.dependencies.get(new_entity).into_iter().chain(seen(known_entity, new)).min();
    let downstream = down.map(|hops| {
        let late_ms = lag_ms.max(0);
        let early_ms = (-lag_ms).max(0);
        let time = decay(late_ms, params.cause_gap_ms) * new.ended_at.map_or(1.0, |_| decay(early_ms, params.gap_ms));
        make(
            Direction::Cause,
            near(*hops) * time,
            format!("{known_entity} depends on {new_entity} ({}), which failed {}", edges(*hops), after(lag_ms)),
        )
    });
    let common = common_dependency(context).map(|(name, hops, share)| {
        let score = COMMON_DEPENDENCY * near(hops) * share * decay(lag_ms.abs(), params.gap_ms);
        make(
            Direction::Siblings,
            score,
            format!(
                "{new_entity} and {known_entity} both depend on {name}, and {:.0}% of what depends on it alerts",
                share * 100.0
            ),
        )
    });
    let caller = new.peer.as_ref().filter(|peer| known.peer.as_ref() == Some(*peer)).map(|caller| {
        let score = COMMON_DEPENDENCY * decay(lag_ms.abs(), params.gap_ms);
        make(Direction::Siblings, score, format!("{caller} waits for both, {new_entity} and {known_entity}"))
    });
    let best = [upstream, downstream, common, caller].into_iter().flatten().max_by(|a, b| a.link.score.total_cmp(&b.link.score));
    best.filter(|tie| tie.link.score >= params.threshold)
}

/// The dependency that explains both best: near, and with most of its dependents alerting. A hub that everything uses explains
/// nothing until most of what uses it fails.
fn common_dependency(context: &Context<'_>) -> Option<(Arc<str>, usize, f64)> {
    let (mine, theirs) = (&context.around_new.dependencies, &context.around_known.dependencies);
    let shared = mine.iter().filter_map(|(name, a)| Some((name, (a + theirs.get(name)?).saturating_sub(1))));
    let near_enough = shared.filter(|(_, hops)| *hops <= context.params.hops);
    let scored = near_enough.map(|(name, hops)| (Arc::clone(name), hops, (context.share_alerting)(name)));
    scored.max_by(|a, b| (near(a.1) * a.2).total_cmp(&(near(b.1) * b.2)).then_with(|| b.0.cmp(&a.0)))
}

fn near(hops: usize) -> f64 {
    HOP_DECAY.powi(hops.saturating_sub(1) as i32)
}

fn decay(apart_ms: i64, over_ms: i64) -> f64 {
    (-(apart_ms as f64) / over_ms.max(1) as f64).exp()
}

/// Scores go into messages: three digits are as much as they mean.
pub fn round(score: f64) -> f64 {
    (score * 1000.0).round() / 1000.0
}

fn edges(hops: usize) -> String {
    if hops == 1 { "directly".into() } else { format!("over {hops} edges") }
}

fn after(lag_ms: i64) -> String {
    match lag_ms {
        0 => "at the same time".into(),
        late if late > 0 => format!("{} after it", format_ms(late)),
        early => format!("{} before it", format_ms(-early)),
    }
}
