//! Panes: the state of one table over one slice of event time. Open while rows may still come, then sealed to plain columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;

use crate::model::time::TimestampMs;
use crate::rule::aggregate::grouped;
use crate::rule::exec::expression_chain::{evaluate, mask_of};
use crate::rule::plan::stream_scan::AggregateColumn;
use crate::window::ingest::key_space::{GroupId, NO_GROUP};
use crate::window::ingest::local_ids::LocalIds;

/// A pane that still takes rows. Its groups are numbered from 0 in order of appearance, so that its state is as large as the
/// groups it saw, not as the key space: an accumulator that is told of a group takes it for seen.
pub struct OpenPane {
    local: LocalIds,
    groups: Vec<GroupId>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    times: Option<Vec<Times>>,
    rows: u64,
}

/// When the first and the last event of a group came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The first.
    pub first: TimestampMs,
    /// The last.
    pub last: TimestampMs,
}

/// A pane that takes no more rows: each accumulator's state, one row a group.
#[derive(Clone, Debug, Default)]
pub struct SealedPane {
    /// The groups seen, in the order of the states' rows.
    pub groups: Vec<GroupId>,
    /// The state columns of each aggregate.
    pub states: Vec<Vec<ArrayRef>>,
    /// When each group's events came, where sessions are to be told apart.
    pub times: Option<Vec<Times>>,
}

/// What an aggregate needs of each row: evaluated once, used by every pane that the rows fall into.
pub struct AggregateInput {
    arguments: Vec<ArrayRef>,
    filter: Option<BooleanArray>,
}

impl AggregateInput {
    /// Evaluates an aggregate's arguments and FILTER over a batch.
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

/// Fresh accumulators, one an aggregate.
pub fn accumulators<'a>(columns: impl IntoIterator<Item = &'a AggregateColumn>) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
    columns.into_iter().map(|column| grouped(&column.function)).collect()
}

impl Times {
    /// The stretch that holds both.
    pub fn and(self, other: Times) -> Times {
        Times { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

impl OpenPane {
    /// An empty pane for these aggregates.
    pub fn new(columns: &[AggregateColumn], with_times: bool) -> Result<Self> {
        Ok(Self {
            local: LocalIds::default(),
            groups: Vec::new(),
            accumulators: accumulators(columns)?,
            times: with_times.then(Vec::new),
            rows: 0,
        })
    }

    /// Counts rows in. `ids` are the rows' groups, `times` their times; all of them have a group.
    pub fn update(&mut self, ids: &[GroupId], times: &[TimestampMs], inputs: &[AggregateInput]) -> Result<()> {
        self.rows += ids.len() as u64;
        let locals = self.locals(ids);
        for (accumulator, input) in self.accumulators.iter_mut().zip(inputs) {
            accumulator.update_batch(&input.arguments, &locals, input.filter.as_ref(), self.groups.len())?;
        }
        if let Some(seen) = &mut self.times {
            for (local, ts) in locals.iter().zip(times) {
                let this = Times { first: *ts, last: *ts };
                match seen.get_mut(*local) {
                    Some(known) => *known = known.and(this),
                    None => seen.push(this),
                }
            }
        }
        Ok(())
    }

    /// The number of each group within this pane.
    fn locals(&mut self, ids: &[GroupId]) -> Vec<usize> {
        let mut locals = Vec::with_capacity(ids.len());
        for id in ids {
            debug_assert_ne!(*id, NO_GROUP, "rows without a group are dropped before");
            let (local, new) = self.local.number(*id);
            if new {
                self.groups.push(*id);
            }
            locals.push(local as usize);
        }
        locals
    }

    /// Counts in what another pane of the same time has counted, each group once.
    pub fn merge(&mut self, other: &SealedPane) -> Result<()> {
        if other.groups.is_empty() {
            return Ok(());
        }
        let locals = self.locals(&other.groups);
        for (accumulator, states) in self.accumulators.iter_mut().zip(&other.states) {
            accumulator.merge_batch(states, &locals, self.groups.len())?;
        }
        if let (Some(seen), Some(times)) = (&mut self.times, &other.times) {
            for (local, this) in locals.iter().zip(times) {
                match seen.get_mut(*local) {
                    Some(known) => *known = known.and(*this),
                    None => seen.push(*this),
                }
            }
        }
        Ok(())
    }

    /// How many rows were counted in here; what was merged is not among them.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The pane as it would be sealed now; it goes on taking rows.
    pub fn snapshot(&mut self, columns: &[AggregateColumn]) -> Result<SealedPane> {
        // To say their state empties accumulators. Fresh ones take it back; which group has which number stays.
        let states = self.take_states()?;
        self.accumulators = accumulators(columns)?;
        let locals: Vec<usize> = (0..self.groups.len()).collect();
        if !locals.is_empty() {
            for (accumulator, states) in self.accumulators.iter_mut().zip(&states) {
                accumulator.merge_batch(states, &locals, locals.len())?;
            }
        }
        Ok(SealedPane { groups: self.groups.clone(), states, times: self.times.clone() })
    }

    fn take_states(&mut self) -> Result<Vec<Vec<ArrayRef>>> {
        self.accumulators.iter_mut().map(|accumulator| accumulator.state(EmitTo::All)).collect()
    }

    /// A pane that takes rows again.
    pub fn resume(columns: &[AggregateColumn], sealed: &SealedPane) -> Result<Self> {
        let mut pane = Self::new(columns, sealed.times.is_some())?;
        pane.merge(sealed)?;
        Ok(pane)
    }

    /// Ends the pane.
    pub fn seal(mut self) -> Result<SealedPane> {
        let states = self.take_states()?;
        Ok(SealedPane { groups: self.groups, states, times: self.times })
    }

    /// The groups seen, for counting.
    pub fn groups(&self) -> &[GroupId] {
        &self.groups
    }

    /// Gives every group its new id.
    pub fn rename(&mut self, renamed: &[GroupId]) {
        self.groups.iter_mut().for_each(|id| *id = renamed[*id as usize]);
        self.local = LocalIds::default();
        self.groups.iter().for_each(|id| _ = self.local.number(*id));
    }

    /// Keeps only some of its aggregates.
    pub fn keep_columns(&mut self, kept: &[bool]) {
        let mut kept = kept.iter();
        self.accumulators.retain(|_| kept.next().copied().unwrap_or(true));
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let times = self.times.as_ref().map_or(0, |times| times.capacity() * size_of::<Times>());
        self.groups.capacity() * size_of::<GroupId>()
            + self.local.bytes()
            + self.accumulators.iter().map(|accumulator| accumulator.size()).sum::<usize>()
            + times
    }
}

impl SealedPane {
    /// The groups at `rows`.
    pub fn keep(&self, rows: &[u32]) -> Result<Self> {
        let indices = UInt32Array::from(rows.to_vec());
        let some = |columns: &Vec<ArrayRef>| columns.iter().map(|column| Ok(take(column, &indices, None)?)).collect();
        Ok(Self {
            groups: rows.iter().map(|row| self.groups[*row as usize]).collect(),
            states: self.states.iter().map(some).collect::<Result<_>>()?,
            times: self.times.as_ref().map(|times| rows.iter().map(|row| times[*row as usize]).collect()),
        })
    }

    /// Gives every group its new id.
    pub fn rename(&mut self, renamed: &[GroupId]) {
        self.groups.iter_mut().for_each(|id| *id = renamed[*id as usize]);
    }

    /// Keeps only some of its aggregates.
    pub fn keep_columns(&mut self, kept: &[bool]) {
        let mut kept = kept.iter();
        self.states.retain(|_| kept.next().copied().unwrap_or(true));
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let states: usize = self.states.iter().flatten().map(|column| column.get_array_memory_size()).sum();
        let times = self.times.as_ref().map_or(0, |times| times.capacity() * size_of::<Times>());
        states + self.groups.capacity() * size_of::<GroupId>() + times
    }
}
