//! Which tables a set of rules needs, and which rules share them.
//!
//! Aggregates over the same rows with the same grouping share one table where their panes agree. Tables that group a stream alike
//! share one key space, so that a key is interned once for all of them. When rules change, tables that are still needed go on with
//! their content.

pub mod snapshot;

use std::collections::BTreeSet;

use arrow::datatypes::Field;
use datafusion::common::Result;

use crate::model::event::TABLES;
use crate::model::limits::PANES_PER_WINDOW_MAX;
use crate::model::time::common_divisor;
use crate::rule::Rule;
use crate::rule::plan::stream_scan::Leaf;
use crate::window::ingest::group_id::GroupId;
use crate::window::ingest::key_space::KeySpace;
use crate::window::ingest::router::Router;
use crate::window::limits::WindowLimits;
use crate::window::state::aggregate_table::AggregateTable;
use crate::window::state::leaf_window::{LeafWindow, window_of};
use crate::window::state::pane_layout::PaneLayout;
use crate::window::state::row_table::RowTable;
use crate::window::state::shared_table::{Coverage, SharedTable, TableState};
use crate::window::time::rule_set_start::RuleSetStart;

/// A window may consist of this many panes for the sake of sharing a table with a rule that is evaluated more often, or of
/// [`SHARED_PANES_FACTOR`] times as many as it would alone.
const SHARED_PANES_MAX: i64 = 64;
const SHARED_PANES_FACTOR: i64 = 8;
/// Key spaces with fewer new keys than this since the last look are not compacted.
const COMPACT_KEYS_MIN: usize = 1024;

/// A key space that tables share.
#[derive(Debug)]
pub struct SharedKeySpace {
    /// Identifies its columns.
    pub key: String,
    /// The keys.
    pub keys: KeySpace,
    /// The keys that some pane held when this was last counted.
    live_keys: usize,
}

/// The tables of a set of rules.
#[derive(Debug, Default)]
pub struct TableRegistry {
    /// The tables.
    pub tables: Vec<SharedTable>,
    /// The key spaces.
    pub spaces: Vec<SharedKeySpace>,
    /// The router of each stream.
    pub routers: [Router; TABLES],
    limits: WindowLimits,
    start: RuleSetStart,
    /// Who aggregates for the tables.
    pub role: PartitionRole,
}

/// Who aggregates rows and who evaluates rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionRole {
    /// One process does both.
    #[default]
    Standalone,
    /// It aggregates for another process, and evaluates nothing.
    Counter,
    /// It evaluates what others have aggregated.
    Merger,
}

impl TableRegistry {
    /// No tables.
    pub fn new(limits: WindowLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// No tables, for a process that only aggregates. All rules over the same rows share one table, with panes as narrow as any of
    /// them needs: so it can feed any table that another process has for the same rules.
    pub fn counter(limits: WindowLimits) -> Self {
        Self { role: PartitionRole::Counter, ..Self::new(limits) }
    }

    /// Finds or adds the tables of a rule.
    pub fn attach(&mut self, index: usize, rule: &Rule) -> Result<Vec<LeafWindow>> {
        rule.plan.leaves.iter().map(|leaf| self.attach_leaf(index, rule, leaf)).collect()
    }

    fn attach_leaf(&mut self, index: usize, rule: &Rule, leaf: &Leaf) -> Result<LeafWindow> {
        let (window_ms, ago_ms) = window_of(rule, leaf.stream());
        let reach_ms = window_ms + ago_ms;
        let layout = PaneLayout::of(rule);
        let key = table_key(leaf);
        let now = self.start.now;
        let usable = self.tables.iter().enumerate().filter(|(_, table)| self.is_usable(table, &key, leaf, &layout, reach_ms));
        // The one that knows most of the past: so a rule finds its own table again when other rules change.
        let table = match usable.min_by_key(|(_, table)| table.coverage.since(reach_ms, now)) {
            Some((table, _)) => table,
            None => self.add(key, leaf, layout.clone())?,
        };
        let shared = &mut self.tables[table];
        if self.role == PartitionRole::Counter {
            shared.state.narrow_panes(layout.pane_ms);
        }
        if !shared.rules.contains(&index) {
            shared.rules.push(index);
        }
        let columns = match (&mut shared.state, leaf) {
            (TableState::Aggregate(table, _), Leaf::Aggregate(source)) => table.attach(source, reach_ms),
            (TableState::Rows(table), Leaf::Rows(source)) => {
                table.attach(source, reach_ms)?;
                Vec::new()
            }
            // The key of a table tells the two apart.
            _ => Vec::new(),
        };
        shared.names.clone_from(&leaf.stream().names);
        Ok(LeafWindow { table, columns, window_ms, ago_ms })
    }

    /// Whether a leaf can read a table.
    fn is_usable(&self, table: &SharedTable, key: &str, leaf: &Leaf, layout: &PaneLayout, reach_ms: i64) -> bool {
        // The panes of a table with content lack the past of an aggregate that is new to it. And where workers aggregate, panes on
        // their way lack it too, and may be as wide as the rules before needed.
        let has_columns = match (&table.state, leaf) {
            (TableState::Aggregate(state, _), Leaf::Aggregate(source)) => {
                let ticks_fit = table.tick_ms == 0 || layout.pane_ms % table.tick_ms == 0;
                table.is_new() || (state.has_columns(&source.columns) && (self.role != PartitionRole::Merger || ticks_fit))
            }
            _ => true,
        };
        let panes_fit = match self.role {
            PartitionRole::Counter => table.state.layout().differs_in_width_only(layout),
            PartitionRole::Standalone | PartitionRole::Merger => can_share(table.state.layout(), layout, reach_ms),
        };
        table.key == key && has_columns && panes_fit
    }

    /// Adds an empty table that `leaf` can read, used by no rule yet. Returns its index.
    pub fn add(&mut self, key: String, leaf: &Leaf, layout: PaneLayout) -> Result<usize> {
        let state = match leaf {
            Leaf::Aggregate(source) => {
                let space = self.space(&source.group_key, &source.group_fields)?;
                TableState::Aggregate(Box::new(AggregateTable::new(source, layout, self.limits.groups)), space)
            }
            Leaf::Rows(source) => TableState::Rows(Box::new(RowTable::new(source, layout, self.limits.retained_rows)?)),
        };
        self.tables.push(SharedTable {
            key,
            kind: leaf.stream().kind,
            names: None,
            state,
            rules: Vec::new(),
            coverage: Coverage { since: self.start.latest, retained_ms: i64::MAX },
            tick_ms: 0,
            spent_ns: 0,
            missing_partitions: BTreeSet::new(),
        });
        Ok(self.tables.len() - 1)
    }

    fn space(&mut self, key: &str, fields: &[Field]) -> Result<usize> {
        if let Some(known) = self.spaces.iter().position(|space| space.key == key) {
            return Ok(known);
        }
        self.spaces.push(SharedKeySpace { key: key.into(), keys: KeySpace::new(fields)?, live_keys: 0 });
        Ok(self.spaces.len() - 1)
    }

    /// What one rule may hold.
    pub fn limits(&self) -> WindowLimits {
        self.limits
    }

    /// The same tables with their content, used by no rule until rules are attached anew.
    pub fn detach_all(mut self, limits: WindowLimits, start: RuleSetStart) -> Self {
        for table in &mut self.tables {
            table.rules.clear();
            table.state.detach_all();
        }
        Self { limits, start, ..self }
    }

    /// To be called when all rules are attached: drops what none of them uses, and routes rows to the rest. `leaves` are those of all
    /// rules, whose indices of tables and columns are brought up to date; `every_ms` is that of a rule.
    pub fn finish<'l>(&mut self, leaves: impl Iterator<Item = &'l mut LeafWindow>, every_ms: impl Fn(usize) -> i64) {
        let mut new_places = Vec::with_capacity(self.tables.len());
        let mut used_tables = Vec::new();
        for mut table in std::mem::take(&mut self.tables) {
            let columns = match &mut table.state {
                TableState::Aggregate(state, _) if !table.rules.is_empty() => state.drop_unused_columns(),
                _ => Vec::new(),
            };
            new_places.push((used_tables.len(), columns));
            if !table.rules.is_empty() {
                used_tables.push(table);
            }
        }
        self.tables = used_tables;
        let mut reach_ms = vec![0; self.tables.len()];
        for leaf in leaves {
            let (table, columns) = &new_places[leaf.table];
            leaf.table = *table;
            leaf.columns.iter_mut().for_each(|column| *column = columns[*column]);
            reach_ms[*table] = reach_ms[*table].max(leaf.reach_ms());
        }
        for (table, reach_ms) in self.tables.iter_mut().zip(reach_ms) {
            table.coverage = Coverage { since: table.coverage.since(reach_ms, self.start.now), retained_ms: reach_ms };
            table.tick_ms = table.rules.iter().map(|index| every_ms(*index)).fold(0, common_divisor);
        }
        self.drop_unused_spaces();
        self.routers = Default::default();
        for (index, table) in self.tables.iter().enumerate() {
            self.routers[table.kind as usize].add(index, table.names.as_ref());
        }
    }

    fn drop_unused_spaces(&mut self) {
        let mut used = vec![false; self.spaces.len()];
        for table in &self.tables {
            if let TableState::Aggregate(_, space) = &table.state {
                used[*space] = true;
            }
        }
        let new_places: Vec<usize> = (0..used.len()).map(|space| used[..space].iter().filter(|used| **used).count()).collect();
        for table in &mut self.tables {
            if let TableState::Aggregate(_, space) = &mut table.state {
                *space = new_places[*space];
            }
        }
        let mut used = used.iter();
        self.spaces.retain(|_| used.next().copied().unwrap_or(true));
    }

    /// Drops the keys that no pane holds any more from key spaces of which they are the larger part.
    pub fn compact_key_spaces(&mut self) {
        for index in 0..self.spaces.len() {
            self.compact_key_space(index);
        }
    }

    fn compact_key_space(&mut self, index: usize) {
        let space = &mut self.spaces[index];
        if space.keys.len() < 2 * space.live_keys + COMPACT_KEYS_MIN {
            return;
        }
        let mut live = vec![false; space.keys.len()];
        space.live_keys = 0;
        for table in &self.tables {
            if let TableState::Aggregate(table, space_index) = &table.state
                && *space_index == index
            {
                for group in table.groups() {
                    space.live_keys += usize::from(!std::mem::replace(&mut live[group as usize], true));
                }
            }
        }
        if 2 * space.live_keys > space.keys.len() {
            return;
        }
        let live: Vec<GroupId> = (0..live.len() as GroupId).filter(|group| live[*group as usize]).collect();
        let new_ids = space.keys.retain(&live);
        for table in &mut self.tables {
            if let TableState::Aggregate(table, space_index) = &mut table.state
                && *space_index == index
            {
                table.renumber(&new_ids);
            }
        }
    }
}

/// Identifies the content of the tables that a leaf can read.
pub fn table_key(leaf: &Leaf) -> String {
    match leaf {
        Leaf::Aggregate(source) => format!("{}\n{}", source.stream.key, source.text),
        Leaf::Rows(source) => format!("rows\n{}", source.key),
    }
}

/// Whether a rule that needs panes of `needed` can read a table of layout `table`. Rules are attached in an order in which panes only
/// get wider.
fn can_share(table: &PaneLayout, needed: &PaneLayout, reach_ms: i64) -> bool {
    if table == needed {
        return true;
    }
    let panes = reach_ms / table.pane_ms;
    let panes_needed = reach_ms / needed.pane_ms;
    table.differs_in_width_only(needed)
        && needed.pane_ms % table.pane_ms == 0
        && panes <= SHARED_PANES_MAX.max(SHARED_PANES_FACTOR * panes_needed).min(PANES_PER_WINDOW_MAX)
}
