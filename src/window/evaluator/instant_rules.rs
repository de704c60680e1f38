//! Seals the tables of rules about single events as time passes.

use crate::model::time::{TimestampMs, align_down};
use crate::window::evaluator::Evaluator;
use crate::window::state::shared_table::TableState;

impl Evaluator {
    /// Whether [`Self::seal_instant_rules`] would seal anything.
    pub fn instant_rules_due(&self, now: TimestampMs) -> bool {
        self.instant_ticks.is_due(now)
    }

    /// All ticks up to `now` are done: later rows before them are late.
    pub fn seal_instant_rules(&mut self, now: TimestampMs) {
        if !self.instant_ticks.is_due(now) {
            return;
        }
        self.instant_ticks.set_sealed(now);
        for state in self.rules.iter().filter(|state| state.is_instant()) {
            for leaf in &state.leaves {
                if let TableState::Rows(table) = &mut self.registry.tables[leaf.table].state {
                    table.seal(align_down(now, state.rule.front.every_ms));
                }
            }
        }
    }
}
