//! What a table holds, taken down for a restart and filled in after it.

use datafusion::common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use crate::window::pane::{OpenPane, SealedPane};
use crate::window::save::RestoreError;
use crate::window::table::AggregateTable;
use crate::words::time::TimestampMs;

/// What a saved pane was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavedPane {
    /// Takes rows.
    Open,
    /// Takes no more rows.
    Sealed,
    /// The sessions that are not over.
    Carried,
}

/// What a table holds.
pub struct SavedAggregate {
    /// Panes that end at or before this instant take no more rows.
    pub sealed_until: TimestampMs,
    /// Up to where sessions are stitched together.
    pub sessions_until: Option<TimestampMs>,
    /// The texts of the aggregates, and how many state columns each has.
    pub aggregates: Vec<(String, usize)>,
    /// Kind and start of each pane, and its state.
    pub panes: Vec<(SavedPane, TimestampMs, SealedPane)>,
}

impl AggregateTable {
    /// What the table holds, to be stored. It goes on unchanged.
    pub fn save(&mut self) -> Result<SavedAggregate> {
        let mut panes: Vec<(SavedPane, TimestampMs, SealedPane)> =
            self.sealed.panes().map(|(start, pane)| (SavedPane::Sealed, start, pane.clone())).collect();
        for (start, pane) in &mut self.open {
            panes.push((SavedPane::Open, *start, pane.snapshot(&self.columns)?));
        }
        let sessions_until = self.sessions.as_ref().map(|sessions| {
            panes.push((SavedPane::Carried, sessions.until(), sessions.carried().clone()));
            sessions.until()
        });
        let nothing = OpenPane::new(&self.columns, self.sessions.is_some())?.seal()?;
        for (.., pane) in &mut panes {
            if pane.groups.is_empty() {
                *pane = nothing.clone();
            }
        }
        let aggregates = self.names_of(&nothing);
        Ok(SavedAggregate { sealed_until: self.sealed_until, sessions_until, aggregates, panes })
    }

    /// The texts of the aggregates, and how many state columns each has in a pane.
    pub(super) fn names_of(&self, pane: &SealedPane) -> Vec<(String, usize)> {
        self.columns.iter().zip(&pane.states).map(|(column, states)| (column.key.clone(), states.len())).collect()
    }

    /// Where each of this table's aggregates stands among others; `None` where one is not there.
    pub(super) fn places_among(&self, aggregates: &[(String, usize)]) -> Option<Vec<usize>> {
        self.columns.iter().map(|column| aggregates.iter().position(|(key, _)| *key == column.key)).collect()
    }

    /// Fills an empty table with what was saved. Where it lacks an aggregate of this table, the table stays empty
    /// and the answer is false.
    pub fn restore(&mut self, saved: SavedAggregate) -> std::result::Result<bool, RestoreError> {
        let Some(places) = self.places_among(&saved.aggregates) else { return Ok(false) };
        let damaged = |error: DataFusionError| RestoreError::Damaged(error.strip_backtrace());
        self.sealed_until = saved.sealed_until;
        let nothing = OpenPane::new(&self.columns, self.sessions.is_some()).and_then(OpenPane::seal).map_err(damaged)?;
        for (kind, start, mut pane) in saved.panes {
            pane.states = places.iter().map(|place| pane.states[*place].clone()).collect();
            self.fits(&pane, &nothing).map_err(damaged)?;
            match kind {
                SavedPane::Sealed => self.sealed.insert(start, pane),
                SavedPane::Open => {
                    self.open.insert(start, OpenPane::resume(&self.columns, &pane).map_err(damaged)?);
                }
                SavedPane::Carried => {
                    if let (Some(sessions), Some(until)) = (&mut self.sessions, saved.sessions_until) {
                        sessions.resume(pane, until);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Whether the types of a pane's states are those of the aggregates: what accumulators of no rows say.
    pub(super) fn fits(&self, pane: &SealedPane, nothing: &SealedPane) -> Result<()> {
        for ((column, states), known) in self.columns.iter().zip(&pane.states).zip(&nothing.states) {
            let same = known.len() == states.len()
                && known.iter().zip(states).all(|(known, state)| known.data_type() == state.data_type());
            if !same {
                return datafusion::common::exec_err!("the state of {} has another type", column.key);
            }
        }
        Ok(())
    }
}
