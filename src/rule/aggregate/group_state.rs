//! Accumulators, grouped, ungrouped and sliding, for aggregate functions of numbers: a function defines only the state of one group and
//! how it is updated, merged and encoded.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// The numbers that a function takes of a row.
pub trait Row: Copy + Send + Sync + 'static {
    /// Reads a row; `None` where an argument is null.
    fn reader(arguments: &[ArrayRef]) -> impl Fn(usize) -> Option<Self>;
}

impl Row for f64 {
    fn reader(arguments: &[ArrayRef]) -> impl Fn(usize) -> Option<f64> {
        let numbers = arguments[0].as_primitive::<Float64Type>();
        |row| numbers.is_valid(row).then(|| numbers.value(row))
    }
}

impl Row for i64 {
    fn reader(arguments: &[ArrayRef]) -> impl Fn(usize) -> Option<i64> {
        let numbers = arguments[0].as_primitive::<Int64Type>();
        |row| numbers.is_valid(row).then(|| numbers.value(row))
    }
}

impl Row for (f64, f64) {
    fn reader(arguments: &[ArrayRef]) -> impl Fn(usize) -> Option<(f64, f64)> {
        let (first, second) = (arguments[0].as_primitive::<Float64Type>(), arguments[1].as_primitive::<Float64Type>());
        |row| (first.is_valid(row) && second.is_valid(row)).then(|| (first.value(row), second.value(row)))
    }
}

/// An aggregate function from numbers to a number, with a mergeable state.
pub trait NumberAggregate: Copy + fmt::Debug + Send + Sync + 'static {
    /// Its arguments.
    type Row: Row;

    /// The type of its answer.
    type Output: ArrowPrimitiveType;

    /// The state of one group.
    type State: Clone + Default + Send + Sync;

    /// Adds a row.
    fn add(self, state: &mut Self::State, row: Self::Row);

    /// The answer; `None` is NULL. Never NaN and never -0.
    fn value(self, state: &Self::State) -> Option<<Self::Output as ArrowPrimitiveType>::Native>;

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
pub struct NumberAccumulator<F: NumberAggregate> {
    function: F,
    states: Vec<F::State>,
}

impl<F: NumberAggregate> NumberAccumulator<F> {
    /// No groups yet.
    pub fn grouped(function: F) -> Self {
        Self { function, states: Vec::new() }
    }

    /// One empty group.
    pub fn ungrouped(function: F) -> Self {
        Self { function, states: vec![F::State::default()] }
    }

    fn update(&mut self, arguments: &[ArrayRef], group_of: impl Fn(usize) -> usize, filter: Option<&BooleanArray>) {
        let read = F::Row::reader(arguments);
        for row in 0..arguments[0].len() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
                && let Some(numbers) = read(row)
            {
                self.function.add(&mut self.states[group_of(row)], numbers);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.states.capacity() * size_of::<F::State>() + self.states.iter().map(F::heap_bytes).sum::<usize>()
    }
}

impl<F: NumberAggregate> GroupsAccumulator for NumberAccumulator<F> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.states.resize(total, F::State::default());
        self.update(values, |row| groups[row], filter);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.states.resize(total, F::State::default());
        self.function.merge(&mut self.states, states, groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let function = self.function;
        let states = emit_to.take_needed(&mut self.states);
        let answers = states.iter().map(|state| function.value(state));
        Ok(Arc::new(answers.collect::<PrimitiveArray<F::Output>>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.function.encode(&emit_to.take_needed(&mut self.states)))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut one_each = Self { function: self.function, states: vec![F::State::default(); values[0].len()] };
        one_each.update(values, |row| row, filter);
        Ok(self.function.encode(&one_each.states))
    }

    fn size(&self) -> usize {
        self.bytes()
    }
}

impl<F: NumberAggregate> fmt::Debug for NumberAccumulator<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} groups", self.function, self.states.len())
    }
}

/// `evaluate` keeps the state: a window function calls it after every row.
impl<F: NumberAggregate> Accumulator for NumberAccumulator<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(values, |_| 0, None);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::new_primitive::<F::Output>(self.function.value(&self.states[0]), &F::Output::DATA_TYPE)
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

/// The accumulator of a sliding window frame: rows come at one end and leave at the other.
///
/// A row that leaves is never subtracted, because a difference of sums is not the sum of what is left: an infinity would stay for ever.
/// Instead there are two stacks of states, as in a queue made of two stacks: each row is merged twice at most, whatever the frame's width.
pub struct SlidingAccumulator<F: NumberAggregate> {
    function: F,
    /// For each row at the leaving end, latest first: the encoded state of it and of all after it.
    leaving: Vec<Vec<ArrayRef>>,
    /// The rows that came since, `None` where an argument is null.
    arrived: Vec<Option<F::Row>>,
    /// The state of the rows that came since.
    newest: F::State,
}

impl<F: NumberAggregate> SlidingAccumulator<F> {
    /// An empty frame.
    pub fn new(function: F) -> Self {
        Self { function, leaving: Vec::new(), arrived: Vec::new(), newest: F::State::default() }
    }

    /// Turns the rows that came into a stack from which the oldest is taken first.
    fn turn(&mut self) {
        let mut state = F::State::default();
        for row in self.arrived.drain(..).rev() {
            if let Some(row) = row {
                self.function.add(&mut state, row);
            }
            self.leaving.push(self.function.encode(std::slice::from_ref(&state)));
        }
        self.newest = F::State::default();
    }
}

impl<F: NumberAggregate> fmt::Debug for SlidingAccumulator<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of a frame", self.function)
    }
}

impl<F: NumberAggregate> Accumulator for SlidingAccumulator<F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let read = F::Row::reader(values);
        for row in 0..values[0].len() {
            let row = read(row);
            if let Some(row) = row {
                self.function.add(&mut self.newest, row);
            }
            self.arrived.push(row);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for _ in 0..values[0].len() {
            if self.leaving.is_empty() {
                self.turn();
            }
            self.leaving.pop();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut state = [self.newest.clone()];
        if let Some(older) = self.leaving.last() {
            self.function.merge(&mut state, older, &[0])?;
        }
        ScalarValue::new_primitive::<F::Output>(self.function.value(&state[0]), &F::Output::DATA_TYPE)
    }

    fn size(&self) -> usize {
        self.leaving.capacity() * size_of::<F::State>() + self.arrived.capacity() * size_of::<Option<F::Row>>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.function.encode(std::slice::from_ref(&self.newest));
        columns.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        self.function.merge(std::slice::from_mut(&mut self.newest), states, &groups)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;
    use crate::rule::aggregate::exact_sum::SumOrMean;

    #[test]
    fn what_leaves_a_frame_leaves_no_trace() {
        let values = [Some(1e300), Some(0.1), None, Some(f64::INFINITY), Some(0.2), Some(0.3), Some(1e18), Some(1e-9), Some(4.0)];
        let column = |row: usize| -> [ArrayRef; 1] { [Arc::new(Float64Array::from(vec![values[row]]))] };
        let mut sliding = SlidingAccumulator::new(SumOrMean { mean: false });
        for row in 0..values.len() {
            sliding.update_batch(&column(row)).unwrap();
            if row >= 3 {
                sliding.retract_batch(&column(row - 3)).unwrap();
            }
            let mut anew = NumberAccumulator::ungrouped(SumOrMean { mean: false });
            for inside in row.saturating_sub(2)..=row {
                Accumulator::update_batch(&mut anew, &column(inside)).unwrap();
            }
            assert_eq!(sliding.evaluate().unwrap(), Accumulator::evaluate(&mut anew).unwrap(), "row {row}");
        }
    }
}
