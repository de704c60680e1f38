//! What a table holds, taken down for a restart and filled in after it.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use crate::model::snapshot::Whereabouts;
use crate::model::time::TimestampMs;
use crate::window::snapshot::RestoreError;
use crate::window::state::pane::{OpenPane, SealedPane};
use crate::window::state::table::AggregateTable;

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

/// A pane that a table holds.
pub struct HeldPane {
    /// What it is.
    pub kind: SavedPane,
    /// When it starts.
    pub start: TimestampMs,
    /// Its state.
    pub pane: Arc<SealedPane>,
    /// Where it was written, if it stays as it is.
    pub whereabouts: Option<Whereabouts>,
}

/// What a table holds.
pub struct HeldAggregate {
    /// Panes that end at or before this instant take no more rows.
    pub sealed_until: TimestampMs,
    /// Up to where sessions are stitched together.
    pub sessions_until: Option<TimestampMs>,
    /// The texts of the aggregates, and how many state columns each has.
    pub aggregates: Vec<(String, usize)>,
    /// The panes.
    pub panes: Vec<HeldPane>,
    /// A pane without rows: which columns all of them have.
    pub nothing: SealedPane,
}

/// What a table held.
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
    pub fn save(&mut self) -> Result<HeldAggregate> {
        let nothing = OpenPane::new(&self.columns, self.sessions.is_some())?.seal()?;
        let sealed = self.sealed.panes().map(|(start, stored)| HeldPane {
            kind: SavedPane::Sealed,
            start,
            pane: Arc::clone(&stored.pane),
            whereabouts: Some(stored.whereabouts.clone()),
        });
        let mut panes: Vec<HeldPane> = sealed.collect();
        let passing = |kind, start, pane: SealedPane| {
            // What never held a row has no columns yet.
            let pane = Arc::new(if pane.groups.is_empty() { nothing.clone() } else { pane });
            HeldPane { kind, start, pane, whereabouts: None }
        };
        for (start, pane) in &mut self.open {
            panes.push(passing(SavedPane::Open, *start, pane.snapshot(&self.columns)?));
        }
        let sessions_until = self.sessions.as_ref().map(|sessions| {
            panes.push(passing(SavedPane::Carried, sessions.until(), sessions.carried().clone()));
            sessions.until()
        });
        let aggregates = self.names_of(&nothing);
        Ok(HeldAggregate { sealed_until: self.sealed_until, sessions_until, aggregates, panes, nothing })
    }

    /// The texts of the aggregates, and how many state columns each has in a pane.
    pub(crate) fn names_of(&self, pane: &SealedPane) -> Vec<(String, usize)> {
        self.columns.iter().zip(&pane.states).map(|(column, states)| (column.key.clone(), states.len())).collect()
    }

    /// Where each of this table's aggregates stands among others; `None` where one is not there.
    pub fn places_among(&self, aggregates: &[(String, usize)]) -> Option<Vec<usize>> {
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
    pub(crate) fn fits(&self, pane: &SealedPane, nothing: &SealedPane) -> Result<()> {
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
