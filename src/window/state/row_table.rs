//! Rows kept as they came, for rules whose plan needs them: instant rules, joins and window functions over rows.
//!
//! Kept are only the rows that pass the rule's filters, and of them only the columns that it reads, for as long as its window;
//! over a limit nothing is kept any more and the rules that need them are quarantined.

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
use crate::model::snapshot::Whereabouts;
use crate::model::time::{TimestampMs, align_down};
use crate::rule::exec::expression_chain::{batch_of, evaluate, mask_of};
use crate::rule::plan::stream_scan::{Binding, RowSource};
use crate::window::ingest::micro_batch::Stretch;
use crate::window::state::table::{Ingested, Layout};

/// The rows of one source, shared by rules.
pub struct RowTable {
    source: RowSource,
    bound: Bound,
    layout: Layout,
    retain_ms: i64,
    panes: BTreeMap<TimestampMs, RowPane>,
    sealed_until: TimestampMs,
    rows: usize,
    bytes: usize,
    rows_max: usize,
    /// Why nothing is kept any more.
    broken: Option<String>,
}

/// What a pane holds.
pub struct KeptPane {
    /// When it starts.
    pub start: TimestampMs,
    /// Its rows.
    pub rows: RecordBatch,
    /// Their times.
    pub times: ArrayRef,
    /// Where it was written, if it stays as it is.
    pub whereabouts: Option<Whereabouts>,
}

/// The source's expressions over the few columns that they read.
struct Bound {
    binding: Binding,
    predicate: Option<Arc<dyn PhysicalExpr>>,
    output: Vec<Arc<dyn PhysicalExpr>>,
}

impl Bound {
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
    whereabouts: Whereabouts,
}

impl fmt::Debug for RowTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowTable({:?}, {} rows in {} panes)", self.source, self.rows, self.panes.len())
    }
}

impl RowTable {
    /// An empty table for `source` that keeps at most `rows_max` rows.
    pub fn new(source: &RowSource, layout: Layout, rows_max: usize) -> Result<Self> {
        Ok(Self {
            bound: Bound::new(source)?,
            source: source.clone(),
            layout,
            retain_ms: 0,
            panes: BTreeMap::new(),
            sealed_until: TimestampMs::MIN,
            rows: 0,
            bytes: 0,
            rows_max: rows_max.min(ROWS_RETAINED_MAX),
            broken: None,
        })
    }

    /// How the table lays out time.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A rule with windows that reach back `reach_ms` uses the table. `source` is the table's own, over the stream's columns as
    /// they are now.
    pub fn join(&mut self, source: &RowSource, reach_ms: i64) -> Result<()> {
        self.retain_ms = self.retain_ms.max(reach_ms);
        self.bound = Bound::new(source)?;
        self.source = source.clone();
        Ok(())
    }

    /// No rule uses the table, until one joins.
    pub fn leave(&mut self) {
        self.retain_ms = 0;
    }

    /// Keeps the rows that the source wants.
    pub fn ingest(&mut self, rows: &Stretch<'_>) -> Result<Ingested> {
        let done = Ingested::default();
        if self.broken.is_some() {
            return Ok(done);
        }
        let mut batch = rows.batch(&self.bound.binding)?;
        let mut times: Vec<TimestampMs> = rows.times(self.layout.broker_time).to_vec();
        if let Some(predicate) = &self.bound.predicate {
            let mask = mask_of(predicate, &batch)?;
            if mask.true_count() == 0 {
                return Ok(done);
            }
            batch = filter_record_batch(&batch, &mask)?;
            times = times.into_iter().zip(mask.values()).filter(|(_, kept)| *kept).map(|(ts, _)| ts).collect();
        }
        let output = evaluate(&self.bound.output, &batch)?;
        let output = batch_of(&self.source.leaf_schema, output, batch.num_rows())?;
        self.sort_in(&output, &TimestampMillisecondArray::from(times))
    }

    /// Keeps each row in the pane of its time.
    fn sort_in(&mut self, rows: &RecordBatch, times: &TimestampMillisecondArray) -> Result<Ingested> {
        let mut done = Ingested::default();
        let pane_ms = self.layout.pane_ms;
        let mut by_pane: BTreeMap<TimestampMs, Vec<u32>> = BTreeMap::new();
        for (row, ts) in times.values().iter().enumerate() {
            let pane = align_down(*ts, pane_ms);
            if pane + pane_ms <= self.sealed_until {
                done.late += 1;
            } else {
                by_pane.entry(pane).or_default().push(row as u32);
            }
        }
        for (pane, indices) in by_pane {
            done.rows += indices.len() as u64;
            let indices = UInt32Array::from(indices);
            let kept = without_slack(&take_record_batch(rows, &indices)?)?;
            self.keep(pane, kept, take(times, &indices, None)?);
        }
        self.check();
        Ok(done)
    }

    fn keep(&mut self, pane: TimestampMs, rows: RecordBatch, times: ArrayRef) {
        let bytes = rows.get_array_memory_size() + times.get_array_memory_size();
        self.rows += rows.num_rows();
        self.bytes += bytes;
        let pane = self.panes.entry(pane).or_default();
        pane.batches.push(rows);
        pane.times.push(times);
        pane.bytes += bytes;
        pane.sorted = false;
        pane.whereabouts = Whereabouts::default();
    }

    fn check(&mut self) {
        let wrong = if self.rows > self.rows_max {
            Some(format!("more than {} rows in its windows", self.rows_max))
        } else if self.bytes > ROWS_RETAINED_BYTES_MAX {
            Some(format!("more than {} MB of rows in its windows", ROWS_RETAINED_BYTES_MAX >> 20))
        } else {
            return;
        };
        self.clear();
        self.broken = wrong;
    }

    fn clear(&mut self) {
        self.panes.clear();
        (self.rows, self.bytes) = (0, 0);
    }

    /// Why nothing is kept any more.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Keeps nothing, for a reason that was saved.
    pub fn break_again(&mut self, reason: Option<String>) {
        self.broken = reason;
    }

    /// Begins anew, empty.
    pub fn mend(&mut self) {
        self.clear();
        self.broken = None;
    }

    /// Closes the panes that end at or before `until`, and forgets those that no window reaches any more.
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

    /// The rows of a window and their times, in the order of time, then of content: the order of arrival leaves no trace.
    pub fn rows(&mut self, window: &Range<TimestampMs>) -> Result<(RecordBatch, ArrayRef)> {
        for (_, pane) in self.panes.range_mut(window.clone()).filter(|(_, pane)| !pane.sorted) {
            pane.sort()?;
        }
        let panes = || self.panes.range(window.clone()).map(|(_, pane)| pane);
        let schema =
            panes().flat_map(|pane| &pane.batches).next().map_or(Arc::clone(&self.source.leaf_schema), RecordBatch::schema);
        let rows = concat_batches(&schema, panes().flat_map(|pane| &pane.batches))?;
        let times: Vec<&dyn Array> = panes().flat_map(|pane| pane.times.iter().map(AsRef::as_ref)).collect();
        let nothing: ArrayRef = Arc::new(TimestampMillisecondArray::from(Vec::<TimestampMs>::new()));
        Ok((rows, if times.is_empty() { nothing } else { concat(&times)? }))
    }

    /// Panes now held.
    pub fn panes(&self) -> usize {
        self.panes.len()
    }

    /// When the panes end that hold rows and are not sealed.
    pub fn open_ends(&self) -> impl Iterator<Item = TimestampMs> {
        let ends = self.panes.keys().map(|start| start + self.layout.pane_ms);
        ends.filter(|end| *end > self.sealed_until)
    }

    /// Rows now held.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes now held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Panes that end at or before this instant take no more rows.
    pub fn sealed_until(&self) -> TimestampMs {
        self.sealed_until
    }

    /// The panes, each as one batch with its times.
    pub fn contents(&mut self) -> Result<Vec<KeptPane>> {
        let mut contents = Vec::with_capacity(self.panes.len());
        for (start, pane) in &mut self.panes {
            if !pane.sorted {
                pane.sort()?;
            }
            let ([rows], [times]) = (pane.batches.as_slice(), pane.times.as_slice()) else { continue };
            let sealed = start + self.layout.pane_ms <= self.sealed_until;
            let whereabouts = sealed.then(|| pane.whereabouts.clone());
            contents.push(KeptPane { start: *start, rows: rows.clone(), times: Arc::clone(times), whereabouts });
        }
        Ok(contents)
    }

    /// Takes all panes out, as [`Self::contents`] gives them, and why they are not all, where they are not.
    pub fn drain(&mut self) -> Result<(Vec<KeptPane>, Option<String>)> {
        let all = self.contents();
        let broken = self.broken.take();
        self.clear();
        Ok((all?, broken))
    }

    /// Keeps rows that another table of the same source had kept.
    pub fn absorb(&mut self, rows: &RecordBatch, times: &TimestampMillisecondArray) -> Result<Ingested> {
        if self.broken.is_some() {
            return Ok(Ingested::default());
        }
        let rows = batch_of(&self.source.leaf_schema, rows.columns().to_vec(), rows.num_rows())?;
        self.sort_in(&rows, times)
    }

    /// Cuts time otherwise. The table must be empty.
    pub fn set_pane_ms(&mut self, pane_ms: i64) {
        debug_assert!(self.is_empty(), "rows are in panes already");
        self.layout.pane_ms = pane_ms;
    }

    /// Keeps nothing any more, because another table of the same source broke a limit.
    pub fn break_for(&mut self, reason: &str) {
        self.clear();
        self.broken = Some(reason.to_string());
    }

    /// Puts a pane back that [`Self::contents`] gave.
    pub fn restore(&mut self, start: TimestampMs, rows: RecordBatch, times: ArrayRef) {
        self.keep(start, rows, times);
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

/// Text views pin the whole buffers of their micro-batch: what is kept gets buffers of its own.
fn without_slack(rows: &RecordBatch) -> Result<RecordBatch> {
    let own = |column: &ArrayRef| match column.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()) as ArrayRef,
        None => Arc::clone(column),
    };
    batch_of(&rows.schema(), rows.columns().iter().map(own).collect(), rows.num_rows())
}
