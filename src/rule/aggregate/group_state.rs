//! One state a group, for functions of a number that say only what a state is: the grouped form, the ungrouped one, and the
//! state of single rows all follow from it.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::Float64Type;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// A function from Float64 to Float64 with a mergeable state.
pub trait Fold: Copy + fmt::Debug + Send + Sync + 'static {
    /// What is kept of a group's numbers.
    type State: Clone + Default + Send + Sync;

    /// Takes a number in.
    fn add(self, state: &mut Self::State, number: f64);

    /// The answer; `None` is NULL.
    fn value(self, state: &Self::State) -> Option<f64>;

    /// The states as columns, one row a state.
    fn seal(self, states: &[Self::State]) -> Vec<ArrayRef>;

    /// Adds the rows of columns that [`Self::seal`] made: row `i` to the state `groups[i]`.
    ///
    /// # Errors
    ///
    /// The columns are no states.
    fn merge(self, states: &mut [Self::State], sealed: &[ArrayRef], groups: &[usize]) -> Result<()>;

    /// Bytes that a state holds on the heap.
    fn heap_bytes(_state: &Self::State) -> usize {
        0
    }
}

/// The states of all groups of a [`Fold`]. As an ungrouped [`Accumulator`] it has one group.
#[derive(Clone)]
pub struct PerGroup<F: Fold> {
    fold: F,
    states: Vec<F::State>,
}

impl<F: Fold> PerGroup<F> {
    /// No groups yet.
    pub fn grouped(fold: F) -> Self {
        Self { fold, states: Vec::new() }
    }

    /// One group, which has seen nothing.
    pub fn ungrouped(fold: F) -> Self {
        Self { fold, states: vec![F::State::default()] }
    }

    fn update(&mut self, numbers: &ArrayRef, group_of: impl Fn(usize) -> usize, filter: Option<&BooleanArray>) {
        let numbers = numbers.as_primitive::<Float64Type>();
        for row in 0..numbers.len() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) && numbers.is_valid(row) {
                self.fold.add(&mut self.states[group_of(row)], numbers.value(row));
            }
        }
    }

    fn bytes(&self) -> usize {
        self.states.capacity() * size_of::<F::State>() + self.states.iter().map(F::heap_bytes).sum::<usize>()
    }
}

impl<F: Fold> GroupsAccumulator for PerGroup<F> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.states.resize(total, F::State::default());
        self.update(&values[0], |row| groups[row], filter);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.states.resize(total, F::State::default());
        self.fold.merge(&mut self.states, states, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let fold = self.fold;
        let states = emit_to.take_needed(&mut self.states);
        Ok(Arc::new(states.iter().map(|state| fold.value(state)).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.fold.seal(&emit_to.take_needed(&mut self.states)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut one_each = Self { fold: self.fold, states: vec![F::State::default(); values[0].len()] };
        one_each.update(&values[0], |row| row, filter);
        Ok(self.fold.seal(&one_each.states))
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

impl<F: Fold> fmt::Debug for PerGroup<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} groups", self.fold, self.states.len())
    }
}

/// Nothing is consumed by asking: a window function asks after every row.
impl<F: Fold> Accumulator for PerGroup<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(&values[0], |_| 0, None);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.fold.value(&self.states[0])))
    }

    fn size(&self) -> usize {
        self.bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.fold.seal(&self.states).iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        self.fold.merge(&mut self.states, states, &groups)
    }
}
