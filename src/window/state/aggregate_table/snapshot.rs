//! The content of an aggregate table for a snapshot, and back.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use serde::{Deserialize, Serialize};

use crate::model::snapshot::LocationSlot;
use crate::model::snapshot::versioned::RestoreError;
use crate::model::time::TimestampMs;
use crate::window::state::aggregate_table::AggregateTable;
use crate::window::state::pane::{OpenPane, SealedPane};

/// The role of a pane in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaneKind {
    /// Takes rows.
    Open,
    /// Takes no more rows.
    Sealed,
    /// The open sessions.
    Sessions,
}

/// A pane of a snapshot.
pub struct PaneSnapshot {
    /// Its role.
    pub kind: PaneKind,
    /// Its start; for sessions, up to where panes are merged in.
    pub start: TimestampMs,
    /// The state.
    pub pane: Arc<SealedPane>,
    /// The slot of a pane that does not change any more.
    pub slot: Option<LocationSlot>,
}

/// The content of a table, to be stored.
pub struct AggregateSnapshot {
    /// Panes that end at or before this instant are sealed.
    pub sealed_until: TimestampMs,
    /// Up to where panes are merged into sessions.
    pub sessions_until: Option<TimestampMs>,
    /// The key of each aggregate, and its number of state columns.
    pub aggregates: Vec<(String, usize)>,
    /// All panes.
    pub panes: Vec<PaneSnapshot>,
    /// A pane without rows, which has the columns of all panes.
    pub empty: SealedPane,
}

/// The content of a table, as it was read back.
pub struct LoadedAggregates {
    /// Panes that end at or before this instant are sealed.
    pub sealed_until: TimestampMs,
    /// Up to where panes are merged into sessions.
    pub sessions_until: Option<TimestampMs>,
    /// The key of each aggregate, and its number of state columns.
    pub aggregates: Vec<(String, usize)>,
    /// Role, start and state of each pane.
    pub panes: Vec<(PaneKind, TimestampMs, SealedPane)>,
}

impl AggregateTable {
    /// The content of the table, which goes on unchanged.
    pub fn save(&mut self) -> Result<AggregateSnapshot> {
        let empty = self.empty_pane()?;
        let sealed = self.sealed.panes().map(|(start, stored)| PaneSnapshot {
            kind: PaneKind::Sealed,
            start,
            pane: Arc::clone(&stored.pane),
            slot: Some(stored.slot.clone()),
        });
        let mut panes: Vec<PaneSnapshot> = sealed.collect();
        let transient = |kind, start, pane: SealedPane| {
            // A pane that never had a row has no columns yet.
            let pane = Arc::new(if pane.groups.is_empty() { empty.clone() } else { pane });
            PaneSnapshot { kind, start, pane, slot: None }
        };
        for (start, pane) in &mut self.open {
            panes.push(transient(PaneKind::Open, *start, pane.snapshot(&self.columns)?));
        }
        let sessions_until = self.sessions.as_ref().map(|sessions| {
            panes.push(transient(PaneKind::Sessions, sessions.until(), sessions.open().clone()));
            sessions.until()
        });
        let aggregates = self.state_columns(&empty);
        Ok(AggregateSnapshot { sealed_until: self.sealed_until, sessions_until, aggregates, panes, empty })
    }

    /// Fills an empty table. Returns `false` and leaves it empty where the snapshot lacks an aggregate of the table.
    pub fn restore(&mut self, loaded: LoadedAggregates) -> std::result::Result<bool, RestoreError> {
        let Some(places) = self.places_among(&loaded.aggregates) else { return Ok(false) };
        let damaged = |error: DataFusionError| RestoreError::Damaged(error.strip_backtrace());
        self.sealed_until = loaded.sealed_until;
        let empty = self.empty_pane().map_err(damaged)?;
        for (kind, start, mut pane) in loaded.panes {
            pane.states = places.iter().map(|place| pane.states[*place].clone()).collect();
            self.check_state_types(&pane, &empty).map_err(damaged)?;
            match kind {
                PaneKind::Sealed => self.sealed.insert(start, pane),
                PaneKind::Open => {
                    self.open.insert(start, OpenPane::restore(&self.columns, &pane).map_err(damaged)?);
                }
                PaneKind::Sessions => {
                    if let (Some(sessions), Some(until)) = (&mut self.sessions, loaded.sessions_until) {
                        sessions.restore(pane, until);
                    }
                }
            }
        }
        Ok(true)
    }
}
