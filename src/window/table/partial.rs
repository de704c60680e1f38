//! What a table has counted in, taken out of it, and counted into another of the same content.

use datafusion::common::Result;

use crate::window::key_space::{GroupId, NO_GROUP};
use crate::window::pane::{OpenPane, SealedPane};
use crate::window::table::{AggregateTable, Ingested, Layout};
use crate::words::time::{TimestampMs, align_down};

/// Panes that were taken out of a table.
pub struct Drained {
    /// The texts of the aggregates, and how many state columns each has.
    pub aggregates: Vec<(String, usize)>,
    /// When each pane starts, how many rows were counted into it, and its state.
    pub panes: Vec<(TimestampMs, u64, SealedPane)>,
}

impl Layout {
    /// Whether panes laid out like this one fall whole into panes of `coarser`.
    pub fn falls_into(&self, coarser: &Layout) -> bool {
        let same = self == coarser;
        let finer = self.session_gap_ms.is_none() && coarser.session_gap_ms.is_none() && coarser.pane_ms % self.pane_ms == 0;
        same || (finer && self.broker_time == coarser.broker_time)
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

    /// The places of this table's aggregates among those of another; `None` where it cannot be fed from there.
    pub fn fed_by(&self, layout: &Layout, aggregates: &[(String, usize)]) -> Option<Vec<usize>> {
        self.places_among(aggregates).filter(|_| layout.falls_into(&self.layout))
    }

    /// Counts in a pane that another table counted: it starts at `start` there and holds `rows` rows. `ids` are the ids here of
    /// its groups, `places` the places of this table's aggregates in it.
    pub fn absorb(
        &mut self,
        (start, rows): (TimestampMs, u64),
        pane: &SealedPane,
        (ids, places): (Vec<GroupId>, &[usize]),
        keys: usize,
    ) -> Result<Ingested> {
        let mut done = Ingested::default();
        let start = align_down(start, self.layout.pane_ms);
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
