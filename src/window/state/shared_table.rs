//! A table with the rules that use it, and how much of the past it knows.

use std::collections::BTreeSet;
use std::ops::Range;

use datafusion::common::Result;

use crate::model::event::Kind;
use crate::model::time::{TimestampMs, common_divisor};
use crate::window::state::aggregate_table::AggregateTable;
use crate::window::state::pane_layout::PaneLayout;
use crate::window::state::row_table::RowTable;

/// Incremental state, or rows.
#[derive(Debug)]
pub enum TableState {
    /// Incremental state, with the index of its key space.
    Aggregate(Box<AggregateTable>, usize),
    /// Rows.
    Rows(Box<RowTable>),
}

/// The interval of which a table has counted in every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Its start, unless events were dropped since; the earliest instant for a table that is there from the first event.
    pub since: TimestampMs,
    /// How far back the table retains it; `i64::MAX` while no rule is attached.
    pub retained_ms: i64,
}

impl Coverage {
    /// From when on the table knows all events that a window may ask for which reaches back `reach_ms` at `now`.
    pub fn since(&self, reach_ms: i64, now: TimestampMs) -> TimestampMs {
        if reach_ms <= self.retained_ms { self.since } else { self.since.max(now.saturating_sub(self.retained_ms)) }
    }
}

/// A table that rules share.
#[derive(Debug)]
pub struct SharedTable {
    /// Identifies its content.
    pub key: String,
    /// Its stream.
    pub kind: Kind,
    /// The metric names that it reads; `None` for all.
    pub names: Option<BTreeSet<String>>,
    /// The state.
    pub state: TableState,
    /// The indices of the rules that use it.
    pub rules: Vec<usize>,
    /// The part of the past that it knows.
    pub coverage: Coverage,
    /// The greatest common divisor of its rules' `every`; 0 while there is no rule.
    pub tick_ms: i64,
    /// Time spent on it that is not yet charged to its rules.
    pub spent_ns: u64,
    /// With workers: the partitions that do not aggregate for it.
    pub missing_partitions: BTreeSet<usize>,
}

impl SharedTable {
    /// Whether it was added for these rules and has seen no event.
    pub fn is_new(&self) -> bool {
        self.coverage.retained_ms == i64::MAX
    }

    /// Events up to `latest` were not counted in.
    pub fn miss_events_until(&mut self, latest: TimestampMs) {
        self.coverage.since = self.coverage.since.max(latest.saturating_add(1));
    }
}

impl TableState {
    /// The division of time.
    pub fn layout(&self) -> &PaneLayout {
        match self {
            TableState::Aggregate(table, _) => table.layout(),
            TableState::Rows(table) => table.layout(),
        }
    }

    /// The number of panes.
    pub fn panes(&self) -> usize {
        match self {
            TableState::Aggregate(table, _) => table.panes(),
            TableState::Rows(table) => table.panes(),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match self {
            TableState::Aggregate(table, _) => table.bytes(),
            TableState::Rows(table) => table.bytes(),
        }
    }

    /// Narrows panes so that they divide panes of `pane_ms`. The table must be empty.
    pub fn narrow_panes(&mut self, pane_ms: i64) {
        let pane_ms = common_divisor(self.layout().pane_ms, pane_ms);
        match self {
            TableState::Aggregate(table, _) => table.set_pane_ms(pane_ms),
            TableState::Rows(table) => table.set_pane_ms(pane_ms),
        }
    }

    /// Seals the panes that end at or before `until`.
    pub fn seal(&mut self, until: TimestampMs) -> Result<()> {
        match self {
            TableState::Aggregate(table, _) => table.seal(until),
            TableState::Rows(table) => {
                table.seal(until);
                Ok(())
            }
        }
    }

    /// Drops everything that it holds.
    pub fn reset(&mut self) {
        match self {
            TableState::Aggregate(table, _) => table.clear(),
            TableState::Rows(table) => table.reset(),
        }
    }

    /// Forgets which rules use the table.
    pub fn detach_all(&mut self) {
        match self {
            TableState::Aggregate(table, _) => table.detach_all(),
            TableState::Rows(table) => table.detach_all(),
        }
    }

    /// Whether it holds nothing.
    pub fn is_blank(&self) -> bool {
        match self {
            TableState::Aggregate(table, _) => table.is_blank(),
            TableState::Rows(table) => table.is_empty(),
        }
    }

    /// Whether the window holds anything.
    pub fn has_rows(&self, window: &Range<TimestampMs>) -> bool {
        match self {
            TableState::Aggregate(table, _) => table.has_rows(window),
            TableState::Rows(table) => table.has_rows(window),
        }
    }
}
