//! An aggregate table: one stream, one filter, one GROUP BY list, and every aggregate function that some rule asks for over
//! them. Rules whose SQL agrees on these share the table, whatever their windows: its panes are as long as the greatest common
//! divisor of them.

pub mod partial;
pub mod snapshot;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use ahash::HashSet;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::model::time::{TimestampMs, align_down};
use crate::rule::exec::expression_chain::{evaluate, mask_of};
use crate::rule::plan::stream_scan::{AggregateColumn, AggregateSource, Binding};
use crate::window::ingest::key_space::{GroupId, KeySpace, NO_GROUP};
use crate::window::ingest::micro_batch::Stretch;
use crate::window::state::pane::{AggregateInput, OpenPane};
use crate::window::state::pane_merge::Merger;
use crate::window::state::pane_store::PaneStore;
use crate::window::state::session::Sessions;
use crate::window::state::table_registry::LeafUse;

/// What became of the rows offered to a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Rows that passed the filter and were counted in.
    pub rows: u64,
    /// Rows whose pane had closed: they came later than the allowed lateness.
    pub late: u64,
    /// Rows whose group found no room.
    pub overflow: u64,
}

/// How a table lays out time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Layout {
    /// The width of a pane.
    pub pane_ms: i64,
    /// By the broker's stamps instead of the events' own time.
    pub broker_time: bool,
    /// The gap that ends a session, for sessions.
    pub session_gap_ms: Option<i64>,
}

/// Incremental state of one aggregate, shared by rules.
pub struct AggregateTable {
    source: AggregateSource,
    layout: Layout,
    retain_ms: i64,
    groups_max: usize,
    columns: Vec<AggregateColumn>,
    /// Which of them some rule uses.
    used: Vec<bool>,
    bound: Option<Bound>,
    open: BTreeMap<TimestampMs, OpenPane>,
    sealed: PaneStore,
    sessions: Option<Sessions>,
    /// Panes that end at or before this instant take no more rows.
    sealed_until: TimestampMs,
    /// The groups that have room, once the key space holds more than the table may.
    members: Option<HashSet<GroupId>>,
}

/// The expressions over the few columns of the stream that they read.
struct Bound {
    binding: Binding,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    group: Vec<Arc<dyn PhysicalExpr>>,
    /// Of each aggregate.
    inputs: Vec<BoundInput>,
}

/// Arguments and FILTER of an aggregate.
type BoundInput = (Vec<Arc<dyn PhysicalExpr>>, Option<Arc<dyn PhysicalExpr>>);

impl Bound {
    fn new(source: &AggregateSource, columns: &[AggregateColumn]) -> Result<Self> {
        let arguments: Vec<_> = columns.iter().map(AggregateColumn::arguments).collect();
        let filters = columns.iter().flat_map(|column| &column.filter);
        let all = source.group.iter().chain(&source.stream.predicate).chain(arguments.iter().flatten()).chain(filters);
        let binding = Binding::of(&source.stream.table, all)?;
        let bind_all = |exprs: &[Arc<dyn PhysicalExpr>]| exprs.iter().map(|expr| binding.bind(expr)).collect::<Result<Vec<_>>>();
        let bind_one = |expr: &Option<Arc<dyn PhysicalExpr>>| expr.as_ref().map(|expr| binding.bind(expr)).transpose();
        let inputs =
            columns.iter().zip(&arguments).map(|(column, arguments)| Ok((bind_all(arguments)?, bind_one(&column.filter)?)));
        Ok(Self {
            predicate: bind_one(&source.stream.predicate)?,
            group: bind_all(&source.group)?,
            inputs: inputs.collect::<Result<_>>()?,
            binding,
        })
    }

    fn intern(&self, space: &mut KeySpace, batch: &RecordBatch, ids: &mut Vec<GroupId>) -> Result<usize> {
        let keys = evaluate(&self.group, batch)?;
        Ok(space.intern(&keys, batch.num_rows(), ids)?)
    }
}

/// The ids of a stretch's rows, kept for the next table that groups it alike.
#[derive(Default)]
pub struct KnownIds {
    of_space: Option<usize>,
    ids: Vec<GroupId>,
    refused: usize,
}

impl KnownIds {
    /// For rows of another stretch.
    pub fn forget(&mut self) {
        self.of_space = None;
    }
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
    /// An empty table for `source` with at most `groups_max` groups.
    pub fn new(source: &AggregateSource, layout: Layout, groups_max: usize) -> Self {
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

    /// How the table lays out time.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether it has all of these aggregates.
    pub fn computes(&self, columns: &[AggregateColumn]) -> bool {
        columns.iter().all(|column| self.columns.iter().any(|known| known.key == column.key))
    }

    /// Cuts time otherwise. The table must be empty.
    pub fn set_pane_ms(&mut self, pane_ms: i64) {
        debug_assert!(self.is_blank(), "what panes hold cannot be cut otherwise");
        self.layout.pane_ms = pane_ms;
        self.sealed = PaneStore::new(pane_ms);
    }

    /// Adds a rule's aggregates over windows that reach back `reach_ms`. Returns which of the table's columns are the rule's, in
    /// the rule's order. `source` is the table's own, over the stream's columns as they are now.
    pub fn join(&mut self, source: &AggregateSource, reach_ms: i64) -> Vec<usize> {
        self.retain_ms = self.retain_ms.max(reach_ms);
        self.bound = None;
        self.source = AggregateSource { columns: Vec::new(), ..source.clone() };
        let mut mine = Vec::with_capacity(source.columns.len());
        for column in &source.columns {
            let at = self.columns.iter().position(|known| known.key == column.key).unwrap_or_else(|| {
                self.columns.push(column.clone());
                self.used.push(true);
                self.columns.len() - 1
            });
            self.columns[at] = column.clone();
            self.used[at] = true;
            mine.push(at);
        }
        mine
    }

    /// No rule uses the table, until one joins.
    pub fn leave(&mut self) {
        self.retain_ms = 0;
        self.used.fill(false);
    }

    /// Drops the aggregates that no rule uses any more. Returns the new place of each old one.
    pub fn drop_unused(&mut self) -> Vec<usize> {
        let used = std::mem::take(&mut self.used);
        let mut next = 0;
        let places = used.iter().map(|used| {
            next += usize::from(*used);
            next.saturating_sub(1)
        });
        let places = places.collect();
        if used.contains(&false) {
            self.open.values_mut().for_each(|pane| pane.keep_columns(&used));
            self.sealed.keep_columns(&used);
            if let Some(sessions) = &mut self.sessions {
                sessions.carried_mut().keep_columns(&used);
            }
            let mut kept = used.iter();
            self.columns.retain(|_| kept.next().copied().unwrap_or(true));
            self.bound = None;
        }
        self.used = vec![true; self.columns.len()];
        places
    }

    fn bind(&mut self) -> Result<()> {
        if self.bound.is_none() {
            self.bound = Some(Bound::new(&self.source, &self.columns)?);
        }
        Ok(())
    }

    /// Counts rows of the stream in. `space` is the table's key space, `known` the ids of the whole stretch in it, if an earlier
    /// table found them.
    pub fn ingest(&mut self, rows: &Stretch<'_>, space: (usize, &mut KeySpace), known: &mut KnownIds) -> Result<Ingested> {
        let mut done = Ingested::default();
        let (space_index, space) = space;
        self.bind()?;
        let Some(bound) = &self.bound else { return Ok(done) };
        let mut batch = rows.batch(&bound.binding)?;
        let mut times = std::borrow::Cow::Borrowed(rows.times(self.layout.broker_time));
        let mut own_ids = Vec::new();
        let ids = if let Some(predicate) = &bound.predicate {
            let mask = mask_of(predicate, &batch)?;
            let kept = mask.true_count();
            if kept == 0 {
                return Ok(done);
            }
            if kept < batch.num_rows() {
                batch = filter_record_batch(&batch, &mask)?;
                times = times.iter().zip(mask.values()).filter(|(_, kept)| *kept).map(|(ts, _)| *ts).collect();
            }
            done.overflow = bound.intern(space, &batch, &mut own_ids)? as u64;
            &own_ids
        } else {
            if known.of_space != Some(space_index) {
                known.ids.clear();
                known.of_space = None;
                known.refused = bound.intern(space, &batch, &mut known.ids)?;
                known.of_space = Some(space_index);
            }
            done.overflow = known.refused as u64;
            &known.ids
        };
        let admitted;
        let ids = if space.len() > self.groups_max {
            admitted = self.admit(ids, &mut done);
            &admitted
        } else {
            ids
        };
        self.count_in(&batch, ids, &times, done)
    }

    /// Leaves out the groups beyond the table's own limit: the first ones keep their place.
    fn admit(&mut self, ids: &[GroupId], done: &mut Ingested) -> Vec<GroupId> {
        let (sealed, open) = (&self.sealed, &self.open);
        let members = self
            .members
            .get_or_insert_with(|| sealed.groups().chain(open.values().flat_map(|pane| pane.groups().iter().copied())).collect());
        let mut refused = 0;
        let admitted = ids.iter().map(|id| {
            let room = *id == NO_GROUP || members.contains(id) || (members.len() < self.groups_max && members.insert(*id));
            refused += u64::from(!room);
            if room { *id } else { NO_GROUP }
        });
        let admitted = admitted.collect();
        done.overflow += refused;
        admitted
    }

    fn count_in(&mut self, batch: &RecordBatch, ids: &[GroupId], times: &[TimestampMs], mut done: Ingested) -> Result<Ingested> {
        let inputs = self.bound.iter().flat_map(|bound| &bound.inputs);
        let inputs = inputs
            .map(|(arguments, filter)| AggregateInput::new(arguments, filter.as_ref(), batch))
            .collect::<Result<Vec<_>>>()?;
        // Nearly always all rows of a micro-batch fall into one pane.
        let pane_ms = self.layout.pane_ms;
        let Some(first) = times.first() else { return Ok(done) };
        let first_pane = align_down(*first, pane_ms);
        let one_pane = times.iter().all(|ts| (first_pane..first_pane + pane_ms).contains(ts));
        if one_pane && done.overflow == 0 && first_pane + pane_ms > self.sealed_until {
            done.rows = ids.len() as u64;
            self.pane(first_pane)?.update(ids, times, &inputs)?;
            return Ok(done);
        }
        let mut by_pane: BTreeMap<TimestampMs, Vec<u32>> = BTreeMap::new();
        for (row, ts) in times.iter().enumerate() {
            let pane = align_down(*ts, pane_ms);
            if pane + pane_ms <= self.sealed_until {
                done.late += 1;
            } else if ids[row] != NO_GROUP {
                by_pane.entry(pane).or_default().push(row as u32);
            }
        }
        for (pane, indices) in by_pane {
            done.rows += indices.len() as u64;
            let ids: Vec<GroupId> = indices.iter().map(|row| ids[*row as usize]).collect();
            let times: Vec<TimestampMs> = indices.iter().map(|row| times[*row as usize]).collect();
            let indices = UInt32Array::from(indices);
            let inputs = inputs.iter().map(|input| input.take(&indices)).collect::<Result<Vec<_>>>()?;
            self.pane(pane)?.update(&ids, &times, &inputs)?;
        }
        Ok(done)
    }

    fn pane(&mut self, start: TimestampMs) -> Result<&mut OpenPane> {
        if !self.open.contains_key(&start) {
            self.open.insert(start, OpenPane::new(&self.columns, self.sessions.is_some())?);
        }
        match self.open.get_mut(&start) {
            Some(pane) => Ok(pane),
            None => datafusion::common::internal_err!("the pane was just made"),
        }
    }

    /// Closes the panes that end at or before `until`, and forgets those that no window reaches any more.
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
        self.sealed.forget_before(until - self.retain_ms);
        // Groups that died made room: who is a member is asked anew of the panes.
        self.members = self.members.take().filter(|members| members.len() < self.groups_max);
        Ok(())
    }

    /// Begins anew, empty.
    pub fn clear(&mut self) {
        self.open.clear();
        self.sealed = PaneStore::new(self.layout.pane_ms);
        self.sessions = self.layout.session_gap_ms.map(Sessions::new);
        self.members = None;
    }

    /// Whether the window holds a group. For sessions: whether one may be alive.
    pub fn has_rows(&self, window: &Range<TimestampMs>) -> bool {
        self.sealed.has_any(window) || self.sessions.as_ref().is_some_and(|sessions| !sessions.carried().groups.is_empty())
    }

    /// The aggregate over a rule's window at `at` (pane aligned, sealed): one row a group with the rule's columns. Without
    /// GROUP BY there is one row even where no event came, as in SQL. `sorted` by key where what stands above depends on the
    /// order.
    pub fn evaluate(
        &mut self,
        leaf: &LeafUse,
        at: TimestampMs,
        sorted: bool,
        space: &mut KeySpace,
        merger: &mut Merger,
    ) -> Result<(Vec<arrow::array::ArrayRef>, usize)> {
        let keys = space.len();
        let (window, mine) = (&leaf.window(at), leaf.columns.as_slice());
        let id = (leaf.window_ms, leaf.ago_ms);
        let mut merged = match &mut self.sessions {
            Some(sessions) => {
                let pane = self.sealed.cover(id, window).pop();
                sessions.advance(window.end, pane, &self.columns, merger, keys)?;
                merger.merge(&self.columns, mine, &[sessions.carried()], keys)?
            }
            None => {
                self.sealed.prepare(id, window, &self.columns, merger, keys)?;
                merger.merge(&self.columns, mine, &self.sealed.cover(id, window), keys)?
            }
        };
        if merged.groups.is_empty() {
            let nothing = if self.source.group.is_empty() { self.over_nothing(mine)? } else { Vec::new() };
            return Ok((nothing, usize::from(self.source.group.is_empty())));
        }
        let answers = merged.evaluate()?;
        let rows = merged.groups.len();
        if !sorted {
            return Ok(([space.columns(&merged.groups)?, answers].concat(), rows));
        }
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_unstable_by_key(|slot| space.key(merged.groups[*slot as usize]));
        let groups: Vec<GroupId> = order.iter().map(|slot| merged.groups[*slot as usize]).collect();
        let order = UInt32Array::from(order);
        let answers = answers.iter().map(|answer| Ok(arrow::compute::take(answer, &order, None)?)).collect::<Result<Vec<_>>>()?;
        Ok(([space.columns(&groups)?, answers].concat(), rows))
    }

    /// What each function says of no rows at all: only the ungrouped accumulator knows.
    fn over_nothing(&self, mine: &[usize]) -> Result<Vec<arrow::array::ArrayRef>> {
        let say = |at: &usize| self.columns[*at].function.create_accumulator()?.evaluate()?.to_array_of_size(1);
        mine.iter().map(say).collect()
    }

    /// The groups of all panes, in any order, some more than once.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        let carried = self.sessions.iter().flat_map(|sessions| sessions.carried().groups.iter().copied());
        self.sealed.groups().chain(self.open.values().flat_map(|pane| pane.groups().iter().copied())).chain(carried)
    }

    /// Gives every group its new id.
    pub fn rename(&mut self, renamed: &[GroupId]) {
        self.open.values_mut().for_each(|pane| pane.rename(renamed));
        self.sealed.rename(renamed);
        if let Some(sessions) = &mut self.sessions {
            sessions.carried_mut().rename(renamed);
        }
        self.members = None;
    }

    /// Panes now held, open and sealed.
    pub fn panes(&self) -> usize {
        self.open.len() + self.sealed.len()
    }

    /// Whether it holds nothing.
    pub fn is_blank(&self) -> bool {
        self.panes() == 0 && self.sessions.as_ref().is_none_or(|sessions| sessions.carried().groups.is_empty())
    }

    /// Bytes now held.
    pub fn bytes(&self) -> usize {
        let open: usize = self.open.values().map(OpenPane::bytes).sum();
        let carried = self.sessions.as_ref().map_or(0, |sessions| sessions.carried().bytes());
        open + self.sealed.bytes() + carried
    }
}
