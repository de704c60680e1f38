//! Raw rows, for rules whose plan needs them: instant rules, joins and window functions over rows.
//!
//! It retains only rows that pass the filters, of them only the columns that are read, and no longer than the windows of its rules.
//! Over a limit it drops everything and fails: an answer from a part of the rows would be wrong. The rules over it are then
//! quarantined.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::{concat, concat_batches, filter_record_batch, take, take_record_batch};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;

use crate::model::limits::{ROWS_RETAINED_BYTES_MAX, ROWS_RETAINED_MAX};
use crate::model::snapshot::LocationSlot;
use crate::model::time::{TimestampMs, align_down};
use crate::rule::exec::expression_chain::{batch_of, evaluate, mask_of};
use crate::rule::plan::stream_scan::{Binding, RowSource};
use crate::window::ingest::micro_batch::RowSlice;
use crate::window::state::ingest_counts::IngestCounts;
use crate::window::state::pane_layout::PaneLayout;

/// The rows of one source, shared by rules.
pub struct RowTable {
    source: RowSource,
    bound: BoundRows,
    layout: PaneLayout,
    retain_ms: i64,
    panes: BTreeMap<TimestampMs, RowPane>,
    sealed_until: TimestampMs,
    rows: usize,
    bytes: usize,
    rows_max: usize,
    /// Why nothing is retained any more.
    failure: Option<String>,
}

/// A pane of rows, sorted.
pub struct RowPaneSnapshot {
    /// The start of the pane.
    pub start: TimestampMs,
    /// Its rows.
    pub rows: RecordBatch,
    /// The time of each row.
    pub times: ArrayRef,
    /// The slot of a pane that does not change any more.
    pub slot: Option<LocationSlot>,
}

/// The expressions of the source, bound to the few columns that they read.
struct BoundRows {
    binding: Binding,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    output: Vec<Arc<dyn PhysicalExpr>>,
}

impl BoundRows {
    fn new(source: &RowSource) -> Result<Self> {
        let predicate = &source.stream.predicate;
        let binding = Binding::of(&source.stream.table, source.output.iter().chain(predicate))?;
        Ok(Self {
            predicate: predicate.as_ref().map(|predicate| binding.bind(predicate)).transpose()?,
            output: source.output.iter().map(|expr| binding.bind(expr)).collect::<Result<_>>()?,
            binding,
        })
    }
}

#[derive(Clone, Debug, Default)]
struct RowPane {
    batches: Vec<RecordBatch>,
    times: Vec<ArrayRef>,
    bytes: usize,
    sorted: bool,
    slot: LocationSlot,
}

impl fmt::Debug for RowTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowTable({:?}, {} rows in {} panes)", self.source, self.rows, self.panes.len())
    }
}

impl RowTable {
    /// An empty table that retains at most `rows_max` rows.
    pub fn new(source: &RowSource, layout: PaneLayout, rows_max: usize) -> Result<Self> {
        Ok(Self {
            bound: BoundRows::new(source)?,
            source: source.clone(),
            layout,
            retain_ms: 0,
            panes: BTreeMap::new(),
            sealed_until: TimestampMs::MIN,
            rows: 0,
            bytes: 0,
            rows_max: rows_max.min(ROWS_RETAINED_MAX),
            failure: None,
        })
    }

    /// The division of time.
    pub fn layout(&self) -> &PaneLayout {
        &self.layout
    }

    /// Adds a rule whose window reaches back `reach_ms`. `source` is read over the stream's columns as they are now.
    pub fn attach(&mut self, source: &RowSource, reach_ms: i64) -> Result<()> {
        self.retain_ms = self.retain_ms.max(reach_ms);
        self.bound = BoundRows::new(source)?;
        self.source = source.clone();
        Ok(())
    }

    /// Forgets which rules use the table. Its content stays.
    pub fn detach_all(&mut self) {
        self.retain_ms = 0;
    }

    /// Retains the rows that pass the filter.
    pub fn ingest(&mut self, rows: &RowSlice<'_>) -> Result<IngestCounts> {
        let counts = IngestCounts::default();
        if self.failure.is_some() {
            return Ok(counts);
        }
        let mut batch = rows.batch(&self.bound.binding)?;
        let mut times: Vec<TimestampMs> = rows.times(self.layout.broker_time).to_vec();
        if let Some(predicate) = &self.bound.predicate {
            let mask = mask_of(predicate, &batch)?;
            if mask.true_count() == 0 {
                return Ok(counts);
            }
            batch = filter_record_batch(&batch, &mask)?;
            times = times.into_iter().zip(mask.values()).filter(|(_, passed)| *passed).map(|(ts, _)| ts).collect();
        }
        let output = evaluate(&self.bound.output, &batch)?;
        let output = batch_of(&self.source.leaf_schema, output, batch.num_rows())?;
        self.insert(&output, &TimestampMillisecondArray::from(times))
    }

    /// Adds each row to the pane of its time.
    fn insert(&mut self, rows: &RecordBatch, times: &TimestampMillisecondArray) -> Result<IngestCounts> {
        let mut counts = IngestCounts::default();
        let pane_ms = self.layout.pane_ms;
        let mut by_pane: BTreeMap<TimestampMs, Vec<u32>> = BTreeMap::new();
        for (row, ts) in times.values().iter().enumerate() {
            let pane = align_down(*ts, pane_ms);
            if pane + pane_ms <= self.sealed_until {
                counts.late += 1;
            } else {
                by_pane.entry(pane).or_default().push(row as u32);
            }
        }
        for (pane, indices) in by_pane {
            counts.rows += indices.len() as u64;
            let indices = UInt32Array::from(indices);
            let own = own_buffers(&take_record_batch(rows, &indices)?)?;
            self.insert_into(pane, own, take(times, &indices, None)?);
        }
        self.check_limits();
        Ok(counts)
    }

    fn insert_into(&mut self, pane: TimestampMs, rows: RecordBatch, times: ArrayRef) {
        let bytes = rows.get_array_memory_size() + times.get_array_memory_size();
        self.rows += rows.num_rows();
        self.bytes += bytes;
        let pane = self.panes.entry(pane).or_default();
        pane.batches.push(rows);
        pane.times.push(times);
        pane.bytes += bytes;
        pane.sorted = false;
        pane.slot = LocationSlot::default();
    }

    fn check_limits(&mut self) {
        let failure = if self.rows > self.rows_max {
            format!("more than {} rows in its windows", self.rows_max)
        } else if self.bytes > ROWS_RETAINED_BYTES_MAX {
            format!("more than {} MB of rows in its windows", ROWS_RETAINED_BYTES_MAX >> 20)
        } else {
            return;
        };
        self.fail(failure);
    }

    fn clear(&mut self) {
        self.panes.clear();
        (self.rows, self.bytes) = (0, 0);
    }

    /// Why nothing is retained any more; `None` where nothing failed.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Drops all rows, and retains none from here on.
    pub fn fail(&mut self, reason: String) {
        self.clear();
        self.failure = Some(reason);
    }

    /// Drops all rows, and retains new ones again.
    pub fn reset(&mut self) {
        self.clear();
        self.failure = None;
    }

    /// Seals the panes that end at or before `until`, and drops those that no window reaches any more.
    pub fn seal(&mut self, until: TimestampMs) {
        self.sealed_until = self.sealed_until.max(until);
        while let Some(entry) = self.panes.first_entry() {
            if *entry.key() >= until.saturating_sub(self.retain_ms) {
                break;
            }
            let (_, pane) = entry.remove_entry();
            self.rows -= pane.batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            self.bytes -= pane.bytes;
        }
    }

    /// Whether the window holds a row.
    pub fn has_rows(&self, window: &Range<TimestampMs>) -> bool {
        self.panes.range(window.clone()).next().is_some()
    }

    /// The rows of a window and their times, sorted by time, then by content: the order of arrival does not matter.
    pub fn rows(&mut self, window: &Range<TimestampMs>) -> Result<(RecordBatch, ArrayRef)> {
        for (_, pane) in self.panes.range_mut(window.clone()).filter(|(_, pane)| !pane.sorted) {
            pane.sort()?;
        }
        let panes = || self.panes.range(window.clone()).map(|(_, pane)| pane);
        let schema =
            panes().flat_map(|pane| &pane.batches).next().map_or(Arc::clone(&self.source.leaf_schema), RecordBatch::schema);
        let rows = concat_batches(&schema, panes().flat_map(|pane| &pane.batches))?;
        let times: Vec<&dyn Array> = panes().flat_map(|pane| pane.times.iter().map(AsRef::as_ref)).collect();
        let no_times: ArrayRef = Arc::new(TimestampMillisecondArray::from(Vec::<TimestampMs>::new()));
        Ok((rows, if times.is_empty() { no_times } else { concat(&times)? }))
    }

    /// The number of panes.
    pub fn panes(&self) -> usize {
        self.panes.len()
    }

    /// The ends of the panes that are not sealed.
    pub fn open_ends(&self) -> impl Iterator<Item = TimestampMs> {
        let ends = self.panes.keys().map(|start| start + self.layout.pane_ms);
        ends.filter(|end| *end > self.sealed_until)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Panes that end at or before this instant are sealed.
    pub fn sealed_until(&self) -> TimestampMs {
        self.sealed_until
    }

    /// The panes, each as one batch.
    pub fn save(&mut self) -> Result<Vec<RowPaneSnapshot>> {
        let mut snapshots = Vec::with_capacity(self.panes.len());
        for (start, pane) in &mut self.panes {
            if !pane.sorted {
                pane.sort()?;
            }
            let ([rows], [times]) = (pane.batches.as_slice(), pane.times.as_slice()) else { continue };
            let sealed = start + self.layout.pane_ms <= self.sealed_until;
            let slot = sealed.then(|| pane.slot.clone());
            snapshots.push(RowPaneSnapshot { start: *start, rows: rows.clone(), times: Arc::clone(times), slot });
        }
        Ok(snapshots)
    }

    /// Adds a pane that [`Self::save`] returned.
    pub fn restore(&mut self, start: TimestampMs, rows: RecordBatch, times: ArrayRef) {
        self.insert_into(start, rows, times);
    }

    /// Takes all panes out. Where a limit was exceeded there are none, but the reason; the table then retains rows again.
    pub fn take_partial(&mut self) -> Result<(Vec<RowPaneSnapshot>, Option<String>)> {
        let panes = self.save();
        let failure = self.failure.take();
        self.clear();
        Ok((panes?, failure))
    }

    /// Retains rows that the table of another process retained for the same source.
    pub fn merge_partial(&mut self, rows: &RecordBatch, times: &TimestampMillisecondArray) -> Result<IngestCounts> {
        if self.failure.is_some() {
            return Ok(IngestCounts::default());
        }
        let rows = batch_of(&self.source.leaf_schema, rows.columns().to_vec(), rows.num_rows())?;
        self.insert(&rows, times)
    }

    /// Changes the width of panes. The table must be empty.
    pub fn set_pane_ms(&mut self, pane_ms: i64) {
        debug_assert!(self.is_empty(), "the rows are in panes of the old width");
        self.layout.pane_ms = pane_ms;
    }
}

impl RowPane {
    fn sort(&mut self) -> Result<()> {
        let Some(first) = self.batches.first() else { return Ok(()) };
        let rows = concat_batches(&first.schema(), &self.batches)?;
        let times: Vec<&dyn Array> = self.times.iter().map(AsRef::as_ref).collect();
        let times = concat(&times)?;
        let columns: Vec<ArrayRef> = std::iter::once(Arc::clone(&times)).chain(rows.columns().iter().cloned()).collect();
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let keys = RowConverter::new(fields)?.convert_columns(&columns)?;
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
        let order = UInt32Array::from(order);
        self.batches = vec![take_record_batch(&rows, &order)?];
        self.times = vec![take(&times, &order, None)?];
        self.sorted = true;
        Ok(())
    }
}

/// The rows with text buffers of their own. Text views would pin the buffers of the whole micro-batch.
fn own_buffers(rows: &RecordBatch) -> Result<RecordBatch> {
    let own = |column: &ArrayRef| match column.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()) as ArrayRef,
        None => Arc::clone(column),
    };
    batch_of(&rows.schema(), rows.columns().iter().map(own).collect(), rows.num_rows())
}
