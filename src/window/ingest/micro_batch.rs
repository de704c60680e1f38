//! A micro-batch of one stream as tables see it: slices of rows, sorted by metric name where tables are routed by it. A column is
//! sorted once, when the first table reads it.

use std::cell::OnceCell;
use std::ops::Range;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::TimestampMillisecondType;
use datafusion::common::Result;

use crate::model::time::TimestampMs;
use crate::rule::plan::stream_scan::Binding;

/// The rows of a batch, in the order of arrival or routed.
pub struct MicroBatch<'a> {
    rows: &'a RecordBatch,
    /// The broker's timestamp of each row; empty where no rule reads it.
    broker_times: &'a [TimestampMs],
    order: Option<UInt32Array>,
    columns: Vec<OnceCell<ArrayRef>>,
    times: [OnceCell<Vec<TimestampMs>>; 2],
}

/// Consecutive rows of a micro-batch.
pub struct RowSlice<'a> {
    batch: &'a MicroBatch<'a>,
    range: Range<usize>,
}

impl<'a> MicroBatch<'a> {
    /// The rows as they came, or the rows at `order`.
    pub fn new(rows: &'a RecordBatch, broker_times: &'a [TimestampMs], order: Option<Vec<u32>>) -> Self {
        let columns = (0..rows.num_columns()).map(|_| OnceCell::new()).collect();
        Self { rows, broker_times, order: order.map(UInt32Array::from), columns, times: Default::default() }
    }

    fn column(&self, at: usize) -> Result<&ArrayRef> {
        let Some(order) = &self.order else { return Ok(self.rows.column(at)) };
        if let Some(column) = self.columns[at].get() {
            return Ok(column);
        }
        let column = take(self.rows.column(at), order, None)?;
        Ok(self.columns[at].get_or_init(|| column))
    }

    fn times(&self, broker: bool) -> &[TimestampMs] {
        self.times[usize::from(broker)].get_or_init(|| {
            let own = self.rows.column(0).as_primitive::<TimestampMillisecondType>().values();
            let times = if broker && !self.broker_times.is_empty() { self.broker_times } else { own };
            match &self.order {
                Some(order) => order.values().iter().map(|row| times[*row as usize]).collect(),
                None => times.to_vec(),
            }
        })
    }

    /// Rows `range`, in the batch's order.
    pub fn slice(&'a self, range: Range<usize>) -> RowSlice<'a> {
        RowSlice { batch: self, range }
    }

    /// All rows.
    pub fn all(&'a self) -> RowSlice<'a> {
        self.slice(0..self.order.as_ref().map_or(self.rows.num_rows(), arrow::array::Array::len))
    }
}

impl RowSlice<'_> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The rows' event times, or the broker's.
    pub fn times(&self, broker: bool) -> &[TimestampMs] {
        &self.batch.times(broker)[self.range.clone()]
    }

    /// The columns that `binding` reads.
    pub fn batch(&self, binding: &Binding) -> Result<RecordBatch> {
        let column = |at: &usize| Ok(self.batch.column(*at)?.slice(self.range.start, self.range.len()));
        let columns = binding.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(self.range.len()));
        Ok(RecordBatch::try_new_with_options(std::sync::Arc::clone(&binding.schema), columns, &rows)?)
    }
}
