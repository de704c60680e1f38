//! Sessions: per key, events with less than a gap between them.
//!
//! A pane is no longer than the gap, so the events of one key in one pane always belong to one session, in whatever order they
//! came. At each tick the pane that ended is stitched to the sessions that were carried so far; a session is over when nothing
//! came for the gap. So a session costs one state, however long it lasts.

use datafusion::common::Result;

use crate::model::time::TimestampMs;
use crate::rule::plan::stream_scan::AggregateColumn;
use crate::window::state::pane::SealedPane;
use crate::window::state::pane_merge::Merger;

/// The sessions of one table.
#[derive(Clone, Debug)]
pub struct Sessions {
    gap_ms: i64,
    /// Those that are not over, one a group.
    carried: SealedPane,
    /// Up to where panes are stitched in.
    until: TimestampMs,
}

impl Sessions {
    /// No sessions.
    pub fn new(gap_ms: i64) -> Self {
        let carried = SealedPane { times: Some(Vec::new()), ..SealedPane::default() };
        Self { gap_ms, carried, until: TimestampMs::MIN }
    }

    /// Stitches in the pane that ended at `at`, where there was one, and drops the sessions that are over.
    pub fn advance(
        &mut self,
        at: TimestampMs,
        pane: Option<&SealedPane>,
        columns: &[AggregateColumn],
        merger: &mut Merger,
        keys: usize,
    ) -> Result<()> {
        if at <= self.until {
            return Ok(());
        }
        self.until = at;
        self.keep_going(&self.going_on(at, pane))?;
        if let Some(pane) = pane {
            let all: Vec<usize> = (0..columns.len()).collect();
            let parts = if self.carried.groups.is_empty() { vec![pane] } else { vec![&self.carried, pane] };
            self.carried = merger.merge(columns, &all, &parts, keys)?.seal()?;
            // An event at the very start of a pane as long as the gap is the whole gap ago.
            self.keep_going(&self.going_on(at, None))?;
        }
        Ok(())
    }

    fn keep_going(&mut self, rows: &[u32]) -> Result<()> {
        if rows.len() < self.carried.groups.len() {
            self.carried = self.carried.keep(rows)?;
        }
        Ok(())
    }

    /// The rows of `carried` whose session goes on: by events of the new pane, or because its gap is not over.
    fn going_on(&self, at: TimestampMs, pane: Option<&SealedPane>) -> Vec<u32> {
        let mut first_of: ahash::HashMap<u32, TimestampMs> = ahash::HashMap::default();
        if let Some((pane, times)) = pane.and_then(|pane| Some((pane, pane.times.as_ref()?))) {
            first_of.extend(pane.groups.iter().zip(times).map(|(group, times)| (*group, times.first)));
        }
        let times = self.carried.times.iter().flatten();
        let goes_on = self.carried.groups.iter().zip(times).enumerate().filter(|(_, (group, times))| {
            let next = first_of.get(*group).copied().unwrap_or(at);
            next - times.last < self.gap_ms
        });
        goes_on.map(|(row, _)| row as u32).collect()
    }

    /// The sessions that are not over.
    pub fn carried(&self) -> &SealedPane {
        &self.carried
    }

    /// Up to where panes are stitched in.
    pub fn until(&self) -> TimestampMs {
        self.until
    }

    /// Goes on from sessions that were saved.
    pub fn resume(&mut self, carried: SealedPane, until: TimestampMs) {
        (self.carried, self.until) = (carried, until);
    }

    /// As [`Self::carried`], to be renamed.
    pub fn carried_mut(&mut self) -> &mut SealedPane {
        &mut self.carried
    }
}
