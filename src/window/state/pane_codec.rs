//! Panes as record batches and as chunks of a snapshot. The chunks of a table are the messages of one Arrow IPC stream.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray, UInt32Array,
};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use bytes::Bytes;

use crate::model::snapshot::ChunkContent;
use crate::model::snapshot::ipc_stream::encode_batch;
use crate::model::snapshot::versioned::RestoreError;
use crate::window::state::pane::{EventTimes, SealedPane};
use crate::window::state::pane_layout::PaneLayout;

/// A pane of an aggregate table.
pub(crate) struct PaneChunk {
    pub(crate) pane: Arc<SealedPane>,
    pub(crate) schema: SchemaRef,
}

impl ChunkContent for PaneChunk {
    fn size_hint(&self) -> usize {
        self.pane.bytes()
    }

    fn encode(&self) -> Result<Bytes, String> {
        pane_to_batch(&self.pane).and_then(|batch| encode_batch(&batch, &self.schema)).map_err(|error| error.to_string())
    }
}

/// Retained rows with their times, as [`join_times`] makes them.
pub(crate) struct RowChunk {
    pub(crate) rows: RecordBatch,
    pub(crate) schema: SchemaRef,
}

impl ChunkContent for RowChunk {
    fn size_hint(&self) -> usize {
        self.rows.get_array_memory_size()
    }

    fn encode(&self) -> Result<Bytes, String> {
        encode_batch(&self.rows, &self.schema).map_err(|error| error.to_string())
    }
}

/// One row a group: the group, the times of its first and last event for sessions, then the states.
pub(crate) fn pane_to_batch(pane: &SealedPane) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<(&str, ArrayRef)> = vec![("group", Arc::new(UInt32Array::from(pane.groups.clone())))];
    if let Some(times) = &pane.times {
        columns.push(("first", Arc::new(times.iter().map(|times| times.first).collect::<Int64Array>())));
        columns.push(("last", Arc::new(times.iter().map(|times| times.last).collect::<Int64Array>())));
    }
    columns.extend(pane.states.iter().flatten().map(|state| ("state", Arc::clone(state))));
    batch(columns)
}

/// Reverses [`pane_to_batch`]. `aggregates` gives the number of state columns of each aggregate, `keys` the size of the key space.
pub(crate) fn batch_to_pane(
    batch: &RecordBatch,
    layout: &PaneLayout,
    aggregates: &[(String, usize)],
    keys: usize,
) -> Result<SealedPane, RestoreError> {
    let damaged = |what: &str| RestoreError::Damaged(what.to_string());
    let with_times = layout.session_gap_ms.is_some();
    let states: usize = aggregates.iter().map(|(_, columns)| columns).sum();
    if batch.num_columns() != 1 + 2 * usize::from(with_times) + states {
        return Err(damaged("a pane has other columns than its aggregates"));
    }
    let groups = batch.column(0).as_primitive_opt::<UInt32Type>().ok_or_else(|| damaged("a pane's groups are no numbers"))?;
    if groups.values().iter().any(|group| *group as usize >= keys) {
        return Err(damaged("a pane has a group without a key"));
    }
    let time = |at: usize| batch.column(at).as_primitive_opt::<Int64Type>().ok_or_else(|| damaged("a session has no times"));
    let times = if with_times {
        let (first, last) = (time(1)?, time(2)?);
        Some(first.values().iter().zip(last.values()).map(|(first, last)| EventTimes { first: *first, last: *last }).collect())
    } else {
        None
    };
    let mut columns = batch.columns()[1 + 2 * usize::from(with_times)..].iter().cloned();
    let states = aggregates.iter().map(|(_, number)| columns.by_ref().take(*number).collect()).collect();
    Ok(SealedPane { groups: groups.values().to_vec(), states, times })
}

/// Rows with their times as the first column.
pub(crate) fn join_times(rows: &RecordBatch, times: &ArrayRef) -> Result<RecordBatch, ArrowError> {
    let columns = std::iter::once(("time", Arc::clone(times)));
    batch(columns.chain(rows.columns().iter().map(|column| ("column", Arc::clone(column)))).collect())
}

/// Reverses [`join_times`].
pub(crate) fn split_times(rows: &RecordBatch) -> Result<(ArrayRef, RecordBatch), RestoreError> {
    let times = rows.columns().first().filter(|times| times.as_any().is::<TimestampMillisecondArray>());
    let times = times.ok_or_else(|| RestoreError::Damaged("retained rows have no times".into()))?;
    Ok((Arc::clone(times), rows.project(&(1..rows.num_columns()).collect::<Vec<_>>())?))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    let fields = columns
        .iter()
        .enumerate()
        .map(|(at, (name, column))| Field::new(format!("{name}{at}"), column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns.into_iter().map(|(_, column)| column).collect(), &options)
}
