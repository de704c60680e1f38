//! What a worker has aggregated, as it is sent to the process that evaluates the rules.
//!
//! States merge, so the tables of the receiver hold what they would hold had they aggregated the rows themselves, however the rows
//! were divided. Groups are sent as keys, because ids are local to a process. Tables are identified by their content, as in
//! snapshots.

use arrow::array::{AsArray, RecordBatch};
use datafusion::common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::ipc_stream::{decode_stream, encode_stream};
use crate::model::snapshot::versioned::RestoreError;
use crate::model::time::TimestampMs;
use crate::window::ingest::group_id::{GroupId, NO_GROUP};
use crate::window::ingest::key_chunk::check_ends;
use crate::window::ingest::key_space::KeySpace;
use crate::window::state::aggregate_table::AggregateTable;
use crate::window::state::aggregate_table::partial::PartialPane;
use crate::window::state::ingest_counts::IngestCounts;
use crate::window::state::pane_codec::{batch_to_pane, join_times, pane_to_batch, split_times};
use crate::window::state::pane_layout::PaneLayout;
use crate::window::state::row_table::RowTable;
use crate::window::state::shared_table::{SharedTable, TableState};

/// All tables of an evaluator since they were last taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartialWindows {
    pub(crate) spaces: Vec<PartialKeys>,
    /// All tables, also those without rows: a table that is missing here is not fed.
    pub(crate) tables: Vec<PartialTable>,
    pub(crate) losses: Vec<RuleLosses>,
}

/// The keys of one space, in order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartialKeys {
    bytes: Blob,
    /// Where each key ends.
    ends: Vec<usize>,
}

/// The rows of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartialTable {
    key: String,
    layout: PaneLayout,
    /// The index of the key space; `None` for raw rows.
    space: Option<usize>,
    /// The key of each aggregate, and its number of state columns.
    aggregates: Vec<(String, usize)>,
    /// The start and the number of rows of each pane.
    panes: Vec<(TimestampMs, u64)>,
    /// Why raw rows are missing.
    failure: Option<String>,
    /// An IPC stream with one batch a pane; empty where there is no pane.
    stream: Blob,
}

/// What a rule lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RuleLosses {
    pub(crate) rule: String,
    pub(crate) overflow: u64,
    pub(crate) errors: u64,
    pub(crate) last_error: Option<String>,
}

impl PartialWindows {
    /// Whether there is nothing in it to merge.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.panes.is_empty() && table.failure.is_none()) && self.losses.is_empty()
    }
}

impl PartialKeys {
    pub(crate) fn take_from(space: &mut KeySpace) -> Self {
        let (bytes, ends) = space.take_encoded();
        Self { bytes: Blob(bytes), ends }
    }

    /// The ids of the keys in another space.
    fn intern_in(&self, space: &mut KeySpace) -> Result<Vec<GroupId>, RestoreError> {
        check_ends(&self.bytes.0, &self.ends)?;
        Ok(space.intern_encoded(&self.bytes.0, &self.ends))
    }
}

impl PartialTable {
    /// Takes the panes out of a table.
    pub(crate) fn take_from(table: &mut SharedTable) -> Result<Self> {
        let mut partial = Self {
            key: table.key.clone(),
            layout: table.state.layout().clone(),
            space: None,
            aggregates: Vec::new(),
            panes: Vec::new(),
            failure: None,
            stream: Blob::default(),
        };
        let batches = match &mut table.state {
            TableState::Aggregate(table, space) => {
                let taken = table.take_partial()?;
                partial.space = Some(*space);
                partial.aggregates = taken.aggregates;
                partial.panes = taken.panes.iter().map(|pane| (pane.start, pane.rows)).collect();
                taken.panes.iter().map(|pane| pane_to_batch(&pane.pane)).collect::<Result<Vec<_>, _>>()?
            }
            TableState::Rows(table) => {
                let (panes, failure) = table.take_partial()?;
                partial.failure = failure;
                partial.panes = panes.iter().map(|pane| (pane.start, pane.rows.num_rows() as u64)).collect();
                panes.iter().map(|pane| join_times(&pane.rows, &pane.times)).collect::<Result<Vec<_>, _>>()?
            }
        };
        if !batches.is_empty() {
            partial.stream = Blob(encode_stream(&batches)?);
        }
        Ok(partial)
    }

    /// Identifies the content.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The index of the key space; of raw rows, which have none, one that does not exist.
    pub(crate) fn space(&self) -> usize {
        self.space.unwrap_or(usize::MAX)
    }

    /// Whether all that the rules over a table ask for can be merged from this one.
    pub(crate) fn can_feed(&self, table: &SharedTable) -> bool {
        self.key == table.key
            && match &table.state {
                TableState::Aggregate(state, _) => {
                    self.layout.can_feed(state.layout(), table.tick_ms) && state.places_among(&self.aggregates).is_some()
                }
                // Rows have their own times.
                TableState::Rows(state) => self.layout.differs_in_width_only(state.layout()),
            }
    }

    /// Merges the panes into an aggregate table that they can feed. `ids` are those of the keys in `space`, for the next table.
    pub(crate) fn merge_panes(
        &self,
        table: &mut AggregateTable,
        space: &mut KeySpace,
        keys: &[PartialKeys],
        ids: &mut Option<Vec<GroupId>>,
    ) -> Result<IngestCounts> {
        let Some(columns) = table.places_among(&self.aggregates) else { return Ok(IngestCounts::default()) };
        let Some(keys) = self.space.and_then(|space| keys.get(space)) else { return Err(damaged("a table has no keys")) };
        if ids.is_none() {
            *ids = Some(keys.intern_in(space).map_err(unusable)?);
        }
        let ids = ids.as_deref().unwrap_or_default();
        let mut counts = IngestCounts::default();
        for ((start, rows), batch) in self.decode_panes()? {
            let mut pane = batch_to_pane(&batch, &self.layout, &self.aggregates, ids.len()).map_err(unusable)?;
            pane.groups.iter_mut().for_each(|group| *group = ids.get(*group as usize).copied().unwrap_or(NO_GROUP));
            let partial = PartialPane { start, pane_ms: self.layout.pane_ms, rows, pane };
            counts.add(table.merge_partial(partial, &columns, space.len())?);
        }
        Ok(counts)
    }

    /// Adds the rows to a table that they can feed.
    pub(crate) fn merge_rows(&self, table: &mut RowTable) -> Result<IngestCounts> {
        let mut counts = IngestCounts::default();
        if let Some(reason) = &self.failure {
            table.fail(reason.clone());
            return Ok(counts);
        }
        for (_, batch) in self.decode_panes()? {
            let (times, rows) = split_times(&batch).map_err(unusable)?;
            counts.add(table.merge_partial(&rows, times.as_primitive())?);
        }
        Ok(counts)
    }

    fn decode_panes(&self) -> Result<Vec<((TimestampMs, u64), RecordBatch)>> {
        if self.panes.is_empty() {
            return Ok(Vec::new());
        }
        let batches = decode_stream(&self.stream.0)?;
        if batches.len() != self.panes.len() {
            return Err(damaged("the number of panes is not what it says"));
        }
        Ok(self.panes.iter().copied().zip(batches).collect())
    }
}

fn damaged(what: &str) -> DataFusionError {
    DataFusionError::Execution(format!("what another process counted is damaged: {what}"))
}

fn unusable(error: RestoreError) -> DataFusionError {
    DataFusionError::Execution(format!("what another process counted cannot be used: {error}"))
}
