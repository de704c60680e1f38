//! What a worker's table has aggregated, taken out of it, and merged into the table of another process with the same content.

use datafusion::common::Result;

use crate::model::time::{TimestampMs, align_down};
use crate::window::ingest::group_id::NO_GROUP;
use crate::window::state::aggregate_table::AggregateTable;
use crate::window::state::ingest_counts::IngestCounts;
use crate::window::state::pane::{OpenPane, SealedPane};

/// The open panes of a table, taken out of it.
pub struct PartialPanes {
    /// The key of each aggregate, and its number of state columns.
    pub aggregates: Vec<(String, usize)>,
    /// The panes, in order of time.
    pub panes: Vec<PartialPane>,
}

/// One pane of a partial result.
pub struct PartialPane {
    /// The start of the pane.
    pub start: TimestampMs,
    /// The width of the pane.
    pub pane_ms: i64,
    /// The number of rows aggregated into it.
    pub rows: u64,
    /// The state.
    pub pane: SealedPane,
}

impl AggregateTable {
    /// Takes all open panes out. Later rows begin new ones.
    pub fn take_partial(&mut self) -> Result<PartialPanes> {
        self.members = None;
        let empty = self.empty_pane()?;
        let pane_ms = self.layout.pane_ms;
        let panes = std::mem::take(&mut self.open).into_iter().map(|(start, pane)| {
            let rows = pane.rows();
            Ok(PartialPane { start, pane_ms, rows, pane: pane.into_partial()? })
        });
        let panes = panes.collect::<Result<_>>()?;
        Ok(PartialPanes { aggregates: self.state_columns(&empty), panes })
    }

    /// Merges a pane of another table. `columns` are the places of this table's aggregates in it; its groups have the ids of this
    /// table's key space, of `keys` keys. A pane that is wider than the panes here, or overlaps two of them, is merged into the one
    /// in which it ends: no rule over this table asks for less than all of it.
    pub fn merge_partial(&mut self, partial: PartialPane, columns: &[usize], keys: usize) -> Result<IngestCounts> {
        let mut counts = IngestCounts::default();
        let PartialPane { start, pane_ms, rows, pane } = partial;
        let start = align_down(start + pane_ms - 1, self.layout.pane_ms);
        if start + self.layout.pane_ms <= self.sealed_until {
            counts.late = rows;
            return Ok(counts);
        }
        let states = columns.iter().map(|column| pane.states[*column].clone()).collect();
        let mut pane = SealedPane { states, ..pane };
        self.check_state_types(&pane, &self.empty_pane()?)?;
        counts.overflow = pane.groups.iter().filter(|id| **id == NO_GROUP).count() as u64;
        if keys > self.groups_max {
            pane.groups = self.admit(&pane.groups, &mut counts);
        }
        if counts.overflow > 0 {
            let admitted: Vec<u32> = (0..pane.groups.len() as u32).filter(|row| pane.groups[*row as usize] != NO_GROUP).collect();
            pane = pane.take_rows(&admitted)?;
        }
        counts.rows = rows;
        self.open_pane(start)?.merge(&pane)?;
        Ok(counts)
    }

    /// A pane without rows: its state columns have the types of all panes.
    pub(crate) fn empty_pane(&self) -> Result<SealedPane> {
        OpenPane::new(&self.columns, self.sessions.is_some())?.seal()
    }

    /// The key of each aggregate, and the number of its state columns in a pane.
    pub(crate) fn state_columns(&self, pane: &SealedPane) -> Vec<(String, usize)> {
        self.columns.iter().zip(&pane.states).map(|(column, states)| (column.key.clone(), states.len())).collect()
    }

    /// The places of this table's aggregates among others; `None` where one is missing.
    pub fn places_among(&self, aggregates: &[(String, usize)]) -> Option<Vec<usize>> {
        self.columns.iter().map(|column| aggregates.iter().position(|(key, _)| *key == column.key)).collect()
    }

    /// An error where the states of a pane have other types than those of an empty one.
    pub(crate) fn check_state_types(&self, pane: &SealedPane, empty: &SealedPane) -> Result<()> {
        for ((column, states), expected) in self.columns.iter().zip(&pane.states).zip(&empty.states) {
            let same = expected.len() == states.len()
                && expected.iter().zip(states).all(|(expected, state)| expected.data_type() == state.data_type());
            if !same {
                return datafusion::common::exec_err!("the state of {} has another type", column.key);
            }
        }
        Ok(())
    }
}
