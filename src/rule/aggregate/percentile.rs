//! `p50`, `p90`, `p95`, `p99`: percentiles as mergeable sketches.
//!
//! DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB
//! 2019): a number is counted in a bucket whose ends are 2% apart, so the answer is within 1% of a value at the asked rank,
//! whatever the data. Merging sketches adds counts, so it is exact and does not depend on the order. The least and the greatest number are
//! kept beside it: an answer lies between them, and where all numbers are equal it is that number.
//!
//! Two percentiles of one column are two sketches: DataFusion has one state for each aggregate function, and the plan would have
//! to be rewritten to share it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use crate::rule::aggregate::group_state::{NumberAccumulator, NumberAggregate, SlidingAccumulator};
use crate::rule::aggregate::sketch::bucket_counts::Sketch;
use crate::rule::function::no_nan;

/// The four percentile functions.
pub fn all() -> Vec<Arc<AggregateUDF>> {
    let make = |name, percent| {
        let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
        Arc::new(AggregateUDF::from(Percentile { name, percent, signature }))
    };
    vec![make("p50", 50), make("p90", 90), make("p95", 95), make("p99", 99)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    name: &'static str,
    percent: u8,
    signature: Signature,
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.is_distinct {
            return plan_err!("{}(DISTINCT …) is not known: take the values apart in a subquery with GROUP BY", self.name);
        }
        let field = |part: &str, kind| Arc::new(Field::new(format!("{}[{part}]", args.name), kind, true));
        Ok(vec![field("sketch", DataType::Binary), field("least", DataType::Float64), field("greatest", DataType::Float64)])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(NumberAccumulator::ungrouped(PercentileOf { percent: self.percent })))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(NumberAccumulator::grouped(PercentileOf { percent: self.percent })))
    }

    fn create_sliding_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(SlidingAccumulator::new(PercentileOf { percent: self.percent })))
    }
}

#[derive(Clone, Copy, Debug)]
struct PercentileOf {
    percent: u8,
}

/// A sketch, and between which numbers its values lie.
#[derive(Clone, Debug, Default)]
struct Bounded {
    sketch: Sketch,
    ends: Option<(f64, f64)>,
}

impl Bounded {
    fn widen(&mut self, least: f64, greatest: f64) {
        let (low, high) = self.ends.unwrap_or((least, greatest));
        self.ends = Some((low.min(least), high.max(greatest)));
    }
}

impl NumberAggregate for PercentileOf {
    type Row = f64;
    type Output = Float64Type;
    type State = Bounded;

    fn add(self, state: &mut Bounded, number: f64) {
        state.sketch.add(number);
        // Infinities count as the largest finite numbers.
        let number = number.clamp(f64::MIN, f64::MAX);
        state.widen(number, number);
    }

    fn value(self, state: &Bounded) -> Option<f64> {
        let (least, greatest) = state.ends?;
        no_nan::number(state.sketch.percentile(self.percent)?.clamp(least, greatest))
    }

    fn encode(self, states: &[Bounded]) -> Vec<ArrayRef> {
        let mut builder = BinaryBuilder::new();
        let mut bytes = Vec::new();
        for state in states {
            state.sketch.encode(&mut bytes);
            builder.append_value(&bytes);
            bytes.clear();
        }
        let mut sketches = builder.finish();
        let end = |of: fn((f64, f64)) -> f64| states.iter().map(|state| state.ends.map(of)).collect::<Float64Array>();
        let (mut least, mut greatest) = (end(|ends| ends.0), end(|ends| ends.1));
        // A pane is kept as long as its window: the builder's spare capacity would be kept with it.
        sketches.shrink_to_fit();
        least.shrink_to_fit();
        greatest.shrink_to_fit();
        vec![Arc::new(sketches), Arc::new(least), Arc::new(greatest)]
    }

    fn merge(self, states: &mut [Bounded], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let sketches = encoded[0].as_binary::<i32>();
        let (least, greatest) = (encoded[1].as_primitive::<Float64Type>(), encoded[2].as_primitive::<Float64Type>());
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| sketches.is_valid(*row) && least.is_valid(*row)) {
            let state = &mut states[*group];
            if state.sketch.merge(sketches.value(row)).is_err() {
                return exec_err!("{} bytes of a percentile's state are not a sketch", sketches.value(row).len());
            }
            state.widen(least.value(row), greatest.value(row));
        }
        Ok(())
    }

    fn heap_bytes(state: &Bounded) -> usize {
        state.sketch.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_lies_between_the_least_and_the_greatest() {
        let answer = |percent, numbers: &[f64]| {
            let function = PercentileOf { percent };
            let mut states = vec![Bounded::default(); 2];
            numbers.iter().enumerate().for_each(|(at, number)| function.add(&mut states[at % 2], *number));
            let mut whole = [Bounded::default()];
            function.merge(&mut whole, &function.encode(&states), &[0, 0]).unwrap();
            function.value(&whole[0])
        };
        for number in [123.456, -7.5, 1e-10, 3e15] {
            assert_eq!((answer(50, &[number]), answer(99, &[number, number])), (Some(number), Some(number)));
        }
        let (least, greatest) = (99.3, 100.7);
        for percent in [50, 90, 95, 99] {
            let answer = answer(percent, &[least, greatest, 100.0]).unwrap();
            assert!((least..=greatest).contains(&answer), "p{percent} is {answer}");
        }
        assert_eq!((answer(99, &[f64::INFINITY]), answer(99, &[])), (Some(f64::MAX), None));
    }
}
