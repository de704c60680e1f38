//! A new set of rules over the same windows: what it has in common with the rules before goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::Result;

use crate::model::time::{TimestampMs, align_down};
use crate::rule::Rule;
use crate::window::evaluator::rule_state::RuleState;
use crate::window::evaluator::{Evaluator, RuleIndex};
use crate::window::limits::WindowLimits;
use crate::window::time::rule_set_start::RuleSetStart;

impl Evaluator {
    /// The same evaluator with other rules. Tables whose content means the same keep it; a rule of the same name keeps its counts,
    /// and its detector's state where SQL and detector are the same. Ticks up to `start.now` are done. Ticks are at multiples of a
    /// rule's `every`, so none is lost and none comes twice.
    pub fn with_rules(self, rules: Vec<Arc<Rule>>, limits: WindowLimits, start: RuleSetStart) -> Result<Self> {
        let mut next = Self::over(self.registry.detach_all(limits, start), rules, self.clock)?;
        if self.started {
            next.start(start.now);
        }
        let mut before: BTreeMap<String, (RuleIndex, RuleState)> =
            self.rules.into_iter().enumerate().map(|old| (old.1.rule.name().to_string(), old)).collect();
        next.update_completeness();
        for (index, new) in next.rules.iter_mut().enumerate() {
            let Some((old_index, mut old)) = before.remove(new.rule.name()) else { continue };
            new.stats = old.stats;
            if new.is_instant() {
                // Events that were taken in wait for these ticks.
                let every_ms = new.rule.front.every_ms;
                self.schedule.of(old_index).for_each(|at| next.schedule.add(align_down(at - 1, every_ms) + every_ms, index));
            }
            if new.detects_like(&old) {
                new.detector = old.detector.take();
            }
            if new.rule.file.text == old.rule.file.text {
                new.complete_since = new.complete_since.max(old.complete_since);
                (new.last_error, new.quarantine) = (old.last_error.take(), old.quarantine.take());
            }
        }
        Ok(next)
    }

    /// The windows of a rule are complete from when on its youngest table is.
    pub(crate) fn update_completeness(&mut self) {
        for state in &mut self.rules {
            let tables = state.leaves.iter().map(|leaf| self.registry.tables[leaf.table].coverage.since);
            state.complete_since = tables.max().unwrap_or(TimestampMs::MIN);
        }
    }
}
