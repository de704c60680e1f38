//! Panes: the state of one table over one slice of event time. Open while rows may still come, then sealed to plain columns.

use std::sync::Arc;

use ahash::HashMap;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use datafusion::common::Result;
use datafusion::common::cast::as_boolean_array;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;

use crate::rule::aggregate::grouped;
use crate::rule::pipeline::{evaluate, true_only};
use crate::rule::plan::AggregateColumn;
use crate::window::key_space::{GroupId, NO_GROUP};

/// A pane that still takes rows. Its groups are numbered from 0 in order of appearance, so that its state is as large as the
/// groups it saw, not as the table's.
pub struct OpenPane {
    local: HashMap<GroupId, usize>,
    groups: Vec<GroupId>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
}

/// A pane that takes no more rows: each accumulator's state, one row a group.
#[derive(Clone, Debug)]
pub struct SealedPane {
    /// The groups seen, in the order of the states' rows.
    pub groups: Vec<GroupId>,
    /// The state columns of each aggregate.
    pub states: Vec<Vec<ArrayRef>>,
}

/// What an aggregate needs of each row: evaluated once, used by every pane that the rows fall into.
pub struct AggregateInput {
    arguments: Vec<ArrayRef>,
    filter: Option<BooleanArray>,
}

impl AggregateInput {
    /// Evaluates an aggregate's arguments and FILTER over a batch.
    pub fn new(column: &AggregateColumn, arguments: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Self> {
        let filter = match &column.filter {
            Some(filter) => {
                let mask = filter.evaluate(batch)?.into_array(batch.num_rows())?;
                Some(true_only(as_boolean_array(&mask)?))
            }
            None => None,
        };
        Ok(Self { arguments: evaluate(arguments, batch)?, filter })
    }

    /// The rows at `indices`.
    pub fn take(&self, indices: &arrow::array::UInt32Array) -> Result<Self> {
        let arguments =
            self.arguments.iter().map(|column| Ok(arrow::compute::take(column, indices, None)?)).collect::<Result<Vec<_>>>()?;
        let filter = match &self.filter {
            Some(filter) => Some(as_boolean_array(&arrow::compute::take(filter, indices, None)?)?.clone()),
            None => None,
        };
        Ok(Self { arguments, filter })
    }
}

/// Fresh accumulators, one an aggregate.
pub fn accumulators<'a>(columns: impl IntoIterator<Item = &'a AggregateColumn>) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
    columns.into_iter().map(|column| grouped(&column.function)).collect()
}

impl OpenPane {
    /// An empty pane for these aggregates.
    pub fn new(columns: &[AggregateColumn]) -> Result<Self> {
        Ok(Self { local: HashMap::default(), groups: Vec::new(), accumulators: accumulators(columns)? })
    }

    /// Counts rows in. `ids` are the rows' groups; all of them have one.
    pub fn update(&mut self, ids: &[GroupId], inputs: &[AggregateInput]) -> Result<()> {
        let mut locals = Vec::with_capacity(ids.len());
        for id in ids {
            debug_assert_ne!(*id, NO_GROUP, "rows without a group are dropped before");
            let next = self.groups.len();
            let local = *self.local.entry(*id).or_insert(next);
            if local == next {
                self.groups.push(*id);
            }
            locals.push(local);
        }
        for (accumulator, input) in self.accumulators.iter_mut().zip(inputs) {
            accumulator.update_batch(&input.arguments, &locals, input.filter.as_ref(), self.groups.len())?;
        }
        Ok(())
    }

    /// Ends the pane.
    pub fn seal(mut self) -> Result<SealedPane> {
        let states =
            self.accumulators.iter_mut().map(|accumulator| accumulator.state(EmitTo::All)).collect::<Result<Vec<_>>>()?;
        Ok(SealedPane { groups: self.groups, states })
    }

    /// The groups seen, for counting.
    pub fn groups(&self) -> &[GroupId] {
        &self.groups
    }

    /// Gives every group its new id.
    pub fn rename(&mut self, renamed: &[GroupId]) {
        self.groups.iter_mut().for_each(|id| *id = renamed[*id as usize]);
        self.local = self.groups.iter().enumerate().map(|(local, id)| (*id, local)).collect();
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.groups.capacity() * size_of::<GroupId>()
            + self.local.capacity() * 16
            + self.accumulators.iter().map(|a| a.size()).sum::<usize>()
    }
}

impl SealedPane {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let states: usize = self.states.iter().flatten().map(|column| column.get_array_memory_size()).sum();
        states + self.groups.capacity() * size_of::<GroupId>()
    }
}
