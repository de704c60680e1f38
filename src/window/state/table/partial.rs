//! What a table has counted in, taken out of it, and counted into another of the same content.

use datafusion::common::Result;

use crate::model::time::{TimestampMs, align_down};
use crate::window::ingest::key_space::{GroupId, NO_GROUP};
use crate::window::state::pane::{OpenPane, SealedPane};
use crate::window::state::table::{AggregateTable, Ingested, Layout};

/// Panes that were taken out of a table.
pub struct Drained {
    /// The texts of the aggregates, and how many state columns each has.
    pub aggregates: Vec<(String, usize)>,
    /// When each pane starts, how many rows were counted into it, and its state.
    pub panes: Vec<(TimestampMs, u64, SealedPane)>,
}

impl Layout {
    /// Whether both are of the same time and of no session: they differ in nothing but the width of panes.
    pub fn is_cut_like(&self, other: &Layout) -> bool {
        let no_session = self.session_gap_ms.is_none() && other.session_gap_ms.is_none();
        self == other || (no_session && self.broker_time == other.broker_time)
    }

    /// Whether panes cut like this hold all that a table with another layout is asked for, where that is a multiple of `asked_ms`.
    /// They may be wider than the table's own, or lie across them: rules that are gone have left those.
    pub fn feeds(&self, table: &Layout, asked_ms: i64) -> bool {
        self == table || (self.is_cut_like(table) && self.pane_ms > 0 && asked_ms % self.pane_ms == 0)
    }
}

impl AggregateTable {
    /// Takes all open panes out: what is counted in afterwards begins new ones.
    pub fn drain(&mut self) -> Result<Drained> {
        self.members = None;
        let nothing = OpenPane::new(&self.columns, self.sessions.is_some())?.seal()?;
        let open = std::mem::take(&mut self.open).into_iter();
        let panes = open.map(|(start, pane)| Ok((start, pane.rows(), pane.seal()?))).collect::<Result<_>>()?;
        Ok(Drained { aggregates: self.names_of(&nothing), panes })
    }

    /// Counts in a pane of `rows` rows that another table counted from `start` on, in panes of `pane_ms`. `ids` are the ids here of
    /// its groups, `places` the places of this table's aggregates in it. Where it is wider than a pane here, or lies across two, the
    /// pane of its end takes it: nobody asks for less than all that it spans.
    pub fn absorb(
        &mut self,
        (start, pane_ms): (TimestampMs, i64),
        rows: u64,
        pane: &SealedPane,
        (ids, places): (Vec<GroupId>, &[usize]),
        keys: usize,
    ) -> Result<Ingested> {
        let mut done = Ingested::default();
        let start = align_down(start + pane_ms - 1, self.layout.pane_ms);
        if start + self.layout.pane_ms <= self.sealed_until {
            done.late = rows;
            return Ok(done);
        }
        let states = places.iter().map(|place| pane.states[*place].clone()).collect();
        let mut pane = SealedPane { groups: ids, states, times: pane.times.clone() };
        self.fits(&pane, &OpenPane::new(&self.columns, self.sessions.is_some())?.seal()?)?;
        done.overflow = pane.groups.iter().filter(|id| **id == NO_GROUP).count() as u64;
        if keys > self.groups_max {
            pane.groups = self.admit(&pane.groups, &mut done);
        }
        if done.overflow > 0 {
            let kept: Vec<u32> = (0..pane.groups.len() as u32).filter(|row| pane.groups[*row as usize] != NO_GROUP).collect();
            pane = pane.keep(&kept)?;
        }
        done.rows = rows;
        self.pane(start)?.merge(&pane)?;
        Ok(done)
    }
}
