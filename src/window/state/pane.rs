//! Panes: the state of one table over one interval of event time. A pane is open while rows may still come, then it is sealed to
//! columns of state.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::physical_expr::PhysicalExpr;

use crate::model::time::TimestampMs;
use crate::rule::aggregate::pane_accumulator::PaneAccumulator;
use crate::rule::exec::expression_chain::{evaluate, mask_of};
use crate::rule::plan::stream_scan::AggregateColumn;
use crate::window::ingest::group_id::{GroupId, NO_GROUP};
use crate::window::ingest::local_ids::LocalIds;

/// A pane that takes rows. Its groups are numbered from 0 in order of appearance, so that its state grows with the groups it saw and
/// not with the key space: an accumulator has state for every group number below the largest.
pub struct OpenPane {
    local_ids: LocalIds,
    groups: Vec<GroupId>,
    accumulators: Vec<PaneAccumulator>,
    times: Option<Vec<EventTimes>>,
    rows: u64,
}

/// The times of a group's first and last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTimes {
    /// The earliest.
    pub first: TimestampMs,
    /// The latest.
    pub last: TimestampMs,
}

/// A pane that takes no more rows: the state of each aggregate, one row a group.
#[derive(Clone, Debug, Default)]
pub struct SealedPane {
    /// The groups, in the order of the states' rows.
    pub groups: Vec<GroupId>,
    /// The state columns of each aggregate.
    pub states: Vec<Vec<ArrayRef>>,
    /// The times of each group's events; for sessions only.
    pub times: Option<Vec<EventTimes>>,
}

/// The arguments of an aggregate for each row: evaluated once, used by every pane that the rows fall into.
pub struct AggregateInput {
    arguments: Vec<ArrayRef>,
    filter: Option<BooleanArray>,
}

impl AggregateInput {
    /// Evaluates arguments and FILTER over a batch.
    pub fn new(arguments: &[Arc<dyn PhysicalExpr>], filter: Option<&Arc<dyn PhysicalExpr>>, batch: &RecordBatch) -> Result<Self> {
        let filter = filter.map(|filter| mask_of(filter, batch)).transpose()?;
        Ok(Self { arguments: evaluate(arguments, batch)?, filter })
    }

    /// The rows at `indices`.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let arguments = self.arguments.iter().map(|column| Ok(take(column, indices, None)?)).collect::<Result<Vec<_>>>()?;
        let filter = match &self.filter {
            Some(filter) => Some(as_boolean_array(&take(filter, indices, None)?)?.clone()),
            None => None,
        };
        Ok(Self { arguments, filter })
    }
}

/// Empty accumulators, one for each aggregate.
pub fn accumulators<'a>(columns: impl IntoIterator<Item = &'a AggregateColumn>) -> Result<Vec<PaneAccumulator>> {
    columns.into_iter().map(|column| PaneAccumulator::new(&column.function)).collect()
}

impl EventTimes {
    /// The times of the events of both.
    pub fn union(self, other: EventTimes) -> EventTimes {
        EventTimes { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

impl OpenPane {
    /// An empty pane for these aggregates.
    pub fn new(columns: &[AggregateColumn], with_times: bool) -> Result<Self> {
        Ok(Self {
            local_ids: LocalIds::default(),
            groups: Vec::new(),
            accumulators: accumulators(columns)?,
            times: with_times.then(Vec::new),
            rows: 0,
        })
    }

    /// Aggregates rows. `ids` are their groups, none of them [`NO_GROUP`].
    pub fn update(&mut self, ids: &[GroupId], times: &[TimestampMs], inputs: &[AggregateInput]) -> Result<()> {
        self.rows += ids.len() as u64;
        let locals = self.local_ids_of(ids);
        for (accumulator, input) in self.accumulators.iter_mut().zip(inputs) {
            accumulator.update(&input.arguments, &locals, input.filter.as_ref(), self.groups.len())?;
        }
        if let Some(seen) = &mut self.times {
            for (local, ts) in locals.iter().zip(times) {
                let this = EventTimes { first: *ts, last: *ts };
                match seen.get_mut(*local) {
                    Some(known) => *known = known.union(this),
                    None => seen.push(this),
                }
            }
        }
        Ok(())
    }

    fn local_ids_of(&mut self, ids: &[GroupId]) -> Vec<usize> {
        let mut locals = Vec::with_capacity(ids.len());
        for id in ids {
            debug_assert_ne!(*id, NO_GROUP, "the table drops rows without a group");
            let (local, new) = self.local_ids.get_or_assign(*id);
            if new {
                self.groups.push(*id);
            }
            locals.push(local as usize);
        }
        locals
    }

    /// Merges another pane of the same interval, which has each group once.
    pub fn merge(&mut self, other: &SealedPane) -> Result<()> {
        if other.groups.is_empty() {
            return Ok(());
        }
        let locals = self.local_ids_of(&other.groups);
        for (accumulator, states) in self.accumulators.iter_mut().zip(&other.states) {
            accumulator.merge(states, &locals, self.groups.len())?;
        }
        if let (Some(seen), Some(times)) = (&mut self.times, &other.times) {
            for (local, this) in locals.iter().zip(times) {
                match seen.get_mut(*local) {
                    Some(known) => *known = known.union(*this),
                    None => seen.push(*this),
                }
            }
        }
        Ok(())
    }

    /// Rows aggregated here. Those of merged panes are not among them.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The pane as it would be sealed now. It goes on taking rows.
    pub fn snapshot(&mut self, columns: &[AggregateColumn]) -> Result<SealedPane> {
        // Accumulators yield their state by giving it up. New ones take it over; the groups keep their numbers.
        let states = self.take_states()?;
        self.accumulators = accumulators(columns)?;
        let locals: Vec<usize> = (0..self.groups.len()).collect();
        if !locals.is_empty() {
            for (accumulator, states) in self.accumulators.iter_mut().zip(&states) {
                accumulator.merge(states, &locals, locals.len())?;
            }
        }
        Ok(SealedPane { groups: self.groups.clone(), states, times: self.times.clone() })
    }

    fn take_states(&mut self) -> Result<Vec<Vec<ArrayRef>>> {
        self.accumulators.iter_mut().map(|accumulator| accumulator.state()).collect()
    }

    /// The open pane of which `sealed` is a snapshot.
    pub fn restore(columns: &[AggregateColumn], sealed: &SealedPane) -> Result<Self> {
        let mut pane = Self::new(columns, sealed.times.is_some())?;
        pane.merge(sealed)?;
        Ok(pane)
    }

    /// The pane as columns of state, to be merged into another open pane.
    pub fn into_partial(mut self) -> Result<SealedPane> {
        let states = self.take_states()?;
        Ok(SealedPane { groups: self.groups, states, times: self.times })
    }

    /// The pane as columns of state. No row is to come.
    pub fn seal(mut self) -> Result<SealedPane> {
        let states = self.accumulators.iter_mut().map(PaneAccumulator::sealed_state).collect::<Result<_>>()?;
        Ok(SealedPane { groups: self.groups, states, times: self.times })
    }

    /// The groups, in order of appearance.
    pub fn groups(&self) -> &[GroupId] {
        &self.groups
    }

    /// Replaces every group id by its new one.
    pub fn renumber(&mut self, new_ids: &[GroupId]) {
        self.groups.iter_mut().for_each(|id| *id = new_ids[*id as usize]);
        self.local_ids = LocalIds::default();
        self.groups.iter().for_each(|id| _ = self.local_ids.get_or_assign(*id));
    }

    /// Drops the aggregates that are not `used`.
    pub fn retain_columns(&mut self, used: &[bool]) {
        let mut used = used.iter();
        self.accumulators.retain(|_| used.next().copied().unwrap_or(true));
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let times = self.times.as_ref().map_or(0, |times| times.capacity() * size_of::<EventTimes>());
        self.groups.capacity() * size_of::<GroupId>()
            + self.local_ids.bytes()
            + self.accumulators.iter().map(|accumulator| accumulator.bytes()).sum::<usize>()
            + times
    }
}

impl SealedPane {
    /// The groups at `rows` only.
    pub fn take_rows(&self, rows: &[u32]) -> Result<Self> {
        let indices = UInt32Array::from(rows.to_vec());
        let take_all = |columns: &Vec<ArrayRef>| columns.iter().map(|column| Ok(take(column, &indices, None)?)).collect();
        Ok(Self {
            groups: rows.iter().map(|row| self.groups[*row as usize]).collect(),
            states: self.states.iter().map(take_all).collect::<Result<_>>()?,
            times: self.times.as_ref().map(|times| rows.iter().map(|row| times[*row as usize]).collect()),
        })
    }

    /// Replaces every group id by its new one.
    pub fn renumber(&mut self, new_ids: &[GroupId]) {
        self.groups.iter_mut().for_each(|id| *id = new_ids[*id as usize]);
    }

    /// Drops the aggregates that are not `used`.
    pub fn retain_columns(&mut self, used: &[bool]) {
        let mut used = used.iter();
        self.states.retain(|_| used.next().copied().unwrap_or(true));
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let states: usize = self.states.iter().flatten().map(|column| column.get_array_memory_size()).sum();
        let times = self.times.as_ref().map_or(0, |times| times.capacity() * size_of::<EventTimes>());
        states + self.groups.capacity() * size_of::<GroupId>() + times
    }
}
