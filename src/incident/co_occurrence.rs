//! Which entities fail together, learned from history. It can show dependencies that the topology does not have.
//!
//! An entity has an episode when it fails after it was quiet for a while. Two entities that had many episodes together and few apart
//! are related the next time. Nothing is learned from a storm, in which everything fails with everything.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;

/// More entities than this that begin to fail within one gap are a storm.
const STORM: usize = 16;
/// Entities of one environment that are remembered. The one that was quiet longest is dropped first.
const ENTITIES_MAX: usize = 10_000;

/// The history of all environments.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CoOccurrence {
    of_env: BTreeMap<Arc<str>, EnvHistory>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct EnvHistory {
    entities: BTreeMap<Arc<str>, EntityHistory>,
    /// The entities that began to fail within the last gap, oldest first.
    recent: VecDeque<(TimestampMs, Arc<str>)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct EntityHistory {
    episodes: u32,
    last_at: TimestampMs,
    /// In how many of its episodes each other entity began to fail too.
    with: BTreeMap<Arc<str>, u32>,
}

/// How often two entities failed together before, and how often at least one of them did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JointEpisodes {
    /// Episodes of both together.
    pub both: u32,
    /// Episodes of at least one.
    pub either: u32,
}

impl CoOccurrence {
    /// An entity fails at `at`. Entities that began less than `gap_ms` before it began together with it.
    pub fn saw(&mut self, at: TimestampMs, env: &Arc<str>, entity: &Arc<str>, gap_ms: i64) {
        let EnvHistory { entities, recent } = self.of_env.entry(Arc::clone(env)).or_default();
        let past = entities.entry(Arc::clone(entity)).or_default();
        let quiet = past.episodes == 0 || at - past.last_at > 2 * gap_ms;
        past.last_at = at;
        if !quiet {
            return;
        }
        past.episodes += 1;
        while recent.front().is_some_and(|(then, _)| at - then > gap_ms) {
            recent.pop_front();
        }
        if recent.len() < STORM {
            for (_, other) in recent.iter().filter(|(_, other)| other != entity) {
                for (a, b) in [(entity, other), (other, entity)] {
                    if let Some(past) = entities.get_mut(a) {
                        *past.with.entry(Arc::clone(b)).or_default() += 1;
                    }
                }
            }
        }
        recent.push_back((at, Arc::clone(entity)));
        if entities.len() > ENTITIES_MAX {
            forget_one(entities);
        }
    }

    /// The entities that failed together with this one at least `least` times.
    pub fn partners<'a>(&'a self, env: &str, entity: &str, least: u32) -> impl Iterator<Item = &'a Arc<str>> {
        let past = self.of_env.get(env).and_then(|of_env| of_env.entities.get(entity));
        past.into_iter().flat_map(|past| &past.with).filter(move |(_, both)| **both >= least).map(|(other, _)| other)
    }

    /// How often `new`, whose episode begins, and `known`, whose episode goes on, failed together before.
    pub fn together(&self, env: &str, new: &str, known: &str) -> Option<JointEpisodes> {
        let entities = &self.of_env.get(env)?.entities;
        let (new, known_past) = (entities.get(new)?, entities.get(known)?);
        let both = *new.with.get(known)?;
        // The episode under way is no evidence yet.
        let either = (new.episodes + known_past.episodes.saturating_sub(1)).saturating_sub(both).max(both);
        Some(JointEpisodes { both, either })
    }
}

fn forget_one(entities: &mut BTreeMap<Arc<str>, EntityHistory>) {
    let quietest = entities.iter().min_by_key(|(name, past)| (past.last_at, *name)).map(|(name, _)| Arc::clone(name));
    let Some(gone) = quietest.and_then(|name| entities.remove_entry(&name)) else { return };
    for other in gone.1.with.keys() {
        if let Some(past) = entities.get_mut(other) {
            past.with.remove(&gone.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn saw(co_occurrence: &mut CoOccurrence, at_min: i64, entity: &str) {
        co_occurrence.saw(at_min * MINUTE_MS, &"production".into(), &entity.into(), 5 * MINUTE_MS);
    }

    #[test]
    fn those_who_fail_together_are_known_by_it() {
        let mut co_occurrence = CoOccurrence::default();
        for hour in 0..4 {
            saw(&mut co_occurrence, hour * 60, "web");
            saw(&mut co_occurrence, hour * 60 + 2, "mail");
            saw(&mut co_occurrence, hour * 60 + 3, "mail");
            saw(&mut co_occurrence, hour * 60 + 30, "web");
        }
        assert_eq!(co_occurrence.together("production", "mail", "web"), Some(JointEpisodes { both: 4, either: 7 }));
        assert_eq!(co_occurrence.partners("production", "web", 4).map(AsRef::as_ref).collect::<Vec<&str>>(), ["mail"]);
        assert_eq!(co_occurrence.partners("production", "web", 5).count(), 0);
        assert_eq!(co_occurrence.together("staging", "mail", "web"), None);
    }

    #[test]
    fn a_storm_teaches_nothing_and_memory_is_bounded() {
        let mut co_occurrence = CoOccurrence::default();
        for entity in 0..12_000 {
            saw(&mut co_occurrence, 0, &format!("service-{entity}"));
        }
        let known = &co_occurrence.of_env["production"].entities;
        assert_eq!(known.len(), ENTITIES_MAX);
        assert!(known.values().map(|past| past.with.len()).max() <= Some(STORM));
    }
}
