//! An aggregate table: one stream, one filter, one GROUP BY list, one pane width, and every aggregate function that some rule
//! asks for over them. Rules whose SQL agrees on these share the table, whatever the length of their windows.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;

use crate::rule::pipeline::{Pipeline, batch_of, evaluate};
use crate::rule::plan::{AggregateColumn, AggregateSource};
use crate::window::key_space::{GroupId, KeySpace, NO_GROUP};
use crate::window::pane::{AggregateInput, OpenPane, SealedPane, accumulators};
use crate::words::time::{TimestampMs, align_down};

/// What became of the rows offered to a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Rows that passed the filter and were counted in.
    pub rows: u64,
    /// Rows whose pane had closed: they came later than the allowed lateness.
    pub late: u64,
    /// Rows whose key found no room among [`crate::words::limits::GROUPS_PER_TABLE_MAX`] groups.
    pub overflow: u64,
}

/// Incremental state of one aggregate, shared by rules.
pub struct AggregateTable {
    pane_ms: i64,
    retain_ms: i64,
    input: Pipeline,
    group: Vec<Arc<dyn PhysicalExpr>>,
    columns: Vec<AggregateColumn>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    keys: KeySpace,
    open: BTreeMap<TimestampMs, OpenPane>,
    sealed: BTreeMap<TimestampMs, SealedPane>,
    /// Panes that end at or before this instant take no more rows.
    sealed_until: TimestampMs,
    /// Keys alive at the last clean-up.
    alive_before: usize,
}

impl fmt::Debug for AggregateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "AggregateTable({} keys, {} open and {} sealed panes of {} ms)",
            self.keys.len(),
            self.open.len(),
            self.sealed.len(),
            self.pane_ms
        )
    }
}

impl AggregateTable {
    /// An empty table for `source`, in panes of `pane_ms`.
    pub fn new(source: &AggregateSource, pane_ms: i64) -> Result<Self> {
        Ok(Self {
            pane_ms,
            retain_ms: 0,
            input: source.input.clone(),
            group: source.group.clone(),
            columns: Vec::new(),
            arguments: Vec::new(),
            keys: KeySpace::new(&source.group_fields)?,
            open: BTreeMap::new(),
            sealed: BTreeMap::new(),
            sealed_until: TimestampMs::MIN,
            alive_before: 0,
        })
    }

    /// Adds a rule's aggregates. Returns which of the table's columns are the rule's, in the rule's order.
    pub fn join(&mut self, columns: &[AggregateColumn], window_ms: i64) -> Vec<usize> {
        self.retain_ms = self.retain_ms.max(window_ms);
        let mut mine = Vec::with_capacity(columns.len());
        for column in columns {
            let at = self.columns.iter().position(|known| known.key == column.key).unwrap_or_else(|| {
                self.columns.push(column.clone());
                self.arguments.push(column.arguments());
                self.columns.len() - 1
            });
            mine.push(at);
        }
        mine
    }

    /// Counts rows of the stream in. `times` are their event times.
    pub fn ingest(&mut self, rows: &RecordBatch, times: &ArrayRef) -> Result<Ingested> {
        let (rows, times) = self.input.apply(rows, Arc::clone(times))?;
        let mut done = Ingested::default();
        if rows.num_rows() == 0 {
            return Ok(done);
        }
        let mut ids = Vec::new();
        let keys = evaluate(&self.group, &rows)?;
        done.overflow = self.keys.intern(&keys, rows.num_rows(), &mut ids)? as u64;
        let inputs = self
            .columns
            .iter()
            .zip(&self.arguments)
            .map(|(column, arguments)| AggregateInput::new(column, arguments, &rows))
            .collect::<Result<Vec<_>>>()?;
        let times = times.as_primitive::<TimestampMillisecondType>().values();
        // Nearly always all rows of a micro-batch fall into one pane.
        let first_pane = align_down(times[0], self.pane_ms);
        let one_pane = times.iter().all(|ts| (first_pane..first_pane + self.pane_ms).contains(ts));
        if one_pane && done.overflow == 0 && first_pane + self.pane_ms > self.sealed_until {
            done.rows = ids.len() as u64;
            self.pane(first_pane)?.update(&ids, &inputs)?;
            return Ok(done);
        }
        let mut by_pane: BTreeMap<TimestampMs, Vec<u32>> = BTreeMap::new();
        for (row, ts) in times.iter().enumerate() {
            let pane = align_down(*ts, self.pane_ms);
            if pane + self.pane_ms <= self.sealed_until {
                done.late += 1;
            } else if ids[row] != NO_GROUP {
                by_pane.entry(pane).or_default().push(row as u32);
            }
        }
        for (pane, indices) in by_pane {
            done.rows += indices.len() as u64;
            let ids: Vec<GroupId> = indices.iter().map(|row| ids[*row as usize]).collect();
            let indices = UInt32Array::from(indices);
            let inputs = inputs.iter().map(|input| input.take(&indices)).collect::<Result<Vec<_>>>()?;
            self.pane(pane)?.update(&ids, &inputs)?;
        }
        Ok(done)
    }

    fn pane(&mut self, start: TimestampMs) -> Result<&mut OpenPane> {
        if !self.open.contains_key(&start) {
            self.open.insert(start, OpenPane::new(&self.columns)?);
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
            if *entry.key() + self.pane_ms > until {
                break;
            }
            let (start, pane) = entry.remove_entry();
            self.sealed.insert(start, pane.seal()?);
        }
        self.sealed = self.sealed.split_off(&(until - self.retain_ms));
        self.clean_up();
        Ok(())
    }

    /// Rebuilds the key space when most of its keys are in no pane any more: an interner cannot delete.
    fn clean_up(&mut self) {
        if self.keys.len() < 2 * self.alive_before + 1024 {
            return;
        }
        let mut alive: Vec<GroupId> = self
            .sealed
            .values()
            .flat_map(|pane| pane.groups.iter())
            .chain(self.open.values().flat_map(|pane| pane.groups()))
            .copied()
            .collect();
        alive.sort_unstable();
        alive.dedup();
        self.alive_before = alive.len();
        if 2 * alive.len() > self.keys.len() {
            return;
        }
        let renamed = self.keys.retain(&alive);
        self.open.values_mut().for_each(|pane| pane.rename(&renamed));
        for pane in self.sealed.values_mut() {
            pane.groups.iter_mut().for_each(|id| *id = renamed[*id as usize]);
        }
    }

    /// Whether some pane of the window holds a group.
    pub fn has_rows(&self, window: &Range<TimestampMs>) -> bool {
        self.sealed.range(window.clone()).next().is_some()
    }

    /// The aggregate over `window` (pane aligned, sealed): one row a group, sorted by key, with the columns `mine` of
    /// [`Self::join`]. Without GROUP BY there is one row even where no event came, as in SQL.
    pub fn evaluate(&self, window: &Range<TimestampMs>, mine: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
        let mut panes = self.sealed.range(window.clone()).map(|(_, pane)| pane).peekable();
        if self.group.is_empty() && panes.peek().is_none() {
            return self.over_nothing(mine, schema);
        }
        // Groups get their slots in order of appearance: an accumulator that is told of a group takes it for seen.
        let mut slot_of = vec![usize::MAX; self.keys.len()];
        let mut groups: Vec<GroupId> = Vec::new();
        let mut merged = accumulators(mine.iter().map(|at| &self.columns[*at]))?;
        for pane in panes {
            let mut slots = Vec::with_capacity(pane.groups.len());
            for id in &pane.groups {
                let slot = &mut slot_of[*id as usize];
                if *slot == usize::MAX {
                    *slot = groups.len();
                    groups.push(*id);
                }
                slots.push(*slot);
            }
            for (accumulator, at) in merged.iter_mut().zip(mine) {
                accumulator.merge_batch(&pane.states[*at], &slots, groups.len())?;
            }
        }
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_unstable_by_key(|slot| self.keys.key(groups[*slot as usize]));
        let sorted: Vec<GroupId> = order.iter().map(|slot| groups[*slot as usize]).collect();
        let order = UInt32Array::from(order);
        let mut columns = self.keys.columns(&sorted)?;
        for accumulator in &mut merged {
            columns.push(arrow::compute::take(&accumulator.evaluate(EmitTo::All)?, &order, None)?);
        }
        batch_of(schema, columns, groups.len())
    }

    /// What each function says of no rows at all: only the ungrouped accumulator knows.
    fn over_nothing(&self, mine: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
        let say = |at: &usize| self.columns[*at].function.create_accumulator()?.evaluate()?.to_array_of_size(1);
        batch_of(schema, mine.iter().map(say).collect::<Result<Vec<_>>>()?, 1)
    }

    /// Groups now known.
    pub fn groups(&self) -> usize {
        self.keys.len()
    }

    /// Panes now held, open and sealed.
    pub fn panes(&self) -> usize {
        self.open.len() + self.sealed.len()
    }

    /// Bytes now held.
    pub fn bytes(&self) -> usize {
        let open: usize = self.open.values().map(OpenPane::bytes).sum();
        let sealed: usize = self.sealed.values().map(SealedPane::bytes).sum();
        self.keys.bytes() + open + sealed
    }
}
