//! How long rules about single events wait for them. Their ticks come of events alone, so where none came, no tick says that the
//! wait is over: what comes later than that is late all the same, however messages fall into batches.

use std::collections::BTreeSet;

use crate::model::time::{TimestampMs, align_down};
use crate::rule::Rule;
use crate::rule::definition::window_spec::WindowSpec;
use crate::window::evaluator::Evaluator;
use crate::window::state::table_registry::TableState;

/// The rules about single events.
#[derive(Debug)]
pub(crate) struct Instants {
    /// Their times between two ticks.
    every_ms: BTreeSet<i64>,
    /// Up to where events have been waited for.
    passed: TimestampMs,
}

impl Instants {
    pub(crate) fn of<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let instants = rules.filter(|rule| rule.front.window_spec == WindowSpec::Instant);
        Self { every_ms: instants.map(|rule| rule.front.every_ms).collect(), passed: TimestampMs::MIN }
    }

    /// The last tick that any of them may have had.
    fn last_tick(&self, now: TimestampMs) -> TimestampMs {
        self.every_ms.iter().map(|every_ms| align_down(now, *every_ms)).max().unwrap_or(TimestampMs::MIN)
    }
}

impl Evaluator {
    /// Whether time passes an instant up to which some rule waited for single events.
    pub fn passes(&self, now: TimestampMs) -> bool {
        self.instants.last_tick(now) > self.instants.passed
    }

    /// All ticks up to `now` are done: events before them are late from here on.
    pub fn pass(&mut self, now: TimestampMs) {
        if !self.passes(now) {
            return;
        }
        self.instants.passed = self.instants.last_tick(now);
        for evaluated in self.rules.iter().filter(|evaluated| evaluated.rule.front.window_spec == WindowSpec::Instant) {
            for leaf in &evaluated.leaves {
                if let TableState::Rows(table) = &mut self.tables.tables[leaf.table].state {
                    table.seal(align_down(now, evaluated.rule.front.every_ms));
                }
            }
        }
    }
}
