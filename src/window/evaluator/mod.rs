//! All rules over all streams: takes event batches in, and evaluates rules at their ticks.
//!
//! It decides when a rule is due and what its windows hold. It knows nothing of alerts: breaches are returned to the caller.

mod instant_rules;
mod instant_ticks;
mod quarantine;
mod reload;
mod rule_state;

pub(in crate::window) mod partial;
pub(in crate::window) mod snapshot;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use datafusion::common::Result;

use crate::model::event::{EventBatch, Kind, TABLES};
use crate::model::labels::Labels;
use crate::model::limits::QUARANTINE_MS;
use crate::model::time::{TimestampMs, align_down};
use crate::rule::Rule;
use crate::rule::definition::output_columns::Breach;
use crate::rule::definition::window_spec::TimeSource;
use crate::rule::exec::expression_chain::batch_of;
use crate::rule::exec::post_aggregate::PostAggregate;
use crate::rule::exec::row_budget::over_budget;
use crate::rule::plan::stream_scan::Leaf;
use crate::window::detector::Detector;
use crate::window::evaluator::instant_ticks::InstantTicks;
use crate::window::evaluator::rule_state::RuleState;
use crate::window::ingest::micro_batch::{MicroBatch, RowSlice};
use crate::window::ingest::router::RoutedRows;
use crate::window::limits::WindowLimits;
use crate::window::quarantine::Quarantine;
use crate::window::rule_stats::{CostClock, RuleStats};
use crate::window::state::aggregate_table::bound::GroupIdCache;
use crate::window::state::ingest_counts::IngestCounts;
use crate::window::state::leaf_window::LeafWindow;
use crate::window::state::pane_merge::PaneMerger;
use crate::window::state::shared_table::TableState;
use crate::window::state::table_registry::{SharedKeySpace, TableRegistry};
use crate::window::time::schedule::Schedule;

/// Index of a rule, in order of names.
pub type RuleIndex = usize;

/// The rules, their tables and the state of their windows.
#[derive(Debug)]
pub struct Evaluator {
    rules: Vec<RuleState>,
    registry: TableRegistry,
    merger: PaneMerger,
    schedule: Schedule,
    started: bool,
    instant_ticks: InstantTicks,
    clock: CostClock,
}

impl Evaluator {
    /// An evaluator with empty windows. Rules come sorted by name.
    pub fn new(rules: Vec<Arc<Rule>>, limits: WindowLimits, clock: CostClock) -> Result<Self> {
        Self::over(TableRegistry::new(limits), rules, clock)
    }

    fn over(mut registry: TableRegistry, rules: Vec<Arc<Rule>>, clock: CostClock) -> Result<Self> {
        let mut rules: Vec<RuleState> = rules.into_iter().map(RuleState::new).collect();
        // Rules with the shortest `every` are attached first: they decide how narrow the panes are that others may share.
        let mut order: Vec<RuleIndex> = (0..rules.len()).collect();
        order.sort_by_key(|index| rules[*index].rule.front.every_ms);
        for index in order {
            rules[index].leaves = registry.attach(index, &rules[index].rule)?;
        }
        let every_ms: Vec<i64> = rules.iter().map(|state| state.rule.front.every_ms).collect();
        registry.finish(rules.iter_mut().flat_map(|state| &mut state.leaves), |index| every_ms[index]);
        let instant_ticks = InstantTicks::of(rules.iter().map(|state| state.rule.as_ref()));
        Ok(Self {
            rules,
            registry,
            merger: PaneMerger::default(),
            schedule: Schedule::default(),
            started: false,
            instant_ticks,
            clock,
        })
    }

    /// The rule at an index.
    pub fn rule(&self, index: RuleIndex) -> &Arc<Rule> {
        &self.rules[index].rule
    }

    /// The number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What a rule has done so far.
    pub fn stats(&self, index: RuleIndex) -> RuleStats {
        self.rules[index].stats
    }

    /// The last failure of a rule's evaluation.
    pub fn last_error(&self, index: RuleIndex) -> Option<&str> {
        self.rules[index].last_error.as_deref()
    }

    /// The quarantine of a rule, if it is in one.
    pub fn quarantine(&self, index: RuleIndex) -> Option<&Quarantine> {
        self.rules[index].quarantine.as_ref()
    }

    /// Groups, panes and bytes of all windows.
    pub fn size(&self) -> (usize, usize, usize) {
        let groups = self.registry.spaces.iter().map(|space| space.keys.len()).sum();
        let panes = self.registry.tables.iter().map(|table| table.state.panes()).sum();
        let keys: usize = self.registry.spaces.iter().map(|space| space.keys.bytes()).sum();
        let bytes: usize = self.registry.tables.iter().map(|table| table.state.bytes()).sum();
        (groups, panes, keys + bytes)
    }

    /// The other rules that share a table with a leaf of this one.
    pub fn shared_with(&self, index: RuleIndex, leaf: usize) -> Vec<&str> {
        let table = &self.registry.tables[self.rules[index].leaves[leaf].table];
        let others = table.rules.iter().filter(|other| **other != index);
        let mut names: Vec<&str> = others.map(|other| self.rules[*other].rule.name()).collect();
        names.sort_unstable();
        names
    }

    /// Whether two leaves of a rule read the same table.
    pub fn same_table(&self, index: RuleIndex, leaf: usize, other: usize) -> bool {
        let leaves = &self.rules[index].leaves;
        leaves[leaf].table == leaves[other].table
    }

    /// The pane width of a leaf's table, the length of the leaf's window, and how long before the evaluation the window ends.
    pub fn panes_of(&self, index: RuleIndex, leaf: usize) -> (i64, i64, i64) {
        let leaf = &self.rules[index].leaves[leaf];
        (self.registry.tables[leaf.table].state.layout().pane_ms, leaf.window_ms, leaf.ago_ms)
    }

    /// Takes in rows `from[kind]..to[kind]` of each stream of the batch.
    ///
    /// A table that fails on some row (a cast, say) loses its slice of the batch, counted as an error of each of its rules. The other
    /// tables are not affected.
    pub fn ingest(&mut self, batch: &EventBatch, from: [usize; TABLES], to: [usize; TABLES]) {
        for kind in Kind::ALL {
            let (start, end) = (from[kind as usize], to[kind as usize]);
            if start == end || self.registry.routers[kind as usize].is_empty() {
                continue;
            }
            let rows = batch.tables[kind as usize].slice(start, end - start);
            let by_broker = self.rules.iter().any(|state| state.rule.front.time == TimeSource::Broker);
            let broker_times = if by_broker { batch.received(kind, start..end) } else { Vec::new() };
            self.ingest_stream(kind, &rows, &broker_times);
        }
    }

    fn ingest_stream(&mut self, kind: Kind, rows: &RecordBatch, broker_times: &[TimestampMs]) {
        let routed = match kind.routed_by() {
            Some(_) => self.registry.routers[kind as usize].route(rows.column(1).as_string_view()),
            None => RoutedRows::default(),
        };
        let by_name = MicroBatch::new(rows, broker_times, Some(routed.order));
        let mut cache = GroupIdCache::default();
        for (class, range) in routed.classes {
            cache.clear();
            let slice = by_name.slice(range);
            for at in 0..self.registry.routers[kind as usize].tables(class).len() {
                let table = self.registry.routers[kind as usize].tables(class)[at];
                self.ingest_slice(table, &slice, &mut cache);
            }
        }
        let unsorted = MicroBatch::new(rows, broker_times, None);
        let all = unsorted.all();
        cache.clear();
        for at in 0..self.registry.routers[kind as usize].unfiltered_tables().len() {
            let table = self.registry.routers[kind as usize].unfiltered_tables()[at];
            self.ingest_slice(table, &all, &mut cache);
        }
    }

    fn ingest_slice(&mut self, table: usize, rows: &RowSlice<'_>, cache: &mut GroupIdCache) {
        self.ingest_into(table, |state, spaces| match state {
            TableState::Aggregate(table, space) => table.ingest(rows, (*space, &mut spaces[*space].keys), cache),
            TableState::Rows(table) => table.ingest(rows),
        });
    }

    /// Calls `ingest` with a table and counts the rows for its rules, unless all of them are quarantined.
    fn ingest_into(&mut self, table: usize, ingest: impl FnOnce(&mut TableState, &mut [SharedKeySpace]) -> Result<IngestCounts>) {
        let started_ns = (self.clock)();
        let TableRegistry { tables, spaces, .. } = &mut self.registry;
        let shared = &mut tables[table];
        if shared.rules.iter().all(|index| self.rules[*index].quarantine.is_some()) {
            return;
        }
        let ingested = ingest(&mut shared.state, spaces);
        for index in &shared.rules {
            let state = &mut self.rules[*index];
            state.count_ingested(&ingested);
            // Rules about single events have ticks only where there are events.
            if state.is_instant()
                && let TableState::Rows(table) = &shared.state
            {
                table.open_ends().for_each(|end| self.schedule.add(end, *index));
            }
        }
        shared.spent_ns += (self.clock)() - started_ns;
    }

    /// Sets the first tick of each rule: the first multiple of its `every` after `start`.
    pub fn start(&mut self, start: TimestampMs) {
        self.started = true;
        for (index, state) in self.rules.iter().enumerate() {
            let every_ms = state.rule.front.every_ms;
            if !state.is_instant() {
                self.schedule.add(align_down(start, every_ms) + every_ms, index);
            }
        }
    }

    /// Whether [`Self::start`] was called.
    pub fn started(&self) -> bool {
        self.started || self.is_empty()
    }

    /// The instant of the next tick.
    pub fn next_tick(&self) -> Option<TimestampMs> {
        self.schedule.next()
    }

    /// The rules to evaluate at the next tick, which must be `at`. Schedules the tick after it.
    pub fn take_due(&mut self, at: TimestampMs) -> Vec<RuleIndex> {
        let due = self.schedule.take(at);
        for index in &due {
            let state = &self.rules[*index];
            if !state.is_instant() {
                self.schedule.add(at + state.rule.front.every_ms, *index);
            }
        }
        due
    }

    /// Schedules another tick of a rule about single events, whose alerts must end some time.
    pub fn schedule_after(&mut self, index: RuleIndex, after: TimestampMs) {
        let every_ms = self.rules[index].rule.front.every_ms;
        self.schedule.add(align_down(after, every_ms) + every_ms, index);
    }

    /// Whether a rule has a tick to come.
    pub fn is_scheduled(&self, index: RuleIndex) -> bool {
        self.schedule.of(index).next().is_some()
    }

    /// Evaluates a rule over its windows at `at`. An evaluation that fails is counted and finds nothing. Returns `None` where the
    /// rule is quarantined, or compares with a time before `first_event`: then it is not even known that nothing happened.
    pub fn evaluate(&mut self, index: RuleIndex, at: TimestampMs, first_event: TimestampMs) -> Option<Vec<Breach>> {
        if self.update_quarantine(index, at)
            || self.misses_partitions(index)
            || self.comparison_start(index, at) < first_event.max(self.rules[index].complete_since)
        {
            return None;
        }
        let started_ns = (self.clock)();
        let result = self.query(index, at);
        let shared_ns = self.charge_tables(index);
        let state = &mut self.rules[index];
        state.stats.ticks += 1;
        let breaches = match result {
            Ok(rows) => state.detect(at, rows),
            Err(error) => {
                state.count_error(&error);
                if let Some(reason) = over_budget(&error) {
                    state.stats.spent_ns += shared_ns + (self.clock)() - started_ns;
                    self.quarantine_until(index, at + QUARANTINE_MS, &reason);
                    return None;
                }
                Vec::new()
            }
        };
        state.stats.breaches += breaches.len() as u64;
        state.stats.spent_ns += shared_ns + (self.clock)() - started_ns;
        Some(breaches)
    }

    /// The start of the earliest named window at `at`, of which a rule must know everything: to compare with a window that began
    /// before the first event, or before the rule was there, would be to compare with a part of what happened.
    fn comparison_start(&self, index: RuleIndex, at: TimestampMs) -> TimestampMs {
        let state = &self.rules[index];
        let leaves = state.leaves.iter().zip(&state.rule.plan.leaves);
        let named = leaves.filter(|(_, leaf)| leaf.stream().window.is_some());
        named.map(|(leaf, _)| leaf.range(at).start).min().unwrap_or(TimestampMs::MAX)
    }

    /// Takes a rule's share of what its tables cost since they were last charged.
    fn charge_tables(&mut self, index: RuleIndex) -> u64 {
        let shares = self.rules[index].leaves.iter().map(|leaf| {
            let shared = &mut self.registry.tables[leaf.table];
            let share = shared.spent_ns / shared.rules.len().max(1) as u64;
            shared.spent_ns -= share;
            share
        });
        shares.sum()
    }

    /// Label sets that the rule's last evaluation stopped waiting for, although they had not returned.
    pub fn take_forgotten(&mut self, index: RuleIndex) -> BTreeSet<Labels> {
        self.rules[index].detector.as_mut().map(Detector::take_forgotten).unwrap_or_default()
    }

    /// The rows of a rule's SQL.
    fn query(&mut self, index: RuleIndex, at: TimestampMs) -> Result<Vec<Breach>> {
        let Self { rules, registry, merger, .. } = self;
        let RuleState { rule, leaves, .. } = &rules[index];
        for leaf in leaves {
            registry.tables[leaf.table].state.seal(at)?;
        }
        let no_rows = leaves.iter().all(|leaf| !registry.tables[leaf.table].state.has_rows(&leaf.range(at)));
        if no_rows && !rule.plan.answers_silence {
            return Ok(Vec::new());
        }
        if let ([leaf], true) = (leaves.as_slice(), rules[index].is_instant())
            && let TableState::Rows(table) = &mut registry.tables[leaf.table].state
        {
            let (rows, times) = table.rows(&leaf.range(at))?;
            return Ok(rule.output.events(&rule.plan.post_aggregate.run(vec![rows])?, &times)?);
        }
        let sorted = !matches!(rule.plan.post_aggregate, PostAggregate::Chain(_));
        let sources = leaves.iter().zip(&rule.plan.leaves);
        let rows = sources.map(|(leaf, source)| read(leaf, source, registry, merger, at, sorted)).collect::<Result<Vec<_>>>()?;
        let mut breaches = rule.output.breaches(&rule.plan.post_aggregate.run(rows)?, at)?;
        if !sorted {
            breaches.sort_by(Breach::in_order);
        }
        Ok(breaches)
    }

    /// Drops keys that no pane holds any more. To be called between ticks.
    pub fn compact(&mut self) {
        self.registry.compact_key_spaces();
    }

    /// Whether no window holds anything, and no detector waits for what is absent.
    pub fn is_blank(&self) -> bool {
        let idle = |state: &RuleState| state.detector.as_ref().is_none_or(Detector::is_idle);
        self.registry.tables.iter().all(|table| table.state.is_blank()) && self.rules.iter().all(idle)
    }

    /// Leaves out the ticks before `at`. Only for time in which every window is blank.
    pub fn skip_to(&mut self, at: TimestampMs) {
        self.schedule.skip_to(at, |index| self.rules[index].rule.front.every_ms);
    }
}

/// The rows of a leaf over its window of the evaluation at `at`.
fn read(
    leaf: &LeafWindow,
    source: &Leaf,
    registry: &mut TableRegistry,
    merger: &mut PaneMerger,
    at: TimestampMs,
    sorted: bool,
) -> Result<RecordBatch> {
    let TableRegistry { tables, spaces, .. } = registry;
    match &mut tables[leaf.table].state {
        TableState::Aggregate(table, space) => {
            let (columns, rows) = table.evaluate(leaf, at, sorted, &mut spaces[*space].keys, merger)?;
            if rows == 0 {
                Ok(RecordBatch::new_empty(Arc::clone(source.schema())))
            } else {
                batch_of(source.schema(), columns, rows)
            }
        }
        TableState::Rows(table) => Ok(table.rows(&leaf.range(at))?.0),
    }
}
