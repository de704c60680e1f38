//! When which rule is to be evaluated.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::time::{TimestampMs, align_down};

/// Ticks to come, by time; rules of one instant in order of their index.
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

    /// Takes the rules whose tick is at `at`.
    pub fn take(&mut self, at: TimestampMs) -> Vec<usize> {
        self.ticks.remove(&at).map(|rules| rules.into_iter().collect()).unwrap_or_default()
    }

    /// Moves ticks before `at` to the first of their rule's at or after it.
    pub fn skip_to(&mut self, at: TimestampMs, every_ms: impl Fn(usize) -> i64) {
        let late: Vec<TimestampMs> = self.ticks.range(..at).map(|(tick, _)| *tick).collect();
        for tick in late {
            for rule in self.take(tick) {
                let every_ms = every_ms(rule);
                self.add(align_down(at - 1, every_ms) + every_ms, rule);
            }
        }
    }

    /// Gives a rule these ticks and no others.
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
