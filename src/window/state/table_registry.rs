//! Which tables a set of rules needs, and which rules share them.
//!
//! Aggregates with the same rows and grouping share one table where their panes agree; tables that group a stream alike share
//! one key space, so that a key is interned once for all of them. Tables of an earlier set of rules go on with what they hold.

use std::collections::BTreeSet;
use std::ops::Range;

use datafusion::common::Result;

use crate::model::event::Kind;
use crate::model::limits::PANES_PER_WINDOW_MAX;
use crate::model::time::{TimestampMs, common_divisor};
use crate::rule::Rule;
use crate::rule::definition::window_spec::{TimeSource, WindowSpec};
use crate::rule::plan::stream_scan::{Leaf, StreamSource};
use crate::window::WindowLimits;
use crate::window::ingest::key_space::{GroupId, KeySpace};
use crate::window::ingest::router::Router;
use crate::window::state::row_table::RowTable;
use crate::window::state::table::{AggregateTable, Layout};

/// Panes that a window may be cut into for the sake of sharing a table with a rule that is evaluated more often: this many, or
/// this many times as many as it has by itself.
const SHARED_PANES_MAX: i64 = 64;
const SHARED_PANES_TIMES: i64 = 8;

/// What a leaf of a rule stands on.
#[derive(Clone, Debug)]
pub struct LeafUse {
    /// The table.
    pub table: usize,
    /// Which of the table's columns are the rule's; nothing for rows.
    pub columns: Vec<usize>,
    /// How far its window reaches back, and how long before the evaluation it ends.
    pub window_ms: i64,
    /// How long before the evaluation the window ends.
    pub ago_ms: i64,
}

impl LeafUse {
    /// The window of an evaluation.
    pub fn window(&self, at: TimestampMs) -> Range<TimestampMs> {
        at - self.ago_ms - self.window_ms..at - self.ago_ms
    }
}

/// A table with the rules that use it.
#[derive(Debug)]
pub struct SharedTable {
    /// What identifies its content.
    pub key: String,
    /// Its stream.
    pub kind: Kind,
    /// The metric names that it wants, if not all.
    pub names: Option<BTreeSet<String>>,
    /// The state.
    pub state: TableState,
    /// The rules that use it, by index.
    pub rules: Vec<usize>,
    /// From when on it has counted in all that came; of a table that is there from the start, everything.
    pub since: TimestampMs,
    /// How far back it has kept what it counted in; as far as anybody asks while it is new.
    held_ms: i64,
    /// What its rules ask for is a multiple of this: the greatest common divisor of their panes. 0 while there is no rule.
    asked_ms: i64,
    /// Time spent on it since the rules were told last, in nanoseconds.
    pub spent_ns: u64,
    /// Where others count for it: the partitions whose rows it does not get.
    pub lacking: BTreeSet<usize>,
}

/// Incremental state, or rows.
#[derive(Debug)]
pub enum TableState {
    /// Incremental state, with its key space.
    Aggregate(Box<AggregateTable>, usize),
    /// Rows.
    Rows(Box<RowTable>),
}

impl TableState {
    /// How the table lays out time.
    pub fn layout(&self) -> &Layout {
        match self {
            TableState::Aggregate(table, _) => table.layout(),
            TableState::Rows(table) => table.layout(),
        }
    }

    /// Panes now held.
    pub fn panes(&self) -> usize {
        match self {
            TableState::Aggregate(table, _) => table.panes(),
            TableState::Rows(table) => table.panes(),
        }
    }

    /// Bytes now held.
    pub fn bytes(&self) -> usize {
        match self {
            TableState::Aggregate(table, _) => table.bytes(),
            TableState::Rows(table) => table.bytes(),
        }
    }

    /// Cuts time so that panes of this width are made of whole ones. The table must be empty.
    fn cut_to(&mut self, pane_ms: i64) {
        let pane_ms = common_divisor(self.layout().pane_ms, pane_ms);
        match self {
            TableState::Aggregate(table, _) => table.set_pane_ms(pane_ms),
            TableState::Rows(table) => table.set_pane_ms(pane_ms),
        }
    }

    /// Whether it holds nothing.
    pub fn is_blank(&self) -> bool {
        match self {
            TableState::Aggregate(table, _) => table.is_blank(),
            TableState::Rows(table) => table.is_empty(),
        }
    }

    /// Whether the window holds anything.
    pub fn has_rows(&self, window: &Range<TimestampMs>) -> bool {
        match self {
            TableState::Aggregate(table, _) => table.has_rows(window),
            TableState::Rows(table) => table.has_rows(window),
        }
    }
}

/// A key space, and how many of its keys were alive at the last look.
#[derive(Debug)]
pub struct SharedKeys {
    /// What identifies its keys.
    pub key: String,
    /// The keys.
    pub keys: KeySpace,
    alive_before: usize,
}

/// The tables of a set of rules.
#[derive(Debug, Default)]
pub struct Tables {
    /// The tables.
    pub tables: Vec<SharedTable>,
    /// The key spaces.
    pub spaces: Vec<SharedKeys>,
    /// Which rows go where, by stream.
    pub routers: [Router; 4],
    limits: WindowLimits,
    began: Began,
    /// Who counts for them.
    pub counting: Counting,
}

/// Who counts rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// Who asks as well.
    #[default]
    Here,
    /// Others.
    ByOthers,
    /// Others ask, and nobody here.
    ForOthers,
}

/// When a set of rules began to run, in event time.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    /// What was due up to here was done by the rules before.
    pub now: TimestampMs,
    /// No event up to here is counted into a table that is new.
    pub latest: TimestampMs,
}

impl Default for Began {
    fn default() -> Self {
        Self { now: TimestampMs::MIN, latest: TimestampMs::MIN }
    }
}

impl SharedTable {
    /// Whether it is of this set of rules, and has seen nothing yet.
    fn is_new(&self) -> bool {
        self.held_ms == i64::MAX
    }

    /// What its rules ask for is a multiple of this.
    pub fn asked_ms(&self) -> i64 {
        self.asked_ms
    }

    /// From when on, and how far back, it knows all that came.
    pub fn known(&self) -> (TimestampMs, i64) {
        (self.since, self.held_ms)
    }

    /// It holds what another did, which knew this much, was asked for this, and lacked these.
    pub fn know(&mut self, known: (TimestampMs, i64), asked_ms: i64, lacking: BTreeSet<usize>) {
        (self.since, self.held_ms) = known;
        (self.asked_ms, self.lacking) = (asked_ms, lacking);
    }

    /// Rows up to `latest` did not come.
    pub fn misses(&mut self, latest: TimestampMs) {
        self.since = self.since.max(latest.saturating_add(1));
    }

    /// Whether a rule that asks for multiples of `pane_ms` may join without others noticing. Where others count, panes may be as
    /// wide as the rules before asked for, those that are on their way as well.
    fn is_asked_for(&self, pane_ms: i64, counting: Counting) -> bool {
        counting != Counting::ByOthers || self.asked_ms == 0 || pane_ms % self.asked_ms == 0
    }

    /// From when on it knows everything that a window with this reach may ask for.
    fn known_since(&self, reach_ms: i64, now: TimestampMs) -> TimestampMs {
        if reach_ms <= self.held_ms { self.since } else { self.since.max(now.saturating_sub(self.held_ms)) }
    }
}

impl Tables {
    /// No tables.
    pub fn new(limits: WindowLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// No tables, for one who counts for others: all rules over the same rows share one, cut as finely as any of them asks, so that
    /// it feeds whatever tables the others have, as long as those are of the same rules.
    pub fn that_only_count(limits: WindowLimits) -> Self {
        Self { counting: Counting::ForOthers, ..Self::new(limits) }
    }

    /// Finds or makes the tables of a rule.
    pub fn join(&mut self, index: usize, rule: &Rule) -> Result<Vec<LeafUse>> {
        rule.plan.leaves.iter().map(|leaf| self.join_leaf(index, rule, leaf)).collect()
    }

    fn join_leaf(&mut self, index: usize, rule: &Rule, leaf: &Leaf) -> Result<LeafUse> {
        let (window_ms, ago_ms) = window_of(rule, leaf.stream());
        let reach_ms = window_ms + ago_ms;
        let layout = layout_of(rule);
        let content = content_of(leaf);
        let usable = |table: &SharedTable| {
            // What a table holds tells nothing of the past of another aggregate; and who counts for it does not count that yet.
            let computes = match (&table.state, leaf) {
                (TableState::Aggregate(state, _), Leaf::Aggregate(source)) => {
                    table.is_new() || (state.computes(&source.columns) && table.is_asked_for(layout.pane_ms, self.counting))
                }
                _ => true,
            };
            let known = table.state.layout();
            let fits = match self.counting {
                Counting::ForOthers => known.is_cut_like(&layout),
                Counting::Here | Counting::ByOthers => fits(known, &layout, reach_ms),
            };
            table.key == content && computes && fits
        };
        // The one that knows most of the past: a rule that goes on finds its own table again.
        let now = self.began.now;
        let shared = self.tables.iter().enumerate().filter(|(_, table)| usable(table));
        let table = match shared.min_by_key(|(_, table)| table.known_since(reach_ms, now)) {
            Some((table, _)) => table,
            None => self.add(content, leaf, layout.clone())?,
        };
        let shared = &mut self.tables[table];
        if self.counting == Counting::ForOthers {
            shared.state.cut_to(layout.pane_ms);
        }
        if !shared.rules.contains(&index) {
            shared.rules.push(index);
        }
        let columns = match (&mut shared.state, leaf) {
            (TableState::Aggregate(table, _), Leaf::Aggregate(source)) => table.join(source, reach_ms),
            (TableState::Rows(table), Leaf::Rows(source)) => {
                table.join(source, reach_ms)?;
                Vec::new()
            }
            // A table's key says which of the two it is.
            _ => Vec::new(),
        };
        shared.names.clone_from(&leaf.stream().names);
        Ok(LeafUse { table, columns, window_ms, ago_ms })
    }

    /// A new table of what `leaf` reads, for rules to join.
    pub fn add(&mut self, key: String, leaf: &Leaf, layout: Layout) -> Result<usize> {
        let stream = leaf.stream();
        let state = match leaf {
            Leaf::Aggregate(source) => {
                let space = self.space(&source.group_key, &source.group_fields)?;
                TableState::Aggregate(Box::new(AggregateTable::new(source, layout, self.limits.groups)), space)
            }
            Leaf::Rows(source) => TableState::Rows(Box::new(RowTable::new(source, layout, self.limits.retained_rows)?)),
        };
        let (since, held_ms) = (self.began.latest, i64::MAX);
        self.tables.push(SharedTable {
            key,
            kind: stream.kind,
            names: None,
            state,
            rules: Vec::new(),
            since,
            held_ms,
            asked_ms: 0,
            spent_ns: 0,
            lacking: BTreeSet::new(),
        });
        Ok(self.tables.len() - 1)
    }

    fn space(&mut self, key: &str, fields: &[arrow::datatypes::Field]) -> Result<usize> {
        if let Some(known) = self.spaces.iter().position(|space| space.key == key) {
            return Ok(known);
        }
        self.spaces.push(SharedKeys { key: key.into(), keys: KeySpace::new(fields)?, alive_before: 0 });
        Ok(self.spaces.len() - 1)
    }

    /// What one rule may hold.
    pub fn limits(&self) -> WindowLimits {
        self.limits
    }

    /// The same tables with all that they hold, used by no rule until rules join anew.
    pub fn left_by_all(mut self, limits: WindowLimits, began: Began) -> Self {
        for table in &mut self.tables {
            table.rules.clear();
            match &mut table.state {
                TableState::Aggregate(table, _) => table.leave(),
                TableState::Rows(table) => table.leave(),
            }
        }
        Self { limits, began, ..self }
    }

    /// All rules have joined: drops what none of them uses, and leads rows to the rest. `uses` are the leaves of all rules.
    pub fn settle<'u>(&mut self, uses: impl Iterator<Item = &'u mut LeafUse>) {
        let mut places = Vec::with_capacity(self.tables.len());
        let mut kept = Vec::new();
        for mut table in std::mem::take(&mut self.tables) {
            let columns = match &mut table.state {
                TableState::Aggregate(state, _) if !table.rules.is_empty() => state.drop_unused(),
                _ => Vec::new(),
            };
            places.push((kept.len(), columns));
            if !table.rules.is_empty() {
                kept.push(table);
            }
        }
        self.tables = kept;
        let mut reach_ms = vec![0; self.tables.len()];
        for leaf in uses {
            let (table, columns) = &places[leaf.table];
            leaf.table = *table;
            leaf.columns.iter_mut().for_each(|column| *column = columns[*column]);
            reach_ms[*table] = reach_ms[*table].max(leaf.window_ms + leaf.ago_ms);
        }
        for (table, reach_ms) in self.tables.iter_mut().zip(reach_ms) {
            table.since = table.known_since(reach_ms, self.began.now);
            table.held_ms = reach_ms;
        }
        self.drop_unused_spaces();
        self.routers = Default::default();
        for (index, table) in self.tables.iter().enumerate() {
            self.routers[table.kind as usize].add(index, table.names.as_ref());
        }
    }

    /// All rules have joined, and are evaluated every so many milliseconds.
    pub fn asked_every(&mut self, every_ms: impl Fn(usize) -> i64) {
        for table in &mut self.tables {
            table.asked_ms = table.rules.iter().map(|index| every_ms(*index)).fold(0, common_divisor);
        }
    }

    fn drop_unused_spaces(&mut self) {
        let mut used = vec![false; self.spaces.len()];
        for table in &self.tables {
            if let TableState::Aggregate(_, space) = &table.state {
                used[*space] = true;
            }
        }
        let places: Vec<usize> = (0..used.len()).map(|space| used[..space].iter().filter(|used| **used).count()).collect();
        for table in &mut self.tables {
            if let TableState::Aggregate(_, space) = &mut table.state {
                *space = places[*space];
            }
        }
        let mut kept = used.iter();
        self.spaces.retain(|_| kept.next().copied().unwrap_or(true));
    }

    /// Rebuilds the key spaces of which most keys are in no pane any more: an interner cannot delete.
    pub fn clean_up(&mut self) {
        for (index, space) in self.spaces.iter_mut().enumerate() {
            if space.keys.len() < 2 * space.alive_before + 1024 {
                continue;
            }
            let mine = |table: &&SharedTable| matches!(&table.state, TableState::Aggregate(_, space) if *space == index);
            let mut seen = vec![false; space.keys.len()];
            let mut alive = 0_usize;
            for table in self.tables.iter().filter(mine) {
                let TableState::Aggregate(table, _) = &table.state else { continue };
                for group in table.groups() {
                    let seen = &mut seen[group as usize];
                    alive += usize::from(!std::mem::replace(seen, true));
                }
            }
            space.alive_before = alive;
            if 2 * alive > space.keys.len() {
                continue;
            }
            let alive: Vec<GroupId> = (0..seen.len() as GroupId).filter(|group| seen[*group as usize]).collect();
            let renamed = space.keys.retain(&alive);
            for table in &mut self.tables {
                if let TableState::Aggregate(table, space) = &mut table.state
                    && *space == index
                {
                    table.rename(&renamed);
                }
            }
        }
    }
}

/// What identifies the content of a table that a leaf can stand on.
pub fn content_of(leaf: &Leaf) -> String {
    match leaf {
        Leaf::Aggregate(source) => format!("{}\n{}", source.stream.key, source.text),
        Leaf::Rows(source) => format!("rows\n{}", source.key),
    }
}

/// Length of the window that a source is read through, and how long before the evaluation it ends.
fn window_of(rule: &Rule, stream: &StreamSource) -> (i64, i64) {
    let named = stream.window.as_ref().and_then(|name| rule.front.windows.iter().find(|window| window.name == *name));
    match (named, &rule.front.window_spec) {
        (Some(named), _) => (named.window_ms, named.ago_ms),
        (None, WindowSpec::Window { window_ms, .. }) => (*window_ms, 0),
        // What a session holds of earlier panes is carried along with it.
        (None, WindowSpec::Session { every_ms, .. }) => (*every_ms, 0),
        (None, WindowSpec::Instant) => (rule.front.every_ms, 0),
    }
}

fn layout_of(rule: &Rule) -> Layout {
    let session_gap_ms = match &rule.front.window_spec {
        WindowSpec::Session { gap_ms, .. } => Some(*gap_ms),
        _ => None,
    };
    Layout { pane_ms: rule.front.every_ms, broker_time: rule.front.time == TimeSource::Broker, session_gap_ms }
}

/// Whether a rule that wants `layout` can use a table that has another. Rules come in an order in which panes only get longer.
fn fits(table: &Layout, wanted: &Layout, reach_ms: i64) -> bool {
    if table == wanted {
        return true;
    }
    let panes = reach_ms / table.pane_ms;
    let own = reach_ms / wanted.pane_ms;
    table.broker_time == wanted.broker_time
        && table.session_gap_ms.is_none()
        && wanted.session_gap_ms.is_none()
        && wanted.pane_ms % table.pane_ms == 0
        && panes <= SHARED_PANES_MAX.max(SHARED_PANES_TIMES * own).min(PANES_PER_WINDOW_MAX)
}
