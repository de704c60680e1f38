//! The state of all windows as bytes, and back: what a restart needs.
//!
//! Panes are Arrow columns already and go into one IPC stream a table; what stands around them is written with postcard. State is
//! found again by what it means (stream, filter, grouping, aggregates, layout of time), never by place: a table that no rule
//! wants any more is left out, a rule that is new or has changed begins empty, and all others go on as if nothing had happened.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray, UInt32Array,
};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::common::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::rule::source::{AggregateColumn, AggregateSource, Leaf};
use crate::window::WindowLimits;
use crate::window::evaluator::restart::SavedRule;
use crate::window::form::Form;
use crate::window::pane::{SealedPane, Times};
use crate::window::table::Layout;
use crate::window::table::restart::{SavedAggregate, SavedPane};
use crate::window::tables::{TableState, Tables, content_of};
use crate::words::blob::Blob;
use crate::words::time::TimestampMs;

/// The form of the bytes. A form that is not this one is refused.
pub const VERSION: u32 = 2;
const FORM: Form = Form { magic: *b"squelchW", version: VERSION };

/// Why saved bytes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// They are something else.
    #[error("these bytes are no saved windows")]
    NoState,
    /// Another version of squelch wrote them.
    #[error("the windows were saved in form {0}, this version reads form {VERSION}")]
    OtherVersion(u32),
    /// They are damaged.
    #[error("the saved windows are damaged: {0}")]
    Damaged(String),
}

impl From<postcard::Error> for RestoreError {
    fn from(error: postcard::Error) -> Self {
        RestoreError::Damaged(error.to_string())
    }
}

impl From<ArrowError> for RestoreError {
    fn from(error: ArrowError) -> Self {
        RestoreError::Damaged(error.to_string())
    }
}

/// All that the windows hold.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) started: bool,
    pub(super) rules: Vec<SavedRule>,
    spaces: Vec<SavedSpace>,
    tables: Vec<SavedTable>,
}

#[derive(Serialize, Deserialize)]
struct SavedSpace {
    key: String,
    bytes: Blob,
    ends: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
struct SavedTable {
    key: String,
    layout: Layout,
    /// From when on, and how far back, it knows all that came.
    known: (TimestampMs, i64),
    sealed_until: TimestampMs,
    /// Up to where sessions are stitched together.
    sessions_until: Option<TimestampMs>,
    /// The texts of the aggregates; their state columns follow each other in this order. Empty for rows.
    aggregates: Vec<(String, usize)>,
    panes: Vec<(SavedPane, TimestampMs)>,
    /// Why no rows are kept any more.
    broken: Option<String>,
    /// An IPC stream with one batch a pane.
    content: Blob,
}

impl Saved {
    /// Takes down what tables hold. They go on unchanged.
    pub(super) fn new(tables: &mut Tables, rules: Vec<SavedRule>, started: bool) -> Result<Self, ArrowError> {
        let spaces = tables.spaces.iter().map(|space| {
            let (bytes, ends) = space.keys.save();
            SavedSpace { key: space.key.clone(), bytes: Blob(bytes.to_vec()), ends: ends.to_vec() }
        });
        let spaces = spaces.collect();
        let mut saved = Vec::new();
        for table in &mut tables.tables {
            let layout = table.state.layout().clone();
            let (key, rows);
            let mut broken = None;
            let (sealed_until, sessions_until, aggregates, panes) = match &mut table.state {
                TableState::Aggregate(table, _) => {
                    let held = table.save()?;
                    rows = held.panes.iter().map(|(.., pane)| batch_of_pane(pane)).collect::<Result<Vec<_>, _>>()?;
                    let panes = held.panes.iter().map(|(kind, start, _)| (*kind, *start)).collect();
                    (held.sealed_until, held.sessions_until, held.aggregates, panes)
                }
                TableState::Rows(table) => {
                    broken = table.broken().map(String::from);
                    let held = table.contents()?;
                    rows = held.iter().map(|(_, rows, times)| with_times(rows, times)).collect::<Result<Vec<_>, _>>()?;
                    let panes = held.iter().map(|(start, ..)| (SavedPane::Sealed, *start)).collect();
                    (table.sealed_until(), None, Vec::new(), panes)
                }
            };
            key = table.key.clone();
            let known = table.known();
            saved.push(SavedTable {
                key,
                layout,
                known,
                sealed_until,
                sessions_until,
                aggregates,
                panes,
                broken,
                content: Blob(stream_of(&rows)?),
            });
        }
        Ok(Self { started, rules, spaces, tables: saved })
    }

    /// As bytes.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, RestoreError> {
        FORM.to_bytes(self)
    }

    /// Reads bytes back.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, RestoreError> {
        FORM.from_bytes(bytes)
    }

    /// The tables as they were, those of them that some of `leaves` can stand on. Rules join them as they join the tables of other
    /// rules at a reload: one whose aggregates a table does not know must not empty it for the others.
    pub(super) fn tables(&self, leaves: &[&Leaf], limits: WindowLimits) -> Result<Tables, RestoreError> {
        let mut tables = Tables::new(limits);
        let mut made = Vec::new();
        for saved in &self.tables {
            let mine: Vec<&Leaf> = leaves.iter().filter(|leaf| content_of(leaf) == saved.key).copied().collect();
            let Some(leaf) = saved.leaf(&mine) else { continue };
            made.push((saved, tables.add(saved.key.clone(), &leaf, saved.layout.clone()).map_err(defect)?));
            // As far back as it reached when it was saved, nothing is forgotten.
            let reach_ms = saved.known.1;
            match (tables.tables.last_mut().map(|table| &mut table.state), &leaf) {
                (Some(TableState::Aggregate(table, _)), Leaf::Aggregate(source)) => _ = table.join(source, reach_ms),
                (Some(TableState::Rows(table)), Leaf::Rows(source)) => table.join(source, reach_ms).map_err(defect)?,
                _ => {}
            }
        }
        for space in &self.spaces {
            if let Some(mine) = tables.spaces.iter_mut().find(|mine| mine.key == space.key) {
                let whole = space.ends.is_sorted() && space.ends.last().copied().unwrap_or(0) == space.bytes.0.len();
                if !whole {
                    return Err(RestoreError::Damaged("the keys do not end where their bytes do".into()));
                }
                mine.keys.restore(&space.bytes.0, &space.ends);
            }
        }
        for (saved, at) in made {
            let Tables { tables, spaces, .. } = &mut tables;
            let mine = &mut tables[at];
            let batches = batches_of(&saved.content.0)?;
            if batches.len() != saved.panes.len() {
                return Err(RestoreError::Damaged(format!("{} panes where {} should be", batches.len(), saved.panes.len())));
            }
            let panes = saved.panes.iter().zip(batches);
            let taken = match &mut mine.state {
                TableState::Aggregate(table, space) => {
                    let keys = spaces[*space].keys.len();
                    let pane = |rows: &RecordBatch| pane_of_batch(rows, &saved.layout, &saved.aggregates, keys);
                    let panes = panes.map(|((kind, start), rows)| Ok((*kind, *start, pane(&rows)?)));
                    table.restore(SavedAggregate {
                        sealed_until: saved.sealed_until,
                        sessions_until: saved.sessions_until,
                        aggregates: saved.aggregates.clone(),
                        panes: panes.collect::<Result<_, RestoreError>>()?,
                    })?
                }
                TableState::Rows(table) => {
                    for ((_, start), rows) in panes {
                        let (times, rows) = without_times(&rows)?;
                        table.restore(*start, rows, times);
                    }
                    table.seal(saved.sealed_until);
                    table.break_again(saved.broken.clone());
                    true
                }
            };
            if taken {
                mine.know(saved.known);
            }
        }
        Ok(tables)
    }
}

impl SavedTable {
    /// What the table was of, so far as leaves of its content know: of its aggregates those that some of them asks for.
    fn leaf(&self, leaves: &[&Leaf]) -> Option<Leaf> {
        let first = *leaves.first()?;
        let Leaf::Aggregate(source) = first else { return Some(first.clone()) };
        let asked = leaves.iter().filter_map(|leaf| match leaf {
            Leaf::Aggregate(source) => Some(&source.columns),
            Leaf::Rows(_) => None,
        });
        let asked: Vec<&AggregateColumn> = asked.flatten().collect();
        let known = self.aggregates.iter().filter_map(|(key, _)| asked.iter().find(|column| column.key == *key));
        let columns: Vec<AggregateColumn> = known.map(|column| (*column).clone()).collect();
        let wanted = !columns.is_empty() || self.aggregates.is_empty();
        wanted.then(|| Leaf::Aggregate(AggregateSource { columns, ..source.clone() }))
    }
}

fn defect(error: DataFusionError) -> RestoreError {
    RestoreError::Damaged(error.strip_backtrace())
}

/// One row a group: the group, first and last time where they are kept, then the states.
pub(super) fn batch_of_pane(pane: &SealedPane) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<(&str, ArrayRef)> = vec![("group", Arc::new(UInt32Array::from(pane.groups.clone())))];
    if let Some(times) = &pane.times {
        columns.push(("first", Arc::new(times.iter().map(|times| times.first).collect::<Int64Array>())));
        columns.push(("last", Arc::new(times.iter().map(|times| times.last).collect::<Int64Array>())));
    }
    columns.extend(pane.states.iter().flatten().map(|state| ("state", Arc::clone(state))));
    batch(columns)
}

/// The pane that [`batch_of_pane`] wrote; `keys` is how many its groups are numbers of.
pub(super) fn pane_of_batch(
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

pub(super) fn with_times(rows: &RecordBatch, times: &ArrayRef) -> Result<RecordBatch, ArrowError> {
    let columns = std::iter::once(("time", Arc::clone(times)));
    batch(columns.chain(rows.columns().iter().map(|column| ("column", Arc::clone(column)))).collect())
}

pub(super) fn without_times(rows: &RecordBatch) -> Result<(ArrayRef, RecordBatch), RestoreError> {
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

pub(super) fn stream_of(batches: &[RecordBatch]) -> Result<Vec<u8>, ArrowError> {
    let schema: SchemaRef = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.into_inner()
}

/// The batches that [`stream_of`] wrote.
pub(super) fn batches_of(content: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    StreamReader::try_new(Cursor::new(content), None)?.collect()
}
