//! The ticks to come: at which instant which rule is evaluated.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::time::{TimestampMs, align_down};

/// Ticks by time; the rules of one instant in order of their index.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    ticks: BTreeMap<TimestampMs, BTreeSet<usize>>,
}

impl Schedule {
    /// Adds a tick.
    pub fn add(&mut self, at: TimestampMs, rule: usize) {
        self.ticks.entry(at).or_default().insert(rule);
    }

    /// The instant of the next tick.
    pub fn next(&self) -> Option<TimestampMs> {
        self.ticks.first_key_value().map(|(at, _)| *at)
    }

    /// The ticks of one rule.
    pub fn of(&self, rule: usize) -> impl Iterator<Item = TimestampMs> {
        self.ticks.iter().filter(move |(_, rules)| rules.contains(&rule)).map(|(at, _)| *at)
    }

    /// Removes and returns the rules whose tick is at `at`.
    pub fn take(&mut self, at: TimestampMs) -> Vec<usize> {
        self.ticks.remove(&at).map(|rules| rules.into_iter().collect()).unwrap_or_default()
    }

    /// Moves each tick before `at` to the first multiple of its rule's `every` at or after it.
    pub fn skip_to(&mut self, at: TimestampMs, every_ms: impl Fn(usize) -> i64) {
        let skipped: Vec<TimestampMs> = self.ticks.range(..at).map(|(tick, _)| *tick).collect();
        for tick in skipped {
            for rule in self.take(tick) {
                let every_ms = every_ms(rule);
                self.add(align_down(at - 1, every_ms) + every_ms, rule);
            }
        }
    }

    /// Replaces the ticks of a rule.
    pub fn set(&mut self, rule: usize, ticks: &[TimestampMs]) {
        self.ticks.retain(|_, rules| {
            rules.remove(&rule);
            !rules.is_empty()
        });
        ticks.iter().for_each(|at| self.add(*at, rule));
    }

    /// Whether nothing is scheduled.
    pub fn is_empty(&self) -> bool {
        self.ticks.is_empty()
    }
}
