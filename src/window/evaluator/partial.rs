//! Counting shared by several processes: one hands on what it has counted in, another takes it for its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::HashMap;
use datafusion::common::Result;

use crate::model::time::TimestampMs;
use crate::rule::Rule;
use crate::window::WindowLimits;
use crate::window::evaluator::{CostClock, EvaluatedRule, Evaluator, RuleIndex};
use crate::window::ingest::key_space::GroupId;
use crate::window::partial::{Keys, Loss, PartialTable, PartialWindows};
use crate::window::state::table_registry::{Counting, SharedTable, TableState, Tables};
use crate::window::time::schedule::Schedule;

impl Evaluator {
    /// An evaluator that counts for others, and is never asked for an answer. Rules come sorted by name.
    pub fn that_only_counts(rules: Vec<Arc<Rule>>, limits: WindowLimits, clock: CostClock) -> Result<Self> {
        Self::over(Tables::that_only_count(limits), rules, clock)
    }

    /// Others count for this one, which has seen nothing yet.
    pub fn counted_by_others(&mut self) {
        self.tables.counting = Counting::ByOthers;
    }

    /// Takes out what was counted in since the last time; the windows are empty afterwards. To be asked of one that only counts.
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

    /// Counts in what the evaluator of partition `partition` has counted, of events up to `latest`. A table that it knows nothing
    /// of lacks that part of the rows: the rules over it rest until it does.
    pub fn absorb(&mut self, partition: usize, part: &PartialWindows, latest: TimestampMs) {
        let by_key: HashMap<&str, Vec<&PartialTable>> = part.tables.iter().fold(HashMap::default(), |mut by_key, table| {
            by_key.entry(table.key()).or_insert_with(Vec::new).push(table);
            by_key
        });
        let mut adopted: BTreeMap<(usize, usize), Option<Vec<GroupId>>> = BTreeMap::new();
        let (mut came, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for table in 0..self.tables.tables.len() {
            let shared = &self.tables.tables[table];
            let feeding = by_key.get(shared.key.as_str()).and_then(|some| some.iter().find(|some| some.feeds(shared)));
            match feeding {
                Some(feeding) => {
                    came.extend(self.came(table, partition));
                    self.absorb_table(table, feeding, &part.spaces, &mut adopted);
                }
                None => missing.extend(self.is_missing(table, partition, latest)),
            }
        }
        let list = |rules: &BTreeSet<RuleIndex>| {
            let names = rules.iter().map(|index| self.rules[*index].rule.name());
            names.collect::<Vec<_>>().join(", ")
        };
        let which = partition + 1;
        if !missing.is_empty() {
            tracing::warn!(partition = which, rules = list(&missing), "these rules rest until the worker counts for them");
        }
        if !came.is_empty() {
            tracing::info!(partition = which, rules = list(&came), "the worker counts for these rules now");
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

    /// A table gets the rows of `partition`. Yields the rules for which that is news.
    fn came(&mut self, table: usize, partition: usize) -> Vec<RuleIndex> {
        let SharedTable { lacking, rules, .. } = &mut self.tables.tables[table];
        if lacking.remove(&partition) { rules.clone() } else { Vec::new() }
    }

    /// A table does not get the rows of `partition`, which go up to `latest`. Yields the rules for which that is news.
    fn is_missing(&mut self, table: usize, partition: usize, latest: TimestampMs) -> Vec<RuleIndex> {
        let shared = &mut self.tables.tables[table];
        shared.misses(latest);
        if shared.lacking.insert(partition) { shared.rules.clone() } else { Vec::new() }
    }

    /// Whether a rule lacks a part of its rows. From here on it knows nothing of before.
    pub(crate) fn lacks_rows(&mut self, index: RuleIndex) -> bool {
        let evaluated = &mut self.rules[index];
        let tables = evaluated.leaves.iter().map(|leaf| &self.tables.tables[leaf.table]);
        evaluated.since = tables.clone().map(|table| table.since).fold(evaluated.since, TimestampMs::max);
        tables.clone().any(|table| !table.lacking.is_empty())
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
