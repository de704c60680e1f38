//! Accumulators, grouped and ungrouped, for aggregate functions of floats: a function defines only the state of one group and how
//! it is updated, merged and encoded.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::Float64Type;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// An aggregate function from Float64 to Float64 with a mergeable state.
pub trait FloatAggregate: Copy + fmt::Debug + Send + Sync + 'static {
    /// The state of one group.
    type State: Clone + Default + Send + Sync;

    /// Adds a number.
    fn add(self, state: &mut Self::State, number: f64);

    /// The answer; `None` is NULL.
    fn value(self, state: &Self::State) -> Option<f64>;

    /// The states as columns, one row for each.
    fn encode(self, states: &[Self::State]) -> Vec<ArrayRef>;

    /// Merges encoded states: row `i` into the state `groups[i]`.
    ///
    /// # Errors
    ///
    /// The columns are not encoded states.
    fn merge(self, states: &mut [Self::State], encoded: &[ArrayRef], groups: &[usize]) -> Result<()>;

    /// Bytes that a state holds on the heap.
    fn heap_bytes(_state: &Self::State) -> usize {
        0
    }
}

/// The states of all groups. As an ungrouped [`Accumulator`] it has one group.
#[derive(Clone)]
pub struct FloatAccumulator<F: FloatAggregate> {
    function: F,
    states: Vec<F::State>,
}

impl<F: FloatAggregate> FloatAccumulator<F> {
    /// No groups yet.
    pub fn grouped(function: F) -> Self {
        Self { function, states: Vec::new() }
    }

    /// One empty group.
    pub fn ungrouped(function: F) -> Self {
        Self { function, states: vec![F::State::default()] }
    }

    fn update(&mut self, numbers: &ArrayRef, group_of: impl Fn(usize) -> usize, filter: Option<&BooleanArray>) {
        let numbers = numbers.as_primitive::<Float64Type>();
        for row in 0..numbers.len() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) && numbers.is_valid(row) {
                self.function.add(&mut self.states[group_of(row)], numbers.value(row));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.states.capacity() * size_of::<F::State>() + self.states.iter().map(F::heap_bytes).sum::<usize>()
    }
}

impl<F: FloatAggregate> GroupsAccumulator for FloatAccumulator<F> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.states.resize(total, F::State::default());
        self.update(&values[0], |row| groups[row], filter);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.states.resize(total, F::State::default());
        self.function.merge(&mut self.states, states, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let function = self.function;
        let states = emit_to.take_needed(&mut self.states);
        Ok(Arc::new(states.iter().map(|state| function.value(state)).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.function.encode(&emit_to.take_needed(&mut self.states)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut one_each = Self { function: self.function, states: vec![F::State::default(); values[0].len()] };
        one_each.update(&values[0], |row| row, filter);
        Ok(self.function.encode(&one_each.states))
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

impl<F: FloatAggregate> fmt::Debug for FloatAccumulator<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} groups", self.function, self.states.len())
    }
}

/// `evaluate` keeps the state: a window function calls it after every row.
impl<F: FloatAggregate> Accumulator for FloatAccumulator<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(&values[0], |_| 0, None);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.function.value(&self.states[0])))
    }

    fn size(&self) -> usize {
        self.bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.function.encode(&self.states).iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        self.function.merge(&mut self.states, states, &groups)
    }
}
