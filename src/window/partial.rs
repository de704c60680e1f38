//! What windows have counted in, as one process says it to another.
//!
//! Whoever reads a part of the events counts them into panes and hands the panes on, whole or not: states merge, so the tables of
//! the one who takes them hold what they would hold had they counted the rows themselves, whatever the split. Groups travel as
//! keys, since ids are nobody else's, and tables are found again by what they mean, as after a restart.

use arrow::array::AsArray;
use datafusion::common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use crate::model::snapshot::blob::Blob;
use crate::model::time::TimestampMs;
use crate::window::ingest::key_space::{GroupId, KeySpace, NO_GROUP};
use crate::window::snapshot::RestoreError;
use crate::window::snapshot::pieces::{batch_of_pane, batches_of, pane_of_batch, stream_of, with_times, without_times};
use crate::window::state::row_table::RowTable;
use crate::window::state::table::{AggregateTable, Ingested, Layout};
use crate::window::state::table_registry::{SharedTable, TableState};

/// What all tables of an evaluator have counted in since the last time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartialWindows {
    pub(crate) spaces: Vec<Keys>,
    /// All tables, those without rows too: who is not named is not fed.
    pub(crate) tables: Vec<PartialTable>,
    pub(crate) losses: Vec<Loss>,
}

/// The keys of one space, by id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Keys {
    bytes: Blob,
    ends: Vec<usize>,
}

/// What one table has counted in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartialTable {
    key: String,
    layout: Layout,
    /// Whose keys its groups are; nothing for rows.
    space: Option<usize>,
    aggregates: Vec<(String, usize)>,
    /// When each pane starts, and how many rows it holds.
    panes: Vec<(TimestampMs, u64)>,
    /// Why rows are missing.
    broken: Option<String>,
    /// An IPC stream with one batch a pane; nothing where there is none.
    content: Blob,
}

/// What a rule could not count in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loss {
    pub(crate) rule: String,
    pub(crate) overflow: u64,
    pub(crate) errors: u64,
    pub(crate) last_error: Option<String>,
}

impl PartialWindows {
    /// Whether no row is in it.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.panes.is_empty() && table.broken.is_none()) && self.losses.is_empty()
    }
}

impl Keys {
    pub(crate) fn take(space: &mut KeySpace) -> Self {
        let (bytes, ends) = space.take();
        Self { bytes: Blob(bytes), ends }
    }

    fn adopted_by(&self, space: &mut KeySpace) -> Result<Vec<GroupId>, RestoreError> {
        if !self.ends.is_sorted() || self.ends.last().copied().unwrap_or(0) != self.bytes.0.len() {
            return Err(RestoreError::Damaged("the keys do not end where their bytes do".into()));
        }
        Ok(space.adopt(&self.bytes.0, &self.ends))
    }
}

impl PartialTable {
    /// Takes out what a table has counted in.
    pub(crate) fn drain(table: &mut SharedTable) -> Result<Self> {
        let (key, layout) = (table.key.clone(), table.state.layout().clone());
        let mut taken =
            Self { key, layout, space: None, aggregates: Vec::new(), panes: Vec::new(), broken: None, content: Blob::default() };
        let rows = match &mut table.state {
            TableState::Aggregate(table, space) => {
                let drained = table.drain()?;
                taken.space = Some(*space);
                taken.aggregates = drained.aggregates;
                taken.panes = drained.panes.iter().map(|(start, rows, _)| (*start, *rows)).collect();
                drained.panes.iter().map(|(.., pane)| batch_of_pane(pane)).collect::<Result<Vec<_>, _>>()?
            }
            TableState::Rows(table) => {
                let (drained, broken) = table.drain()?;
                taken.broken = broken;
                taken.panes = drained.iter().map(|pane| (pane.start, pane.rows.num_rows() as u64)).collect();
                drained.iter().map(|pane| with_times(&pane.rows, &pane.times)).collect::<Result<Vec<_>, _>>()?
            }
        };
        if !rows.is_empty() {
            taken.content = Blob(stream_of(&rows)?);
        }
        Ok(taken)
    }

    /// What it means.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Whose keys its groups are; rows have none, and ask for none.
    pub(crate) fn space(&self) -> usize {
        self.space.unwrap_or(usize::MAX)
    }

    /// Whether a table's content can be made of this one's.
    pub(crate) fn feeds(&self, table: &SharedTable) -> bool {
        self.key == table.key
            && match &table.state {
                TableState::Aggregate(state, _) => {
                    self.layout.feeds(state.layout(), table.asked_ms()) && state.places_among(&self.aggregates).is_some()
                }
                // Rows have times of their own.
                TableState::Rows(state) => self.layout.is_cut_like(state.layout()),
            }
    }

    /// Counts it into an aggregate that it feeds. `ids` are kept for the next table over the same keys.
    pub(crate) fn count_into(
        &self,
        table: &mut AggregateTable,
        space: &mut KeySpace,
        keys: &[Keys],
        ids: &mut Option<Vec<GroupId>>,
    ) -> Result<Ingested> {
        let Some(places) = table.places_among(&self.aggregates) else { return Ok(Ingested::default()) };
        let Some(keys) = self.space.and_then(|space| keys.get(space)) else { return Err(damaged("a table has no keys")) };
        if ids.is_none() {
            *ids = Some(keys.adopted_by(space).map_err(from_restore)?);
        }
        let known = ids.as_deref().unwrap_or_default();
        let mut done = Ingested::default();
        for ((start, rows), batch) in self.pieces()? {
            let pane = pane_of_batch(&batch, &self.layout, &self.aggregates, known.len()).map_err(from_restore)?;
            let ids = pane.groups.iter().map(|group| known.get(*group as usize).copied().unwrap_or(NO_GROUP)).collect();
            done.and(table.absorb((start, self.layout.pane_ms), rows, &pane, (ids, &places), space.len())?);
        }
        Ok(done)
    }

    /// Keeps its rows in a table that it feeds.
    pub(crate) fn keep_in(&self, table: &mut RowTable) -> Result<Ingested> {
        let mut done = Ingested::default();
        if let Some(reason) = &self.broken {
            table.break_for(reason);
            return Ok(done);
        }
        for (_, batch) in self.pieces()? {
            let (times, rows) = without_times(&batch).map_err(from_restore)?;
            done.and(table.absorb(&rows, times.as_primitive())?);
        }
        Ok(done)
    }

    fn pieces(&self) -> Result<Vec<((TimestampMs, u64), arrow::array::RecordBatch)>> {
        if self.panes.is_empty() {
            return Ok(Vec::new());
        }
        let batches = batches_of(&self.content.0)?;
        if batches.len() != self.panes.len() {
            return Err(damaged("there are other panes than it says"));
        }
        Ok(self.panes.iter().copied().zip(batches).collect())
    }
}

impl Ingested {
    /// Adds what became of other rows.
    fn and(&mut self, other: Ingested) {
        self.rows += other.rows;
        self.late += other.late;
        self.overflow += other.overflow;
    }
}

fn damaged(what: &str) -> DataFusionError {
    DataFusionError::Execution(format!("what another process counted is damaged: {what}"))
}

fn from_restore(error: RestoreError) -> DataFusionError {
    DataFusionError::Execution(format!("what another process counted cannot be used: {error}"))
}
