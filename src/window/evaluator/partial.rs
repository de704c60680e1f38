//! Counting shared by several processes: one hands on what it has counted in, another takes it for its own.

use std::collections::BTreeMap;

use ahash::HashMap;
use datafusion::common::Result;

use crate::window::evaluator::{EvaluatedRule, Evaluator};
use crate::window::key_space::GroupId;
use crate::window::partial::{Keys, Loss, PartialTable, PartialWindows};
use crate::window::schedule::Schedule;
use crate::window::tables::{SharedTable, TableState};
use crate::words::time::TimestampMs;

impl Evaluator {
    /// Takes out what was counted in since the last time; the windows are empty afterwards. To be asked of an evaluator that is
    /// never asked for an answer.
    ///
    /// # Errors
    ///
    /// A state that cannot be written as Arrow: a defect.
    pub fn export(&mut self) -> Result<PartialWindows> {
        // Instants at which nobody will ask.
        self.schedule = Schedule::default();
        let tables = self.tables.tables.iter_mut().map(PartialTable::drain).collect::<Result<_>>()?;
        let spaces = self.tables.spaces.iter_mut().map(|space| Keys::take(&mut space.keys)).collect();
        let losses = self.rules.iter_mut().filter_map(EvaluatedRule::take_loss).collect();
        Ok(PartialWindows { spaces, tables, losses })
    }

    /// Counts in what the evaluator of partition `partition` has counted. A table that it knows nothing of lacks that part
    /// of the rows: the rules over it rest until it does.
    pub fn absorb(&mut self, partition: usize, part: &PartialWindows) {
        let by_key: HashMap<&str, Vec<&PartialTable>> = part.tables.iter().fold(HashMap::default(), |mut by_key, table| {
            by_key.entry(table.key()).or_insert_with(Vec::new).push(table);
            by_key
        });
        let mut adopted: BTreeMap<(usize, usize), Option<Vec<GroupId>>> = BTreeMap::new();
        for table in 0..self.tables.tables.len() {
            let shared = &self.tables.tables[table];
            let feeding = by_key.get(shared.key.as_str()).and_then(|some| some.iter().find(|some| some.feeds(shared)));
            self.tell_of_lack(table, partition, feeding.is_none());
            if let Some(feeding) = feeding {
                self.absorb_table(table, feeding, &part.spaces, &mut adopted);
            }
        }
        for loss in &part.losses {
            if let Some(evaluated) = self.rules.iter_mut().find(|evaluated| evaluated.rule.name() == loss.rule) {
                evaluated.stats.overflow += loss.overflow;
                evaluated.stats.errors += loss.errors;
                if let Some(error) = &loss.last_error {
                    evaluated.last_error = Some(error.clone());
                }
            }
        }
    }

    fn absorb_table(
        &mut self,
        table: usize,
        feeding: &PartialTable,
        keys: &[Keys],
        adopted: &mut BTreeMap<(usize, usize), Option<Vec<GroupId>>>,
    ) {
        self.count_in(table, |state, spaces| match state {
            TableState::Aggregate(table, space) => {
                let ids = adopted.entry((feeding.space(), *space)).or_default();
                feeding.count_into(table, &mut spaces[*space].keys, keys, ids)
            }
            TableState::Rows(table) => feeding.keep_in(table),
        });
    }

    fn tell_of_lack(&mut self, table: usize, partition: usize, lacks: bool) {
        let SharedTable { lacking, rules, .. } = &mut self.tables.tables[table];
        let changed = if lacks { lacking.insert(partition) } else { lacking.remove(&partition) };
        if changed {
            let partition = partition + 1;
            for rule in rules.iter().map(|index| self.rules[*index].rule.name()) {
                match lacks {
                    true => tracing::error!(
                        rule,
                        partition,
                        "the worker of this partition has another version of the rule, or none: the rule rests until it has this one"
                    ),
                    false => tracing::info!(rule, partition, "the worker of this partition has this version of the rule now"),
                }
            }
        }
    }

    /// Whether a rule lacks a part of its rows. From here on it knows nothing of before.
    pub(super) fn lacks_rows(&mut self, index: usize, at: TimestampMs) -> bool {
        let evaluated = &mut self.rules[index];
        let lacks = evaluated.leaves.iter().any(|leaf| !self.tables.tables[leaf.table].lacking.is_empty());
        if lacks {
            evaluated.since = at;
        }
        lacks
    }
}

impl EvaluatedRule {
    /// What could not be counted in since the last time.
    fn take_loss(&mut self) -> Option<Loss> {
        let stats = std::mem::take(&mut self.stats);
        let last_error = self.last_error.take();
        let loss = Loss { rule: self.rule.name().to_string(), overflow: stats.overflow, errors: stats.errors, last_error };
        (loss.overflow > 0 || loss.errors > 0).then_some(loss)
    }
}
