//! The pieces of saved windows: panes, as messages of one IPC stream a table, and keys, so many a piece.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray, UInt32Array,
};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::ipc::{MessageHeader, root_as_message};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::snapshot::Content;
use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::ipc_frames::{check_buffers, next_frame};
use crate::window::ingest::key_space::KeySpace;
use crate::window::snapshot::RestoreError;
use crate::window::state::pane::{SealedPane, Times};
use crate::window::state::table::Layout;

/// A pane of an aggregate table, to be written later.
pub(crate) struct PaneContent {
    pub(crate) pane: Arc<SealedPane>,
    pub(crate) schema: SchemaRef,
}

impl Content for PaneContent {
    fn size(&self) -> usize {
        self.pane.bytes()
    }

    fn to_bytes(&self) -> Result<Bytes, String> {
        batch_of_pane(&self.pane).and_then(|rows| message_of(&rows, &self.schema)).map_err(|error| error.to_string())
    }
}

/// A pane of rows with their times, to be written later.
pub(crate) struct RowsContent {
    pub(crate) rows: RecordBatch,
    pub(crate) schema: SchemaRef,
}

impl Content for RowsContent {
    fn size(&self) -> usize {
        self.rows.get_array_memory_size()
    }

    fn to_bytes(&self) -> Result<Bytes, String> {
        message_of(&self.rows, &self.schema).map_err(|error| error.to_string())
    }
}

/// Keys of a space that follow each other.
#[derive(Serialize, Deserialize)]
pub(in crate::window) struct SavedKeys {
    /// Where each ends in the bytes.
    ends: Vec<usize>,
    bytes: Blob,
}

impl SavedKeys {
    /// Keys that end at `ends` in bytes of which these begin at `begin`.
    pub(in crate::window) fn new(bytes: &[u8], begin: usize, ends: &[usize]) -> Self {
        Self { ends: ends.iter().map(|end| end - begin).collect(), bytes: Blob(bytes.to_vec()) }
    }

    /// Adds them to a space.
    pub(crate) fn add_to(piece: &[u8], space: &mut KeySpace) -> Result<(), RestoreError> {
        let Self { ends, bytes } = postcard::from_bytes(piece)?;
        if !ends.is_sorted() || ends.last().copied().unwrap_or(0) != bytes.0.len() {
            return Err(RestoreError::Damaged("the keys do not end where their bytes do".into()));
        }
        space.adopt(&bytes.0, &ends);
        Ok(())
    }
}

impl Content for SavedKeys {
    fn size(&self) -> usize {
        self.bytes.0.len() + 2 * self.ends.len()
    }

    fn to_bytes(&self) -> Result<Bytes, String> {
        postcard::to_allocvec(self).map(Bytes::from).map_err(|error| error.to_string())
    }
}

/// One row a group: the group, first and last time where they are kept, then the states.
pub(in crate::window) fn batch_of_pane(pane: &SealedPane) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<(&str, ArrayRef)> = vec![("group", Arc::new(UInt32Array::from(pane.groups.clone())))];
    if let Some(times) = &pane.times {
        columns.push(("first", Arc::new(times.iter().map(|times| times.first).collect::<Int64Array>())));
        columns.push(("last", Arc::new(times.iter().map(|times| times.last).collect::<Int64Array>())));
    }
    columns.extend(pane.states.iter().flatten().map(|state| ("state", Arc::clone(state))));
    batch(columns)
}

/// The pane that [`batch_of_pane`] wrote; `keys` is how many its groups are numbers of.
pub(in crate::window) fn pane_of_batch(
    rows: &RecordBatch,
    layout: &Layout,
    aggregates: &[(String, usize)],
    keys: usize,
) -> Result<SealedPane, RestoreError> {
    let damaged = |what: &str| RestoreError::Damaged(what.to_string());
    let with_times = layout.session_gap_ms.is_some();
    let states: usize = aggregates.iter().map(|(_, columns)| columns).sum();
    if rows.num_columns() != 1 + 2 * usize::from(with_times) + states {
        return Err(damaged("a pane has other columns than its aggregates"));
    }
    let groups = rows.column(0).as_primitive_opt::<UInt32Type>().ok_or_else(|| damaged("a pane's groups are no numbers"))?;
    if groups.values().iter().any(|group| *group as usize >= keys) {
        return Err(damaged("a pane has a group that no key has"));
    }
    let time = |at: usize| rows.column(at).as_primitive_opt::<Int64Type>().ok_or_else(|| damaged("a session has no times"));
    let times = if with_times {
        let (first, last) = (time(1)?, time(2)?);
        Some(first.values().iter().zip(last.values()).map(|(first, last)| Times { first: *first, last: *last }).collect())
    } else {
        None
    };
    let mut columns = rows.columns()[1 + 2 * usize::from(with_times)..].iter().cloned();
    let states = aggregates.iter().map(|(_, number)| columns.by_ref().take(*number).collect()).collect();
    Ok(SealedPane { groups: groups.values().to_vec(), states, times })
}

pub(in crate::window) fn with_times(rows: &RecordBatch, times: &ArrayRef) -> Result<RecordBatch, ArrowError> {
    let columns = std::iter::once(("time", Arc::clone(times)));
    batch(columns.chain(rows.columns().iter().map(|column| ("column", Arc::clone(column)))).collect())
}

pub(in crate::window) fn without_times(rows: &RecordBatch) -> Result<(ArrayRef, RecordBatch), RestoreError> {
    let times = rows.columns().first().filter(|times| times.as_any().is::<TimestampMillisecondArray>());
    let times = times.ok_or_else(|| RestoreError::Damaged("kept rows have no times".into()))?;
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

/// How a stream of batches begins.
pub(crate) fn head_of(schema: &Schema) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    Ok(std::mem::take(writer.get_mut()))
}

/// What a batch is within a stream of that schema.
fn message_of(batch: &RecordBatch, schema: &SchemaRef) -> Result<Bytes, ArrowError> {
    if batch.schema() != *schema {
        return Err(ArrowError::SchemaError(format!("a pane is {:?}, and its table is {schema:?}", batch.schema())));
    }
    let mut writer = StreamWriter::try_new(Vec::with_capacity(batch.get_array_memory_size()), schema)?;
    writer.get_mut().clear();
    writer.write(batch)?;
    Ok(Bytes::from(std::mem::take(writer.get_mut())))
}

/// Batches of one schema as one stream.
pub(in crate::window) fn stream_of(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let schema: SchemaRef = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.into_inner()
}

/// The batches of a stream.
pub(in crate::window) fn batches_of(content: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut rest = content;
    while let Some(frame) = next_frame(rest).map_err(ArrowError::ParseError)? {
        let message = root_as_message(&rest[frame.header]).map_err(|error| ArrowError::ParseError(error.to_string()))?;
        match message.header_type() {
            MessageHeader::RecordBatch => check_buffers(message.header_as_record_batch(), frame.body.len()),
            MessageHeader::DictionaryBatch => {
                check_buffers(message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()), frame.body.len())
            }
            _ => Ok(()),
        }
        .map_err(ArrowError::ParseError)?;
        rest = &rest[frame.body.end..];
    }
    StreamReader::try_new(Cursor::new(content), None)?.collect()
}
