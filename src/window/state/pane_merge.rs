//! Merges panes: the states of each group into new accumulators.

use std::ops::Range;

use arrow::array::ArrayRef;
use datafusion::common::Result;

use crate::model::time::TimestampMs;
use crate::rule::aggregate::pane_accumulator::PaneAccumulator;
use crate::rule::plan::stream_scan::AggregateColumn;
use crate::window::ingest::group_id::GroupId;
use crate::window::state::pane::{EventTimes, SealedPane, accumulators};

const NONE: u32 = u32::MAX;

/// Merges panes. It holds scratch space that all merges share: the slot of each group of the key space, [`NONE`] between merges.
#[derive(Debug, Default)]
pub struct PaneMerger {
    slots: Vec<u32>,
}

/// The result of a merge.
pub struct MergedPanes {
    /// The groups, in order of appearance.
    pub groups: Vec<GroupId>,
    accumulators: Vec<PaneAccumulator>,
    times: Option<Vec<EventTimes>>,
}

impl PaneMerger {
    /// Merges the states of the aggregates `which` of `columns`. `keys` is the size of the key space.
    pub fn merge(
        &mut self,
        columns: &[AggregateColumn],
        which: &[usize],
        panes: &[&SealedPane],
        keys: usize,
    ) -> Result<MergedPanes> {
        if self.slots.len() < keys {
            self.slots.resize(keys, NONE);
        }
        let mut merged = MergedPanes {
            groups: Vec::with_capacity(panes.first().map_or(0, |pane| pane.groups.len())),
            accumulators: accumulators(which.iter().map(|at| &columns[*at]))?,
            times: panes.iter().all(|pane| pane.times.is_some()).then(Vec::new),
        };
        let done = self.fill(&mut merged, which, panes);
        merged.groups.iter().for_each(|id| self.slots[*id as usize] = NONE);
        done.map(|()| merged)
    }

    fn fill(&mut self, merged: &mut MergedPanes, which: &[usize], panes: &[&SealedPane]) -> Result<()> {
        for pane in panes {
            let mut slots = Vec::with_capacity(pane.groups.len());
            for id in &pane.groups {
                let slot = &mut self.slots[*id as usize];
                if *slot == NONE {
                    *slot = merged.groups.len() as u32;
                    merged.groups.push(*id);
                }
                slots.push(*slot as usize);
            }
            for (accumulator, at) in merged.accumulators.iter_mut().zip(which) {
                accumulator.merge(&pane.states[*at], &slots, merged.groups.len())?;
            }
            if let (Some(seen), Some(times)) = (&mut merged.times, &pane.times) {
                for (slot, this) in slots.iter().zip(times) {
                    match seen.get_mut(*slot) {
                        Some(known) => *known = known.union(*this),
                        None => seen.push(*this),
                    }
                }
            }
        }
        Ok(())
    }
}

impl MergedPanes {
    /// The value of each aggregate over the window, one row a group.
    pub fn evaluate(&mut self, window: &Range<TimestampMs>) -> Result<Vec<ArrayRef>> {
        self.accumulators.iter_mut().map(|accumulator| accumulator.evaluate(window)).collect()
    }

    /// The states, as a pane.
    pub fn seal(mut self) -> Result<SealedPane> {
        let states = self.accumulators.iter_mut().map(PaneAccumulator::sealed_state).collect::<Result<_>>()?;
        Ok(SealedPane { groups: self.groups, states, times: self.times })
    }
}
