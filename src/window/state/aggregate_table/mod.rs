//! An aggregate table: one stream, one filter, one GROUP BY list, and every aggregate function that some rule asks for over them.
//! Rules whose SQL agrees on these share the table, whatever their windows. It holds open and sealed panes, never rows.

pub mod bound;
pub mod partial;
pub mod snapshot;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use ahash::HashSet;
use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use datafusion::common::Result;

use crate::model::time::{TimestampMs, align_down};
use crate::rule::exec::expression_chain::mask_of;
use crate::rule::plan::stream_scan::{AggregateColumn, AggregateSource};
use crate::window::ingest::group_id::{GroupId, NO_GROUP};
use crate::window::ingest::key_space::KeySpace;
use crate::window::ingest::micro_batch::RowSlice;
use crate::window::state::aggregate_table::bound::{BoundAggregates, GroupIdCache};
use crate::window::state::ingest_counts::IngestCounts;
use crate::window::state::leaf_window::LeafWindow;
use crate::window::state::pane::{AggregateInput, OpenPane};
use crate::window::state::pane_layout::PaneLayout;
use crate::window::state::pane_merge::PaneMerger;
use crate::window::state::pane_store::PaneStore;
use crate::window::state::session::Sessions;

/// Incremental state that rules share.
pub struct AggregateTable {
    source: AggregateSource,
    layout: PaneLayout,
    retain_ms: i64,
    groups_max: usize,
    columns: Vec<AggregateColumn>,
    /// Whether some rule uses the column.
    used: Vec<bool>,
    /// Made when the first row comes.
    bound: Option<BoundAggregates>,
    open: BTreeMap<TimestampMs, OpenPane>,
    sealed: PaneStore,
    sessions: Option<Sessions>,
    /// Panes that end at or before this instant are sealed.
    sealed_until: TimestampMs,
    /// The groups of this table, while the key space holds more keys than the table may have groups.
    members: Option<HashSet<GroupId>>,
}

impl fmt::Debug for AggregateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "AggregateTable({:?}, {} open and {} sealed panes of {} ms)",
            self.source,
            self.open.len(),
            self.sealed.len(),
            self.layout.pane_ms
        )
    }
}

impl AggregateTable {
    /// An empty table that takes at most `groups_max` groups.
    pub fn new(source: &AggregateSource, layout: PaneLayout, groups_max: usize) -> Self {
        Self {
            source: AggregateSource { columns: Vec::new(), ..source.clone() },
            retain_ms: 0,
            groups_max,
            columns: Vec::new(),
            used: Vec::new(),
            bound: None,
            open: BTreeMap::new(),
            sealed: PaneStore::new(layout.pane_ms),
            sessions: layout.session_gap_ms.map(Sessions::new),
            layout,
            sealed_until: TimestampMs::MIN,
            members: None,
        }
    }

    /// The division of time.
    pub fn layout(&self) -> &PaneLayout {
        &self.layout
    }

    /// Whether it has all of these aggregates.
    pub fn has_columns(&self, columns: &[AggregateColumn]) -> bool {
        columns.iter().all(|column| self.columns.iter().any(|known| known.key == column.key))
    }

    /// Changes the width of panes. The table must be empty.
    pub fn set_pane_ms(&mut self, pane_ms: i64) {
        debug_assert!(self.is_blank(), "the state of a pane cannot be divided");
        self.layout.pane_ms = pane_ms;
        self.sealed = PaneStore::new(pane_ms);
    }

    /// Adds the aggregates of a rule whose window reaches back `reach_ms`. Returns their columns in the table, in the rule's order.
    /// `source` is read over the stream's columns as they are now.
    pub fn attach(&mut self, source: &AggregateSource, reach_ms: i64) -> Vec<usize> {
        self.retain_ms = self.retain_ms.max(reach_ms);
        self.bound = None;
        self.source = AggregateSource { columns: Vec::new(), ..source.clone() };
        let mut places = Vec::with_capacity(source.columns.len());
        for column in &source.columns {
            let at = self.columns.iter().position(|known| known.key == column.key).unwrap_or_else(|| {
                self.columns.push(column.clone());
                self.used.push(true);
                self.columns.len() - 1
            });
            self.columns[at] = column.clone();
            self.used[at] = true;
            places.push(at);
        }
        places
    }

    /// Forgets which rules use the table. Its content stays.
    pub fn detach_all(&mut self) {
        self.retain_ms = 0;
        self.used.fill(false);
    }

    /// Drops the aggregates that no rule uses any more. Returns the new column of each old one.
    pub fn drop_unused_columns(&mut self) -> Vec<usize> {
        let used = std::mem::take(&mut self.used);
        let mut next = 0;
        let places = used.iter().map(|used| {
            next += usize::from(*used);
            next.saturating_sub(1)
        });
        let places = places.collect();
        if used.contains(&false) {
            self.open.values_mut().for_each(|pane| pane.retain_columns(&used));
            self.sealed.retain_columns(&used);
            if let Some(sessions) = &mut self.sessions {
                sessions.open_mut().retain_columns(&used);
            }
            let mut used = used.iter();
            self.columns.retain(|_| used.next().copied().unwrap_or(true));
            self.bound = None;
        }
        self.used = vec![true; self.columns.len()];
        places
    }

    fn bind(&mut self) -> Result<()> {
        if self.bound.is_none() {
            self.bound = Some(BoundAggregates::new(&self.source, &self.columns)?);
        }
        Ok(())
    }

    /// Aggregates rows of the stream. `space` is the table's key space with its index.
    pub fn ingest(
        &mut self,
        rows: &RowSlice<'_>,
        (space_index, space): (usize, &mut KeySpace),
        cache: &mut GroupIdCache,
    ) -> Result<IngestCounts> {
        let mut counts = IngestCounts::default();
        self.bind()?;
        let Some(bound) = &self.bound else { return Ok(counts) };
        let mut batch = rows.batch(&bound.binding)?;
        let mut times = Cow::Borrowed(rows.times(self.layout.broker_time));
        let mut filtered_ids = Vec::new();
        let (ids, overflow) = if let Some(predicate) = &bound.predicate {
            let mask = mask_of(predicate, &batch)?;
            let passed = mask.true_count();
            if passed == 0 {
                return Ok(counts);
            }
            if passed < batch.num_rows() {
                batch = filter_record_batch(&batch, &mask)?;
                times = times.iter().zip(mask.values()).filter(|(_, passed)| *passed).map(|(ts, _)| ts).copied().collect();
            }
            let overflow = bound.intern(space, &batch, &mut filtered_ids)?;
            (filtered_ids.as_slice(), overflow)
        } else {
            cache.get_or_intern(space_index, |ids| bound.intern(space, &batch, ids))?
        };
        counts.overflow = overflow as u64;
        let admitted;
        let ids = if space.len() > self.groups_max {
            admitted = self.admit(ids, &mut counts);
            &admitted
        } else {
            ids
        };
        self.update_panes(&batch, ids, &times, counts)
    }

    /// Replaces the groups beyond the table's limit by [`NO_GROUP`]. The groups that are there keep their place.
    fn admit(&mut self, ids: &[GroupId], counts: &mut IngestCounts) -> Vec<GroupId> {
        let (sealed, open) = (&self.sealed, &self.open);
        let members = self
            .members
            .get_or_insert_with(|| sealed.groups().chain(open.values().flat_map(|pane| pane.groups().iter().copied())).collect());
        let mut overflow = 0;
        let admitted = ids.iter().map(|id| {
            let room = *id == NO_GROUP || members.contains(id) || (members.len() < self.groups_max && members.insert(*id));
            overflow += u64::from(!room);
            if room { *id } else { NO_GROUP }
        });
        let admitted = admitted.collect();
        counts.overflow += overflow;
        admitted
    }

    fn update_panes(
        &mut self,
        batch: &RecordBatch,
        ids: &[GroupId],
        times: &[TimestampMs],
        mut counts: IngestCounts,
    ) -> Result<IngestCounts> {
        let inputs = self.bound.iter().flat_map(|bound| &bound.inputs);
        let inputs = inputs
            .map(|(arguments, filter)| AggregateInput::new(arguments, filter.as_ref(), batch))
            .collect::<Result<Vec<_>>>()?;
        // Nearly always all rows of a micro-batch fall into one pane.
        let pane_ms = self.layout.pane_ms;
        let Some(first) = times.first() else { return Ok(counts) };
        let first_pane = align_down(*first, pane_ms);
        let one_pane = times.iter().all(|ts| (first_pane..first_pane + pane_ms).contains(ts));
        if one_pane && counts.overflow == 0 && first_pane + pane_ms > self.sealed_until {
            counts.rows = ids.len() as u64;
            self.open_pane(first_pane)?.update(ids, times, &inputs)?;
            return Ok(counts);
        }
        let mut by_pane: BTreeMap<TimestampMs, Vec<u32>> = BTreeMap::new();
        for (row, ts) in times.iter().enumerate() {
            let pane = align_down(*ts, pane_ms);
            if pane + pane_ms <= self.sealed_until {
                counts.late += 1;
            } else if ids[row] != NO_GROUP {
                by_pane.entry(pane).or_default().push(row as u32);
            }
        }
        for (pane, indices) in by_pane {
            counts.rows += indices.len() as u64;
            let ids: Vec<GroupId> = indices.iter().map(|row| ids[*row as usize]).collect();
            let times: Vec<TimestampMs> = indices.iter().map(|row| times[*row as usize]).collect();
            let indices = UInt32Array::from(indices);
            let inputs = inputs.iter().map(|input| input.take(&indices)).collect::<Result<Vec<_>>>()?;
            self.open_pane(pane)?.update(&ids, &times, &inputs)?;
        }
        Ok(counts)
    }

    fn open_pane(&mut self, start: TimestampMs) -> Result<&mut OpenPane> {
        if !self.open.contains_key(&start) {
            self.open.insert(start, OpenPane::new(&self.columns, self.sessions.is_some())?);
        }
        match self.open.get_mut(&start) {
            Some(pane) => Ok(pane),
            None => datafusion::common::internal_err!("the pane was inserted above"),
        }
    }

    /// Seals the panes that end at or before `until`, and drops those that no window reaches any more.
    pub fn seal(&mut self, until: TimestampMs) -> Result<()> {
        if until <= self.sealed_until {
            return Ok(());
        }
        self.sealed_until = until;
        while let Some(entry) = self.open.first_entry() {
            if *entry.key() + self.layout.pane_ms > until {
                break;
            }
            let (start, pane) = entry.remove_entry();
            self.sealed.insert(start, pane.seal()?);
        }
        self.sealed.drop_before(until - self.retain_ms);
        // Dropped panes made room: the members are collected anew from the panes that are left.
        self.members = self.members.take().filter(|members| members.len() < self.groups_max);
        Ok(())
    }

    /// Drops everything that it holds.
    pub fn clear(&mut self) {
        self.open.clear();
        self.sealed = PaneStore::new(self.layout.pane_ms);
        self.sessions = self.layout.session_gap_ms.map(Sessions::new);
        self.members = None;
    }

    /// Whether the window holds a group; for sessions, whether one may be open.
    pub fn has_rows(&self, window: &Range<TimestampMs>) -> bool {
        self.sealed.has_any(window) || self.sessions.as_ref().is_some_and(|sessions| !sessions.open().groups.is_empty())
    }

    /// The aggregates of a leaf over its window of the evaluation at `at`, which is aligned to panes and sealed: the key columns, then
    /// the leaf's columns, one row a group, and the number of rows. Without GROUP BY there is one row even where no event came, as in
    /// SQL. `sorted` by key where the rest of the plan depends on the order.
    pub fn evaluate(
        &mut self,
        leaf: &LeafWindow,
        at: TimestampMs,
        sorted: bool,
        space: &mut KeySpace,
        merger: &mut PaneMerger,
    ) -> Result<(Vec<ArrayRef>, usize)> {
        let keys = space.len();
        let (window, columns) = (&leaf.range(at), leaf.columns.as_slice());
        let id = (leaf.window_ms, leaf.ago_ms);
        let mut merged = match &mut self.sessions {
            Some(sessions) => {
                let pane = self.sealed.cover(id, window).pop();
                sessions.advance(window.end, pane, &self.columns, merger, keys)?;
                merger.merge(&self.columns, columns, &[sessions.open()], keys)?
            }
            None => {
                self.sealed.prepare(id, window, &self.columns, merger, keys)?;
                merger.merge(&self.columns, columns, &self.sealed.cover(id, window), keys)?
            }
        };
        if merged.groups.is_empty() {
            let ungrouped = self.source.group.is_empty();
            let values = if ungrouped { self.evaluate_empty(columns)? } else { Vec::new() };
            return Ok((values, usize::from(ungrouped)));
        }
        let values = merged.evaluate(window)?;
        let rows = merged.groups.len();
        if !sorted {
            return Ok(([space.columns(&merged.groups)?, values].concat(), rows));
        }
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_unstable_by_key(|row| space.key(merged.groups[*row as usize]));
        let groups: Vec<GroupId> = order.iter().map(|row| merged.groups[*row as usize]).collect();
        let order = UInt32Array::from(order);
        let values = values.iter().map(|value| Ok(take(value, &order, None)?)).collect::<Result<Vec<_>>>()?;
        Ok(([space.columns(&groups)?, values].concat(), rows))
    }

    /// The value of each function over no rows. Only the ungrouped accumulator knows it.
    fn evaluate_empty(&self, columns: &[usize]) -> Result<Vec<ArrayRef>> {
        let value = |at: &usize| self.columns[*at].function.create_accumulator()?.evaluate()?.to_array_of_size(1);
        columns.iter().map(value).collect()
    }

    /// The groups of all panes, in any order, some more than once.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        let sessions = self.sessions.iter().flat_map(|sessions| sessions.open().groups.iter().copied());
        self.sealed.groups().chain(self.open.values().flat_map(|pane| pane.groups().iter().copied())).chain(sessions)
    }

    /// Replaces every group id by its new one.
    pub fn renumber(&mut self, new_ids: &[GroupId]) {
        self.open.values_mut().for_each(|pane| pane.renumber(new_ids));
        self.sealed.renumber(new_ids);
        if let Some(sessions) = &mut self.sessions {
            sessions.open_mut().renumber(new_ids);
        }
        self.members = None;
    }

    /// The number of panes, open and sealed.
    pub fn panes(&self) -> usize {
        self.open.len() + self.sealed.len()
    }

    /// Whether it holds nothing.
    pub fn is_blank(&self) -> bool {
        self.panes() == 0 && self.sessions.as_ref().is_none_or(|sessions| sessions.open().groups.is_empty())
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let open: usize = self.open.values().map(OpenPane::bytes).sum();
        let sessions = self.sessions.as_ref().map_or(0, |sessions| sessions.open().bytes());
        open + self.sealed.bytes() + sessions
    }
}
