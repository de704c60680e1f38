//! The content of all tables and key spaces for a snapshot, and back.
//!
//! Panes are Arrow columns already: each is a chunk, a message of its table's IPC stream, and a sealed one is immutable. Tables are
//! identified by their content (stream, filter, grouping, aggregates, pane layout), never by their index: a table that no rule
//! needs any more is left out, and a rule that is new or has changed begins with empty windows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use datafusion::common::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::model::snapshot::Chunk;
use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::ipc_stream::{decode_stream, encode_schema};
use crate::model::snapshot::versioned::RestoreError;
use crate::model::time::TimestampMs;
use crate::rule::plan::stream_scan::{AggregateColumn, AggregateSource, Leaf};
use crate::window::limits::WindowLimits;
use crate::window::state::aggregate_table::AggregateTable;
use crate::window::state::aggregate_table::snapshot::{LoadedAggregates, PaneKind, PaneSnapshot};
use crate::window::state::pane_codec::{PaneChunk, RowChunk, batch_to_pane, join_times, pane_to_batch, split_times};
use crate::window::state::pane_layout::PaneLayout;
use crate::window::state::row_table::RowTable;
use crate::window::state::shared_table::{Coverage, SharedTable, TableState};
use crate::window::state::table_registry::{TableRegistry, table_key};

/// The tables and key spaces around the chunks.
#[derive(Serialize, Deserialize)]
pub(crate) struct RegistrySnapshot {
    spaces: Vec<KeySpaceSnapshot>,
    tables: Vec<TableSnapshot>,
}

#[derive(Serialize, Deserialize)]
struct KeySpaceSnapshot {
    key: String,
    /// The number of chunks of keys.
    chunks: usize,
}

#[derive(Serialize, Deserialize)]
struct TableSnapshot {
    key: String,
    layout: PaneLayout,
    /// The coverage: since when, and how far back.
    coverage: (TimestampMs, i64),
    tick_ms: i64,
    missing_partitions: BTreeSet<usize>,
    sealed_until: TimestampMs,
    sessions_until: Option<TimestampMs>,
    /// The key of each aggregate, and its number of state columns. Empty for rows.
    aggregates: Vec<(String, usize)>,
    /// Role and start of each pane. Each has a chunk.
    panes: Vec<(PaneKind, TimestampMs)>,
    /// Why no rows are retained any more.
    failure: Option<String>,
    /// The schema message of the panes' IPC stream; empty where there is no pane.
    schema: Blob,
}

/// The chunks of each of several owners.
type ChunksByOwner<'c> = Vec<&'c [Bytes]>;

impl RegistrySnapshot {
    /// The content of a registry, which goes on unchanged. The chunks are the keys of all spaces, then the panes of all tables.
    pub(crate) fn of(registry: &mut TableRegistry) -> Result<(Self, Vec<Chunk>), ArrowError> {
        let mut chunks = Vec::new();
        let mut spaces = Vec::new();
        for space in &mut registry.spaces {
            let keys = space.keys.save();
            spaces.push(KeySpaceSnapshot { key: space.key.clone(), chunks: keys.len() });
            chunks.extend(keys);
        }
        let tables = registry.tables.iter_mut().map(|table| TableSnapshot::of(table, &mut chunks)).collect::<Result<_, _>>()?;
        Ok((Self { spaces, tables }, chunks))
    }

    /// The tables that some of `leaves` can read. The rules are then attached to them as to the tables of other rules at a reload:
    /// a rule with an aggregate that a table lacks must not empty the table for others.
    pub(crate) fn restore(
        &self,
        chunks: &[Bytes],
        leaves: &[&Leaf],
        limits: WindowLimits,
    ) -> Result<TableRegistry, RestoreError> {
        let (of_spaces, of_tables) = self.split(chunks)?;
        let mut registry = TableRegistry::new(limits);
        let mut added = Vec::new();
        for (table, chunks) in self.tables.iter().zip(of_tables) {
            let readers: Vec<&Leaf> = leaves.iter().filter(|leaf| table_key(leaf) == table.key).copied().collect();
            if let Some(leaf) = table.leaf(&readers) {
                added.push((table, chunks, table.add_to(&mut registry, &leaf)?));
            }
        }
        for (space, chunks) in self.spaces.iter().zip(of_spaces) {
            if let Some(shared) = registry.spaces.iter_mut().find(|shared| shared.key == space.key) {
                chunks.iter().try_for_each(|chunk| shared.keys.restore(chunk))?;
            }
        }
        for (table, chunks, index) in added {
            table.fill(&mut registry, index, chunks)?;
        }
        Ok(registry)
    }

    /// The chunks of each key space, and of each table.
    fn split<'c>(&self, chunks: &'c [Bytes]) -> Result<(ChunksByOwner<'c>, ChunksByOwner<'c>), RestoreError> {
        let mut rest = chunks;
        let mut take = |number: usize| {
            let (taken, after) = rest.split_at_checked(number)?;
            rest = after;
            Some(taken)
        };
        let of_spaces: Option<Vec<_>> = self.spaces.iter().map(|space| take(space.chunks)).collect();
        let of_tables: Option<Vec<_>> = self.tables.iter().map(|table| take(table.panes.len())).collect();
        match (of_spaces, of_tables) {
            (Some(of_spaces), Some(of_tables)) if rest.is_empty() => Ok((of_spaces, of_tables)),
            _ => Err(RestoreError::Damaged(format!("the number of chunks, {}, does not match the head", chunks.len()))),
        }
    }
}

impl TableSnapshot {
    fn of(table: &mut SharedTable, chunks: &mut Vec<Chunk>) -> Result<Self, ArrowError> {
        let mut snapshot = Self {
            key: table.key.clone(),
            layout: table.state.layout().clone(),
            coverage: (table.coverage.since, table.coverage.retained_ms),
            tick_ms: table.tick_ms,
            missing_partitions: table.missing_partitions.clone(),
            sealed_until: TimestampMs::MIN,
            sessions_until: None,
            aggregates: Vec::new(),
            panes: Vec::new(),
            failure: None,
            schema: Blob::default(),
        };
        match &mut table.state {
            TableState::Aggregate(table, _) => snapshot.save_aggregates(table, chunks)?,
            TableState::Rows(table) => snapshot.save_rows(table, chunks)?,
        }
        Ok(snapshot)
    }

    fn save_aggregates(&mut self, table: &mut AggregateTable, chunks: &mut Vec<Chunk>) -> Result<(), ArrowError> {
        let saved = table.save()?;
        let schema = pane_to_batch(&saved.empty)?.schema();
        self.save_schema(&schema)?;
        for PaneSnapshot { kind, start, pane, slot } in saved.panes {
            self.panes.push((kind, start));
            let content = || PaneChunk { pane, schema: Arc::clone(&schema) };
            chunks.push(match slot {
                Some(slot) => Chunk::immutable(&slot, content),
                None => Chunk::transient(content()),
            });
        }
        (self.sealed_until, self.sessions_until, self.aggregates) = (saved.sealed_until, saved.sessions_until, saved.aggregates);
        Ok(())
    }

    fn save_rows(&mut self, table: &mut RowTable, chunks: &mut Vec<Chunk>) -> Result<(), ArrowError> {
        self.failure = table.failure().map(String::from);
        self.sealed_until = table.sealed_until();
        let mut schema: Option<SchemaRef> = None;
        for pane in table.save()? {
            self.panes.push((PaneKind::Sealed, pane.start));
            let rows = join_times(&pane.rows, &pane.times)?;
            if schema.is_none() {
                self.save_schema(&rows.schema())?;
            }
            let schema = Arc::clone(schema.get_or_insert_with(|| rows.schema()));
            let content = || RowChunk { rows, schema };
            chunks.push(match &pane.slot {
                Some(slot) => Chunk::immutable(slot, content),
                None => Chunk::transient(content()),
            });
        }
        Ok(())
    }

    fn save_schema(&mut self, schema: &Schema) -> Result<(), ArrowError> {
        self.schema = Blob(encode_schema(schema)?);
        Ok(())
    }

    /// The leaf that describes the table: of its aggregates those that some leaf reads. `None` where no leaf reads any.
    fn leaf(&self, readers: &[&Leaf]) -> Option<Leaf> {
        let first = *readers.first()?;
        let Leaf::Aggregate(source) = first else { return Some(first.clone()) };
        let read = readers.iter().filter_map(|leaf| match leaf {
            Leaf::Aggregate(source) => Some(&source.columns),
            Leaf::Rows(_) => None,
        });
        let read: Vec<&AggregateColumn> = read.flatten().collect();
        let known = self.aggregates.iter().filter_map(|(key, _)| read.iter().find(|column| column.key == *key));
        let columns: Vec<AggregateColumn> = known.map(|column| (*column).clone()).collect();
        let needed = !columns.is_empty() || self.aggregates.is_empty();
        needed.then(|| Leaf::Aggregate(AggregateSource { columns, ..source.clone() }))
    }

    /// Adds the table, still empty. Returns its index.
    fn add_to(&self, registry: &mut TableRegistry, leaf: &Leaf) -> Result<usize, RestoreError> {
        let index = registry.add(self.key.clone(), leaf, self.layout.clone()).map_err(damaged)?;
        // As far back as the table reached, nothing is dropped.
        let (_, reach_ms) = self.coverage;
        match (&mut registry.tables[index].state, leaf) {
            (TableState::Aggregate(table, _), Leaf::Aggregate(source)) => _ = table.attach(source, reach_ms),
            (TableState::Rows(table), Leaf::Rows(source)) => table.attach(source, reach_ms).map_err(damaged)?,
            _ => {}
        }
        Ok(index)
    }

    /// Fills the table at `index` once its key space has its keys.
    fn fill(&self, registry: &mut TableRegistry, index: usize, chunks: &[Bytes]) -> Result<(), RestoreError> {
        let TableRegistry { tables, spaces, .. } = registry;
        let shared = &mut tables[index];
        let panes = self.panes.iter().zip(self.decode_panes(chunks)?);
        let restored = match &mut shared.state {
            TableState::Aggregate(table, space) => {
                let keys = spaces[*space].keys.len();
                let pane = |batch: &RecordBatch| batch_to_pane(batch, &self.layout, &self.aggregates, keys);
                let panes = panes.map(|((kind, start), batch)| Ok((*kind, *start, pane(&batch)?)));
                table.restore(LoadedAggregates {
                    sealed_until: self.sealed_until,
                    sessions_until: self.sessions_until,
                    aggregates: self.aggregates.clone(),
                    panes: panes.collect::<Result<_, RestoreError>>()?,
                })?
            }
            TableState::Rows(table) => {
                for ((_, start), batch) in panes {
                    let (times, rows) = split_times(&batch)?;
                    table.restore(*start, rows, times);
                }
                table.seal(self.sealed_until);
                if let Some(reason) = &self.failure {
                    table.fail(reason.clone());
                }
                true
            }
        };
        if restored {
            let (since, retained_ms) = self.coverage;
            shared.coverage = Coverage { since, retained_ms };
            (shared.tick_ms, shared.missing_partitions) = (self.tick_ms, self.missing_partitions.clone());
        }
        Ok(())
    }

    fn decode_panes(&self, chunks: &[Bytes]) -> Result<Vec<RecordBatch>, RestoreError> {
        let mut stream = self.schema.0.clone();
        chunks.iter().for_each(|chunk| stream.extend_from_slice(chunk));
        let batches = if chunks.is_empty() { Vec::new() } else { decode_stream(&stream)? };
        if batches.len() != self.panes.len() {
            return Err(RestoreError::Damaged(format!("{} panes where {} should be", batches.len(), self.panes.len())));
        }
        Ok(batches)
    }
}

fn damaged(error: DataFusionError) -> RestoreError {
    RestoreError::Damaged(error.strip_backtrace())
}
