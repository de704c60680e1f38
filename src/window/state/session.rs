//! Sessions: per key, events with less than a gap between them.
//!
//! A pane is no longer than the gap, so all events of a key in one pane belong to one session, in whatever order they came. At each
//! tick the pane that ended is merged into the open sessions; a session is over when its key had no event for the gap. So a session
//! costs one state, however long it lasts.

use datafusion::common::Result;

use crate::model::time::TimestampMs;
use crate::rule::plan::stream_scan::AggregateColumn;
use crate::window::state::pane::SealedPane;
use crate::window::state::pane_merge::PaneMerger;

/// The sessions of one table.
#[derive(Clone, Debug)]
pub struct Sessions {
    gap_ms: i64,
    /// The sessions that are not over, one a group.
    open: SealedPane,
    /// Panes up to here are merged in.
    until: TimestampMs,
}

impl Sessions {
    /// No sessions.
    pub fn new(gap_ms: i64) -> Self {
        let open = SealedPane { times: Some(Vec::new()), ..SealedPane::default() };
        Self { gap_ms, open, until: TimestampMs::MIN }
    }

    /// Merges in the pane that ended at `at`, if there is one, and drops the sessions that are over.
    pub fn advance(
        &mut self,
        at: TimestampMs,
        pane: Option<&SealedPane>,
        columns: &[AggregateColumn],
        merger: &mut PaneMerger,
        keys: usize,
    ) -> Result<()> {
        if at <= self.until {
            return Ok(());
        }
        self.until = at;
        self.keep_open(&self.still_open(at, pane))?;
        if let Some(pane) = pane {
            let all: Vec<usize> = (0..columns.len()).collect();
            let parts = if self.open.groups.is_empty() { vec![pane] } else { vec![&self.open, pane] };
            self.open = merger.merge(columns, &all, &parts, keys)?.seal()?;
            // Where the pane is as long as the gap, an event at its very start is the whole gap ago.
            self.keep_open(&self.still_open(at, None))?;
        }
        Ok(())
    }

    fn keep_open(&mut self, rows: &[u32]) -> Result<()> {
        if rows.len() < self.open.groups.len() {
            self.open = self.open.take_rows(rows)?;
        }
        Ok(())
    }

    /// The rows of `open` whose session goes on: by events of the new pane, or because its gap is not over.
    fn still_open(&self, at: TimestampMs, pane: Option<&SealedPane>) -> Vec<u32> {
        let mut first_of: ahash::HashMap<u32, TimestampMs> = ahash::HashMap::default();
        if let Some((pane, times)) = pane.and_then(|pane| Some((pane, pane.times.as_ref()?))) {
            first_of.extend(pane.groups.iter().zip(times).map(|(group, times)| (*group, times.first)));
        }
        let times = self.open.times.iter().flatten();
        let still_open = self.open.groups.iter().zip(times).enumerate().filter(|(_, (group, times))| {
            let next = first_of.get(*group).copied().unwrap_or(at);
            next - times.last < self.gap_ms
        });
        still_open.map(|(row, _)| row as u32).collect()
    }

    /// The sessions that are not over.
    pub fn open(&self) -> &SealedPane {
        &self.open
    }

    /// Panes up to here are merged in.
    pub fn until(&self) -> TimestampMs {
        self.until
    }

    /// Replaces all by the sessions of a snapshot.
    pub fn restore(&mut self, open: SealedPane, until: TimestampMs) {
        (self.open, self.until) = (open, until);
    }

    /// As [`Self::open`], to be modified.
    pub fn open_mut(&mut self) -> &mut SealedPane {
        &mut self.open
    }
}
