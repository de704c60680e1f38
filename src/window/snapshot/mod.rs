//! The state of all windows as bytes, and back: what a restart needs.
//!
//! Panes are Arrow columns already: each is a piece of its own, a message of its table's IPC stream, and one that is sealed lasts. What
//! stands around them is the head, written with postcard. State is found again by what it means (stream, filter, grouping, aggregates, layout of time), never by place: a table that no rule
//! wants any more is left out, a rule that is new or has changed begins empty, and all others go on as if nothing had happened.

pub mod versioned;

pub(in crate::window) mod pieces;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use datafusion::common::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::model::snapshot::Piece;
use crate::model::snapshot::blob::Blob;
use crate::model::time::TimestampMs;
use crate::rule::plan::stream_scan::{AggregateColumn, AggregateSource, Leaf};
use crate::window::WindowLimits;
use crate::window::evaluator::snapshot::SavedRule;
use crate::window::snapshot::pieces::{
    PaneContent, RowsContent, SavedKeys, batch_of_pane, batches_of, head_of, pane_of_batch, with_times, without_times,
};
use crate::window::snapshot::versioned::Form;
use crate::window::state::row_table::RowTable;
use crate::window::state::table::snapshot::{HeldPane, SavedAggregate, SavedPane};
use crate::window::state::table::{AggregateTable, Layout};
use crate::window::state::table_registry::{TableState, Tables, content_of};

/// The form of the bytes. A form that is not this one is refused.
const FORM: Form = Form { magic: *b"squelchW", version: 4 };

/// Why saved bytes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// They are something else.
    #[error("these bytes are no saved windows")]
    NoState,
    /// Another version of squelch wrote them.
    #[error("the state was saved in form {0}, which this version of squelch does not read")]
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
pub(crate) struct Saved {
    pub(crate) started: bool,
    pub(in crate::window) rules: Vec<SavedRule>,
    spaces: Vec<SavedSpace>,
    tables: Vec<SavedTable>,
}

/// Of each of several, its pieces.
type Shares<'p> = Vec<&'p [Bytes]>;

#[derive(Serialize, Deserialize)]
struct SavedSpace {
    key: String,
    /// Pieces that its keys are in.
    pieces: usize,
}

#[derive(Serialize, Deserialize)]
struct SavedTable {
    key: String,
    layout: Layout,
    /// From when on, and how far back, it knows all that came.
    known: (TimestampMs, i64),
    /// What its rules asked for was a multiple of this.
    asked_ms: i64,
    /// The partitions whose rows it did not get.
    lacking: BTreeSet<usize>,
    sealed_until: TimestampMs,
    /// Up to where sessions are stitched together.
    sessions_until: Option<TimestampMs>,
    /// The texts of the aggregates; their state columns follow each other in this order. Empty for rows.
    aggregates: Vec<(String, usize)>,
    /// Each is a piece.
    panes: Vec<(SavedPane, TimestampMs)>,
    /// Why no rows are kept any more.
    broken: Option<String>,
    /// How the IPC stream of the panes begins; nothing where there are none.
    begin: Blob,
}

impl Saved {
    /// Takes down what tables hold: first the keys of all spaces, then the panes of all tables. They go on unchanged.
    pub(crate) fn new(tables: &mut Tables, rules: Vec<SavedRule>, started: bool) -> Result<(Self, Vec<Piece>), ArrowError> {
        let mut pieces = Vec::new();
        let mut spaces = Vec::new();
        for space in &mut tables.spaces {
            let keys = space.keys.save();
            spaces.push(SavedSpace { key: space.key.clone(), pieces: keys.len() });
            pieces.extend(keys);
        }
        let mut saved = Vec::new();
        for table in &mut tables.tables {
            let mut mine = SavedTable {
                key: table.key.clone(),
                layout: table.state.layout().clone(),
                known: table.known(),
                asked_ms: table.asked_ms(),
                lacking: table.lacking.clone(),
                sealed_until: TimestampMs::MIN,
                sessions_until: None,
                aggregates: Vec::new(),
                panes: Vec::new(),
                broken: None,
                begin: Blob::default(),
            };
            match &mut table.state {
                TableState::Aggregate(table, _) => mine.take_aggregate(table, &mut pieces)?,
                TableState::Rows(table) => mine.take_rows(table, &mut pieces)?,
            }
            saved.push(mine);
        }
        Ok((Self { started, rules, spaces, tables: saved }, pieces))
    }

    /// As bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, RestoreError> {
        FORM.to_bytes(self)
    }

    /// Reads bytes back.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, RestoreError> {
        FORM.from_bytes(bytes)
    }

    /// Which pieces are whose: of each space, and of each table.
    fn shares<'p>(&self, pieces: &'p [Bytes]) -> Result<(Shares<'p>, Shares<'p>), RestoreError> {
        let mut rest = pieces;
        let mut take = |number: usize| {
            let (mine, after) = rest.split_at_checked(number)?;
            rest = after;
            Some(mine)
        };
        let of_spaces: Option<Vec<_>> = self.spaces.iter().map(|space| take(space.pieces)).collect();
        let of_tables: Option<Vec<_>> = self.tables.iter().map(|table| take(table.panes.len())).collect();
        match (of_spaces, of_tables) {
            (Some(of_spaces), Some(of_tables)) if rest.is_empty() => Ok((of_spaces, of_tables)),
            _ => Err(RestoreError::Damaged(format!("{} pieces are not what the head tells of", pieces.len()))),
        }
    }

    /// The tables as they were, those of them that some of `leaves` can stand on. Rules join them as they join the tables of other
    /// rules at a reload: one whose aggregates a table does not know must not empty it for the others.
    pub(crate) fn tables(&self, pieces: &[Bytes], leaves: &[&Leaf], limits: WindowLimits) -> Result<Tables, RestoreError> {
        let (of_spaces, of_tables) = self.shares(pieces)?;
        let mut tables = Tables::new(limits);
        let mut made = Vec::new();
        for (saved, pieces) in self.tables.iter().zip(of_tables) {
            let mine: Vec<&Leaf> = leaves.iter().filter(|leaf| content_of(leaf) == saved.key).copied().collect();
            let Some(leaf) = saved.leaf(&mine) else { continue };
            made.push((saved, pieces, tables.add(saved.key.clone(), &leaf, saved.layout.clone()).map_err(defect)?));
            // As far back as it reached when it was saved, nothing is forgotten.
            let reach_ms = saved.known.1;
            match (tables.tables.last_mut().map(|table| &mut table.state), &leaf) {
                (Some(TableState::Aggregate(table, _)), Leaf::Aggregate(source)) => _ = table.join(source, reach_ms),
                (Some(TableState::Rows(table)), Leaf::Rows(source)) => table.join(source, reach_ms).map_err(defect)?,
                _ => {}
            }
        }
        for (space, pieces) in self.spaces.iter().zip(of_spaces) {
            if let Some(mine) = tables.spaces.iter_mut().find(|mine| mine.key == space.key) {
                pieces.iter().try_for_each(|piece| SavedKeys::add_to(piece, &mut mine.keys))?;
            }
        }
        for (saved, pieces, at) in made {
            let Tables { tables, spaces, .. } = &mut tables;
            let mine = &mut tables[at];
            let batches = saved.batches(pieces)?;
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
                mine.know(saved.known, saved.asked_ms, saved.lacking.clone());
            }
        }
        Ok(tables)
    }
}

impl SavedTable {
    fn take_aggregate(&mut self, table: &mut AggregateTable, pieces: &mut Vec<Piece>) -> Result<(), ArrowError> {
        let held = table.save()?;
        let schema = batch_of_pane(&held.nothing)?.schema();
        self.begin(&schema)?;
        for HeldPane { kind, start, pane, whereabouts } in held.panes {
            self.panes.push((kind, start));
            let content = || PaneContent { pane, schema: Arc::clone(&schema) };
            pieces.push(match whereabouts {
                Some(whereabouts) => Piece::lasting(&whereabouts, content),
                None => Piece::passing(content()),
            });
        }
        (self.sealed_until, self.sessions_until, self.aggregates) = (held.sealed_until, held.sessions_until, held.aggregates);
        Ok(())
    }

    fn take_rows(&mut self, table: &mut RowTable, pieces: &mut Vec<Piece>) -> Result<(), ArrowError> {
        self.broken = table.broken().map(String::from);
        self.sealed_until = table.sealed_until();
        let mut schema: Option<SchemaRef> = None;
        for pane in table.contents()? {
            self.panes.push((SavedPane::Sealed, pane.start));
            let rows = with_times(&pane.rows, &pane.times)?;
            if schema.is_none() {
                self.begin(&rows.schema())?;
            }
            let schema = Arc::clone(schema.get_or_insert_with(|| rows.schema()));
            let content = || RowsContent { rows, schema };
            pieces.push(match &pane.whereabouts {
                Some(whereabouts) => Piece::lasting(whereabouts, content),
                None => Piece::passing(content()),
            });
        }
        Ok(())
    }

    fn begin(&mut self, schema: &Schema) -> Result<(), ArrowError> {
        self.begin = Blob(head_of(schema)?);
        Ok(())
    }

    fn batches(&self, pieces: &[Bytes]) -> Result<Vec<RecordBatch>, RestoreError> {
        let mut stream = self.begin.0.clone();
        pieces.iter().for_each(|piece| stream.extend_from_slice(piece));
        let batches = if pieces.is_empty() { Vec::new() } else { batches_of(&stream)? };
        if batches.len() != self.panes.len() {
            return Err(RestoreError::Damaged(format!("{} panes where {} should be", batches.len(), self.panes.len())));
        }
        Ok(batches)
    }

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
