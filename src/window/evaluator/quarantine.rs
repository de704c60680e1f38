//! Rules in quarantine: when it begins and ends, and what becomes of their windows.

use crate::model::limits::QUARANTINE_MS;
use crate::model::time::TimestampMs;
use crate::window::evaluator::{Evaluator, RuleIndex};
use crate::window::state::shared_table::TableState;

impl Evaluator {
    /// Begins or ends the quarantine of a rule that is due at `at`. Returns whether the rule is not to be evaluated.
    pub(crate) fn update_quarantine(&mut self, index: RuleIndex, at: TimestampMs) -> bool {
        let state = &mut self.rules[index];
        let tables = &mut self.registry.tables;
        if let Some(quarantine) = &state.quarantine {
            if at < quarantine.until {
                return true;
            }
            // Its windows fill from here on. Of the one that ends here it knows nothing.
            (state.quarantine, state.complete_since) = (None, at);
            for leaf in &state.leaves {
                match &mut tables[leaf.table].state {
                    TableState::Rows(table) if table.failure().is_some() => table.reset(),
                    _ => {}
                }
            }
            return !state.is_instant();
        }
        let failure = state.leaves.iter().find_map(|leaf| match &tables[leaf.table].state {
            TableState::Rows(table) => table.failure().map(String::from),
            TableState::Aggregate(..) => None,
        });
        if let Some(reason) = failure {
            self.quarantine_until(index, at + QUARANTINE_MS, &reason);
            return true;
        }
        false
    }

    /// Begins a quarantine. Tables that only quarantined rules read are emptied, and take nothing in meanwhile.
    pub fn quarantine_until(&mut self, index: RuleIndex, until: TimestampMs, reason: &str) {
        self.rules[index].quarantine_until(until, reason);
        if self.rules[index].is_instant() {
            self.schedule_after(index, until);
        }
        for leaf in &self.rules[index].leaves {
            let shared = &mut self.registry.tables[leaf.table];
            if shared.rules.iter().all(|other| self.rules[*other].quarantine.is_some()) {
                shared.state.reset();
            }
        }
    }
}
