//! Aggregation that several processes share: workers export what they have aggregated, and the evaluator of another process merges
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::HashMap;
use datafusion::common::Result;

use crate::model::time::TimestampMs;
use crate::rule::Rule;
use crate::window::evaluator::rule_state::RuleState;
use crate::window::evaluator::{Evaluator, RuleIndex};
use crate::window::ingest::group_id::GroupId;
use crate::window::limits::WindowLimits;
use crate::window::partial::{PartialKeys, PartialTable, PartialWindows, RuleLosses};
use crate::window::rule_stats::CostClock;
use crate::window::state::shared_table::{SharedTable, TableState};
use crate::window::state::table_registry::{PartitionRole, TableRegistry};
use crate::window::time::schedule::Schedule;

impl Evaluator {
    /// An evaluator that only aggregates, for [`Self::take_partial`]. Rules come sorted by name.
    pub fn counter(rules: Vec<Arc<Rule>>, limits: WindowLimits, clock: CostClock) -> Result<Self> {
        Self::over(TableRegistry::counter(limits), rules, clock)
    }

    /// From here on others aggregate for this evaluator, which has seen nothing yet.
    pub fn set_merger(&mut self) {
        self.registry.role = PartitionRole::Merger;
    }

    /// Takes out all that was aggregated since the last call. The windows are then empty.
    ///
    /// # Errors
    ///
    /// A state that cannot be written as Arrow: a defect.
    pub fn take_partial(&mut self) -> Result<PartialWindows> {
        // Nobody evaluates at these ticks.
        self.schedule = Schedule::default();
        let tables = self.registry.tables.iter_mut().map(PartialTable::take_from).collect::<Result<_>>()?;
        let spaces = self.registry.spaces.iter_mut().map(|space| PartialKeys::take_from(&mut space.keys)).collect();
        let losses = self.rules.iter_mut().filter_map(take_losses).collect();
        Ok(PartialWindows { spaces, tables, losses })
    }

    /// Merges what the worker of `partition` has aggregated, of events up to `latest`. A table that the worker has no content for
    /// misses its rows: the rules over it are not evaluated until the worker has.
    pub fn merge_partial(&mut self, partition: usize, partial: &PartialWindows, latest: TimestampMs) {
        let by_key: HashMap<&str, Vec<&PartialTable>> = partial.tables.iter().fold(HashMap::default(), |mut by_key, table| {
            by_key.entry(table.key()).or_insert_with(Vec::new).push(table);
            by_key
        });
        let mut ids: BTreeMap<(usize, usize), Option<Vec<GroupId>>> = BTreeMap::new();
        let (mut fed, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for table in 0..self.registry.tables.len() {
            let shared = &self.registry.tables[table];
            let feeding = by_key.get(shared.key.as_str()).and_then(|some| some.iter().find(|some| some.can_feed(shared)));
            match feeding {
                Some(feeding) => {
                    fed.extend(self.set_fed(table, partition));
                    self.merge_table(table, feeding, &partial.spaces, &mut ids);
                }
                None => missing.extend(self.set_missing(table, partition, latest)),
            }
        }
        let list = |rules: &BTreeSet<RuleIndex>| {
            let names = rules.iter().map(|index| self.rules[*index].rule.name());
            names.collect::<Vec<_>>().join(", ")
        };
        let number = partition + 1;
        if !missing.is_empty() {
            tracing::warn!(partition = number, rules = list(&missing), "these rules rest until the worker counts for them");
        }
        if !fed.is_empty() {
            tracing::info!(partition = number, rules = list(&fed), "the worker counts for these rules now");
        }
        for losses in &partial.losses {
            if let Some(state) = self.rules.iter_mut().find(|state| state.rule.name() == losses.rule) {
                state.stats.overflow += losses.overflow;
                state.stats.errors += losses.errors;
                if let Some(error) = &losses.last_error {
                    state.last_error = Some(error.clone());
                }
            }
        }
    }

    /// `ids` are those of the partial keys in the key spaces here, by both spaces.
    fn merge_table(
        &mut self,
        table: usize,
        feeding: &PartialTable,
        keys: &[PartialKeys],
        ids: &mut BTreeMap<(usize, usize), Option<Vec<GroupId>>>,
    ) {
        self.ingest_into(table, |state, spaces| match state {
            TableState::Aggregate(table, space) => {
                let ids = ids.entry((feeding.space(), *space)).or_default();
                feeding.merge_panes(table, &mut spaces[*space].keys, keys, ids)
            }
            TableState::Rows(table) => feeding.merge_rows(table),
        });
    }

    /// The table gets the rows of `partition`. Returns the rules for which that is news.
    fn set_fed(&mut self, table: usize, partition: usize) -> Vec<RuleIndex> {
        let SharedTable { missing_partitions, rules, .. } = &mut self.registry.tables[table];
        if missing_partitions.remove(&partition) { rules.clone() } else { Vec::new() }
    }

    /// The table does not get the rows of `partition`, which go up to `latest`. Returns the rules for which that is news.
    fn set_missing(&mut self, table: usize, partition: usize, latest: TimestampMs) -> Vec<RuleIndex> {
        let shared = &mut self.registry.tables[table];
        shared.miss_events_until(latest);
        if shared.missing_partitions.insert(partition) { shared.rules.clone() } else { Vec::new() }
    }

    /// Whether a rule misses the rows of some partition. Its windows are complete only from when on it no longer does.
    pub(crate) fn misses_partitions(&mut self, index: RuleIndex) -> bool {
        let state = &mut self.rules[index];
        let tables = state.leaves.iter().map(|leaf| &self.registry.tables[leaf.table]);
        state.complete_since = tables.clone().map(|table| table.coverage.since).fold(state.complete_since, TimestampMs::max);
        tables.clone().any(|table| !table.missing_partitions.is_empty())
    }
}

/// The rows that a rule lost since the last call.
fn take_losses(state: &mut RuleState) -> Option<RuleLosses> {
    let stats = std::mem::take(&mut state.stats);
    let last_error = state.last_error.take();
    let losses = RuleLosses { rule: state.rule.name().to_string(), overflow: stats.overflow, errors: stats.errors, last_error };
    (losses.overflow > 0 || losses.errors > 0).then_some(losses)
}
