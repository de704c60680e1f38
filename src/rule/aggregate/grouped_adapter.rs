//! Runs an ungrouped accumulator for each group, for functions that DataFusion has no grouped accumulator for.
//!
//! DataFusion's own adapter visits all groups at every batch. Of two thousand groups a micro-batch touches sixty, and the visits
//! took most of the time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_empty_array};
use arrow::compute::take_arrays;
use arrow::datatypes::FieldRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

/// One ungrouped accumulator for each group.
pub struct GroupedAdapter {
    function: Arc<AggregateFunctionExpr>,
    states: Vec<Box<dyn Accumulator>>,
}

impl GroupedAdapter {
    /// No groups yet.
    pub fn new(function: Arc<AggregateFunctionExpr>) -> Self {
        Self { function, states: Vec::new() }
    }

    fn grow(&mut self, total: usize) -> Result<()> {
        while self.states.len() < total {
            self.states.push(self.function.create_accumulator()?);
        }
        Ok(())
    }

    /// Passes the rows of each group to its accumulator, in their order.
    fn for_each_group(
        &mut self,
        columns: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        accept: impl Fn(&mut dyn Accumulator, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        let kept = |row: &usize| filter.is_none_or(|filter| filter.is_valid(*row) && filter.value(*row));
        let mut order: Vec<(usize, u32)> = (0..groups.len()).filter(kept).map(|row| (groups[row], row as u32)).collect();
        order.sort_unstable();
        let rows: UInt32Array = order.iter().map(|(_, row)| *row).collect();
        let columns = take_arrays(columns, &rows, None)?;
        let mut start = 0;
        for run in order.chunk_by(|(a, _), (b, _)| a == b) {
            let slices: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, run.len())).collect();
            accept(self.states[run[0].0].as_mut(), &slices)?;
            start += run.len();
        }
        Ok(())
    }
}

impl GroupsAccumulator for GroupedAdapter {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.grow(total)?;
        self.for_each_group(values, groups, filter, |state, rows| state.update_batch(rows))
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total)?;
        self.for_each_group(states, groups, None, |state, rows| state.merge_batch(rows))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let states = emit_to.take_needed(&mut self.states);
        if states.is_empty() {
            return Ok(new_empty_array(self.function.field().data_type()));
        }
        let values = states.into_iter().map(|mut state| state.evaluate()).collect::<Result<Vec<_>>>()?;
        ScalarValue::iter_to_array(values)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let states = emit_to.take_needed(&mut self.states);
        let fields = self.function.state_fields()?;
        let mut columns: Vec<Vec<ScalarValue>> = fields.iter().map(|_| Vec::with_capacity(states.len())).collect();
        for mut state in states {
            columns.iter_mut().zip(state.state()?).for_each(|(column, value)| column.push(value));
        }
        let array_of = |(column, field): (Vec<ScalarValue>, &FieldRef)| match column.is_empty() {
            true => Ok(new_empty_array(field.data_type())),
            false => ScalarValue::iter_to_array(column),
        };
        columns.into_iter().zip(&fields).map(array_of).collect()
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut one_each = Self::new(Arc::clone(&self.function));
        let groups: Vec<usize> = (0..values[0].len()).collect();
        one_each.update_batch(values, &groups, filter, groups.len())?;
        one_each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<Box<dyn Accumulator>>() + self.states.iter().map(|state| state.size()).sum::<usize>()
    }
}
