//! Other rules over the same windows: what they have in common with the rules before goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::Result;

use crate::model::time::{TimestampMs, align_down};
use crate::rule::Rule;
use crate::rule::definition::window_spec::WindowSpec;
use crate::window::WindowLimits;
use crate::window::evaluator::{EvaluatedRule, Evaluator, RuleIndex};
use crate::window::state::table_registry::Began;

impl Evaluator {
    /// The same evaluator with other rules. What a rule has in common with those before goes on: tables whose content means the
    /// same, the counts of a rule of the same name, its memory where its SQL and its judge are the same. Ticks up to `began.now`
    /// are done; as they stand at whole multiples of a rule's `every`, none is lost and none comes twice.
    pub fn with_rules(self, rules: Vec<Arc<Rule>>, limits: WindowLimits, began: Began) -> Result<Self> {
        let mut next = Self::over(self.tables.left_by_all(limits, began), rules, self.clock)?;
        if self.started {
            next.start(began.now);
        }
        let mut before: BTreeMap<String, (RuleIndex, EvaluatedRule)> =
            self.rules.into_iter().enumerate().map(|old| (old.1.rule.name().to_string(), old)).collect();
        next.know_since_tables();
        for (index, new) in next.rules.iter_mut().enumerate() {
            let Some((old_index, mut old)) = before.remove(new.rule.name()) else { continue };
            new.stats = old.stats;
            if new.rule.front.window_spec == WindowSpec::Instant {
                // Events that were counted in wait for these ticks.
                let every_ms = new.rule.front.every_ms;
                self.schedule.of(old_index).for_each(|at| next.schedule.add(align_down(at - 1, every_ms) + every_ms, index));
            }
            if new.remembers_as(&old) {
                new.judge = old.judge.take();
            }
            if new.rule.file.text == old.rule.file.text {
                new.since = new.since.max(old.since);
                (new.last_error, new.quarantine) = (old.last_error.take(), old.quarantine.take());
            }
        }
        Ok(next)
    }

    /// A rule knows what came since its youngest table was there.
    pub(crate) fn know_since_tables(&mut self) {
        for evaluated in &mut self.rules {
            let tables = evaluated.leaves.iter().map(|leaf| self.tables.tables[leaf.table].since);
            evaluated.since = tables.max().unwrap_or(TimestampMs::MIN);
        }
    }
}

impl EvaluatedRule {
    /// Whether what `old` remembers means the same for this rule.
    fn remembers_as(&self, old: &Self) -> bool {
        let of = |rule: &Self| (rule.rule.front.window_spec, rule.rule.front.window_ms);
        let sql = |rule: &Self| rule.rule.file.sql().trim_start().to_string();
        self.rule.front.detector == old.rule.front.detector && of(self) == of(old) && sql(self) == sql(old)
    }
}
