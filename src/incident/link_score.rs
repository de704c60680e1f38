//! How strongly a new alert is related to one that is already in an incident: a score from topology and time, with its reason.
//!
//! Time counts by direction, because causes and symptoms differ. A symptom may follow at any time while its cause fires. The alert of a
//! cause may come later than its symptoms only by the time that detection takes. So a service that fails eight minutes after its
//! callers is not their cause, and two outages at once stay two incidents even where one gateway depends on both.

use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::co_occurrence::JointEpisodes;
use crate::incident::correlation_params::CorrelationParams;
use crate::incident::entity_ids::EntityId;
use crate::incident::link::{Link, LinkBasis};
use crate::model::duration::format_ms;
use crate::model::severity::Severity;
use crate::topology::{Topology, Way};

/// Each further edge leaves this share of a score.
const HOP_DECAY: f64 = 0.85;
/// Two symptoms without their cause are this much weaker than a direct dependency.
const COMMON_DEPENDENCY: f64 = 0.8;
/// The score of two that always failed together before: as strong as a dependency three edges away.
const COMPANY: f64 = 0.7;
/// The score of a label of `correlation.keys`: stronger than two symptoms, weaker than a dependency.
const SHARED_KEY: f64 = 0.9;

/// What an entity depends on. Its dependents are not in it: a hub has too many, and each has the hub in its own neighborhood.
#[derive(Clone, Debug, Default)]
pub struct Neighborhood {
    /// In the order of ids, which is the order of names.
    dependencies: Vec<(EntityId, usize)>,
    /// A limit was reached: only the nearest are here.
    pub cut: bool,
}

impl Neighborhood {
    /// The neighborhood of a node.
    pub fn new(topology: &Topology, node: u32, env: &str, hops: usize) -> Self {
        let (near, cut) = topology.reach_numbers(node, env, hops, Way::Dependencies);
        let mut dependencies: Vec<(EntityId, usize)> =
            near.into_iter().map(|(node, hops)| (EntityId::of_node(node), hops)).collect();
        dependencies.sort_unstable();
        Self { dependencies, cut }
    }

    /// What it depends on, with the number of edges, by name.
    pub fn dependencies(&self) -> &[(EntityId, usize)] {
        &self.dependencies
    }

    /// What it depends on directly.
    pub fn direct(&self) -> impl Iterator<Item = EntityId> {
        self.dependencies.iter().filter(|(_, hops)| *hops == 1).map(|(spot, _)| *spot)
    }

    /// How many edges away a dependency is.
    pub fn hops_to(&self, spot: EntityId) -> Option<usize> {
        let at = self.dependencies.binary_search_by_key(&spot, |(spot, _)| *spot).ok()?;
        Some(self.dependencies[at].1)
    }

    /// What both depend on, with the number of edges from each.
    pub fn shared<'a>(&'a self, other: &'a Neighborhood) -> impl Iterator<Item = (EntityId, usize, usize)> + 'a {
        let mut theirs = other.dependencies.iter().peekable();
        self.dependencies.iter().filter_map(move |(spot, mine)| {
            while theirs.next_if(|(other, _)| other < spot).is_some() {}
            theirs.next_if(|(other, _)| other == spot).map(|(_, theirs)| (*spot, *mine, *theirs))
        })
    }
}

/// The highest score of a link over this many edges.
pub fn bound_of_hops(hops: usize) -> f64 {
    round(near(hops))
}

/// The highest score of a link by a common dependency this many edges away, of whose dependents this share alerts.
pub fn bound_of_siblings(hops: usize, share: f64) -> f64 {
    round(COMMON_DEPENDENCY * near(hops) * share)
}

/// The highest score of a link by a label.
pub const BOUND_OF_KEYS: f64 = SHARED_KEY;

/// The highest score of a link by history.
pub const BOUND_OF_COMPANY: f64 = COMPANY;

/// Which side of a link may be the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The same entity.
    Same,
    /// The new alert's entity depends on the known one: it is a symptom.
    Symptom,
    /// The known alert's entity depends on the new one: it may be the cause.
    Cause,
    /// Both depend on something else, one caller reports both, or both share a label.
    Siblings,
    /// They failed together before: enough to join an incident, not enough to merge two.
    CoOccurring,
}

/// A possible link between a new alert and a known one.
#[derive(Clone, Debug)]
pub struct Tie {
    /// The known one.
    pub known: Arc<Alert>,
    /// 0 to 1, in three digits.
    pub score: f64,
    why: TieReason,
}

/// What relates two alerts.
#[derive(Clone, Debug)]
enum TieReason {
    SameRule,
    SameEntity,
    /// The new one depends on the known one.
    Symptom {
        hops: usize,
        in_graph: bool,
    },
    /// The known one depends on the new one.
    Cause {
        hops: usize,
        in_graph: bool,
    },
    Common {
        spot: EntityId,
        share: f64,
    },
    /// One caller reports both.
    Caller,
    /// This label of both is the same.
    Key(Arc<str>),
    /// They failed together before.
    CoOccurrence(JointEpisodes),
}

impl Tie {
    /// Which side may be the cause.
    pub fn direction(&self) -> Direction {
        match self.why {
            TieReason::SameRule | TieReason::SameEntity => Direction::Same,
            TieReason::Symptom { .. } => Direction::Symptom,
            TieReason::Cause { .. } => Direction::Cause,
            TieReason::Common { .. } | TieReason::Caller | TieReason::Key(_) => Direction::Siblings,
            TieReason::CoOccurrence(_) => Direction::CoOccurring,
        }
    }

    /// The link as the incident keeps it, with its reason in words.
    pub fn link(&self, new: &Alert, topology: &Topology) -> Link {
        let (from, to) = (new.subject(), self.known.subject());
        let lag_ms = new.started_at - self.known.started_at;
        let mut ground = LinkBasis::Alerts;
        let graph = |yes: bool| if yes { LinkBasis::Way } else { LinkBasis::Alerts };
        let reason = match &self.why {
            TieReason::SameRule => format!("the same rule {}, no entity", new.rule),
            TieReason::SameEntity => format!("the same entity {from}"),
            TieReason::Symptom { hops, in_graph } => {
                ground = graph(*in_graph);
                format!("{from} depends on {to} ({}) and failed {}", edges(*hops), after(lag_ms))
            }
            TieReason::Cause { hops, in_graph } => {
                ground = graph(*in_graph);
                format!("{to} depends on {from} ({}), which failed {}", edges(*hops), after(lag_ms))
            }
            TieReason::Common { spot, share } => {
                let via = topology.name(spot.number()).cloned().unwrap_or_default();
                ground = LinkBasis::Common(Arc::clone(&via));
                let alerting = if *share < 1.0 {
                    format!("{:.0}% of what depends on it directly alerts", share * 100.0)
                } else {
                    "all that depends on it directly alerts".into()
                };
                format!("{from} and {to} both depend on {via}, and {alerting}")
            }
            TieReason::Caller => {
                format!("calls from {} to {from} and to {to} both fail or are slow", new.peer.as_deref().unwrap_or_default())
            }
            TieReason::CoOccurrence(JointEpisodes { both, either }) => {
                format!("{from} and {to} failed together {both} of the {either} times before")
            }
            TieReason::Key(key) => format!("{from} and {to} share {key}={}", new.labels.get(key).unwrap_or_default()),
        };
        Link { from: from.into(), to: to.into(), score: self.score, reason, ground, topology_version: topology.version() }
    }
}

/// What a score needs besides the two alerts.
pub struct TieContext<'a> {
    /// Settings.
    pub params: &'a CorrelationParams,
    /// The new alert's entity.
    pub new: TieEnd<'a>,
    /// The known alert's entity.
    pub known: TieEnd<'a>,
    /// The share of a node's dependents that alert now, 0 to 1.
    pub share_alerting: &'a dyn Fn(EntityId) -> f64,
    /// How often the new alert's entity and another failed together before, where that reaches `correlation.together`.
    pub together: &'a dyn Fn(&str) -> Option<JointEpisodes>,
}

/// One end of a link.
#[derive(Clone, Copy)]
pub struct TieEnd<'a> {
    /// Its id.
    pub spot: Option<EntityId>,
    /// What it depends on.
    pub around: &'a Neighborhood,
}

/// Relates `new` to `known`, if anything does.
pub fn tie(new: &Alert, known: &Arc<Alert>, context: &TieContext<'_>) -> Option<Tie> {
    // An announcement (a deploy, a certificate that expires in weeks) is no failure: failures do not join it, and it joins none.
    let announces = |alert: &Alert| alert.severity == Severity::Info;
    if new.env != known.env || announces(new) != announces(known) {
        return None;
    }
    let params = context.params;
    let lag_ms = new.started_at - known.started_at;
    let make = |score: f64, why: TieReason| Tie { known: Arc::clone(known), score: round(score), why };
    let together = decay(lag_ms.abs(), params.gap_ms);
    let by_key = || {
        let same = |key: &&Arc<str>| new.labels.get(key).is_some_and(|value| known.labels.get(key) == Some(value));
        params.keys.iter().find(same).map(|key| make(SHARED_KEY * together, TieReason::Key(Arc::clone(key))))
    };
    let enough = |tie: &Tie| tie.score >= params.threshold;
    let (Some(new_entity), Some(known_entity)) = (&new.entity, &known.entity) else {
        let same_rule = new.rule == known.rule && new.entity == known.entity;
        return same_rule.then(|| make(together, TieReason::SameRule)).or_else(|| by_key().filter(enough));
    };
    if new_entity == known_entity {
        // While the known alert fires, or where both began together, trouble of the same entity is the same trouble.
        let silence_ms = known.ended_at.map_or(0, |ended_at| (new.started_at - ended_at).max(0));
        return Some(make(decay(silence_ms, params.gap_ms), TieReason::SameEntity));
    }
    // An edge that an alert reports is a dependency, whether or not the topology has it.
    let way = |around: &Neighborhood, to: Option<EntityId>, caller: &Arc<str>, of: &Alert| {
        let in_graph = to.and_then(|to| around.hops_to(to));
        let seen = (of.peer.as_ref() == Some(caller)).then_some(1);
        in_graph.into_iter().chain(seen).min().map(|hops| (hops, seen.is_none()))
    };
    let upstream = way(context.new.around, context.known.spot, new_entity, known).map(|(hops, in_graph)| {
        let late_ms = known.ended_at.map_or(0, |ended_at| (new.started_at - ended_at).max(0));
        let early_ms = (-lag_ms).max(0);
        let time = decay(late_ms, params.gap_ms) * decay(early_ms, params.cause_gap_ms);
        make(near(hops) * time, TieReason::Symptom { hops, in_graph })
    });
    let downstream = way(context.known.around, context.new.spot, known_entity, new).map(|(hops, in_graph)| {
        let late_ms = lag_ms.max(0);
        let early_ms = (-lag_ms).max(0);
        let time = decay(late_ms, params.cause_gap_ms) * new.ended_at.map_or(1.0, |_| decay(early_ms, params.gap_ms));
        make(near(hops) * time, TieReason::Cause { hops, in_graph })
    });
    let caller = new.peer.as_ref().filter(|peer| known.peer.as_ref() == Some(*peer));
    let caller = caller.map(|_| make(COMMON_DEPENDENCY * together, TieReason::Caller));
    let co_occurrence = (context.together)(known_entity).map(|before| {
        let share = f64::from(before.both) / f64::from(before.either.max(1));
        make(COMPANY * share * together, TieReason::CoOccurrence(before))
    });
    // A dependency that one reaches through the other is not a common cause: then one is the other's symptom, or they are unrelated.
    let in_line = upstream.is_some() || downstream.is_some();
    let best = |ties: [Option<Tie>; 5]| ties.into_iter().flatten().max_by(|a, b| a.score.total_cmp(&b.score));
    let direct = best([co_occurrence, upstream, downstream, caller, by_key()]);
    // The search for a common dependency costs most: skip it where it cannot give a better score.
    let common = if in_line || direct.as_ref().is_some_and(|tie| tie.score > round(COMMON_DEPENDENCY * together)) {
        None
    } else {
        common_dependency(context)
            .map(|(spot, hops, share)| make(COMMON_DEPENDENCY * near(hops) * share * together, TieReason::Common { spot, share }))
    };
    best([direct, common, None, None, None]).filter(enough)
}

/// The dependency that explains both best: near, and with most of its dependents alerting. A hub that everything uses explains
/// nothing until most of its dependents fail.
fn common_dependency(context: &TieContext<'_>) -> Option<(EntityId, usize, f64)> {
    let shared = context.new.around.shared(context.known.around).map(|(spot, a, b)| (spot, (a + b).saturating_sub(1)));
    let near_enough = shared.filter(|(_, hops)| *hops <= context.params.hops);
    let scored = near_enough.map(|(spot, hops)| (spot, hops, (context.share_alerting)(spot)));
    scored.max_by(|a, b| (near(a.1) * a.2).total_cmp(&(near(b.1) * b.2)).then_with(|| b.0.cmp(&a.0)))
}

fn near(hops: usize) -> f64 {
    HOP_DECAY.powi(hops.saturating_sub(1) as i32)
}

fn decay(apart_ms: i64, over_ms: i64) -> f64 {
    (-(apart_ms as f64) / over_ms.max(1) as f64).exp()
}

/// Rounds a score to three digits: more would pretend to a precision that scores do not have.
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
