//! Rules that rest: from when, until when, and what becomes of their windows.

use crate::model::limits::QUARANTINE_MS;
use crate::model::time::TimestampMs;
use crate::rule::definition::window_spec::WindowSpec;
use crate::window::evaluator::{Evaluator, RuleIndex};
use crate::window::state::table_registry::TableState;

impl Evaluator {
    /// Whether a rule rests; begins or ends its rest.
    pub(crate) fn rests(&mut self, index: RuleIndex, at: TimestampMs) -> bool {
        let evaluated = &mut self.rules[index];
        let tables = &mut self.tables.tables;
        if let Some(quarantine) = &evaluated.quarantine {
            if at < quarantine.until {
                return true;
            }
            // From here on its windows fill: of what ends here it knows nothing yet.
            (evaluated.quarantine, evaluated.since) = (None, at);
            for leaf in &evaluated.leaves {
                match &mut tables[leaf.table].state {
                    TableState::Rows(table) if table.broken().is_some() => table.mend(),
                    _ => {}
                }
            }
            return evaluated.rule.front.window_spec != WindowSpec::Instant;
        }
        let broken = evaluated.leaves.iter().find_map(|leaf| match &tables[leaf.table].state {
            TableState::Rows(table) => table.broken().map(String::from),
            TableState::Aggregate(..) => None,
        });
        if let Some(reason) = broken {
            self.quarantine_until(index, at + QUARANTINE_MS, &reason);
            return true;
        }
        false
    }

    /// Sends a rule to rest. What only rules at rest use is emptied, and takes nothing in meanwhile.
    pub fn quarantine_until(&mut self, index: RuleIndex, until: TimestampMs, reason: &str) {
        self.rules[index].rest_until(until, reason);
        if self.rules[index].rule.front.window_spec == WindowSpec::Instant {
            self.again(index, until);
        }
        for leaf in &self.rules[index].leaves {
            let shared = &mut self.tables.tables[leaf.table];
            if shared.rules.iter().all(|other| self.rules[*other].quarantine.is_some()) {
                match &mut shared.state {
                    TableState::Aggregate(table, _) => table.clear(),
                    TableState::Rows(table) => table.mend(),
                }
            }
        }
    }
}
