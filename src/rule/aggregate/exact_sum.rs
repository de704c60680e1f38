//! `sum` and `avg` of floats that do not depend on the order of their rows.
//!
//! The last digits of a plain float sum depend on the order of its terms, and with them a published message or the outcome of
//! `> 80`. Here a sum is two floats, the second of which holds what rounding took from the first (double-double; Dekker, "A
//! floating-point technique for extending the available precision", Numerische Mathematik 1971; Knuth's two-sum). That is about
//! 106 bits: terms of similar size add up without rounding. Other types, and DISTINCT, use DataFusion's functions.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt64Type};
use datafusion::common::Result;
use datafusion::functions_aggregate::{average, sum};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature};

use crate::rule::aggregate::group_state::{FloatAccumulator, FloatAggregate};

/// `sum` and `avg`, in place of DataFusion's own.
pub fn all() -> Vec<Arc<AggregateUDF>> {
    let make = |builtin, mean| Arc::new(AggregateUDF::from(ExactSum { builtin, mean }));
    vec![make(sum::sum_udaf(), false), make(average::avg_udaf(), true)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ExactSum {
    builtin: Arc<AggregateUDF>,
    mean: bool,
}

/// Whether the exact sum applies; DataFusion's function answers the rest.
fn of_floats(inputs: &[FieldRef], is_distinct: bool) -> bool {
    !is_distinct && matches!(inputs, [input] if *input.data_type() == DataType::Float64)
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        self.builtin.name()
    }

    fn aliases(&self) -> &[String] {
        self.builtin.aliases()
    }

    fn signature(&self) -> &Signature {
        self.builtin.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.builtin.return_type(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.builtin.coerce_types(arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !of_floats(args.input_fields, args.is_distinct) {
            return self.builtin.state_fields(args);
        }
        let field = |part: &str, kind| Arc::new(Field::new(format!("{}[{part}]", args.name), kind, false));
        Ok(vec![field("high", DataType::Float64), field("low", DataType::Float64), field("count", DataType::UInt64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !of_floats(args.expr_fields, args.is_distinct) {
            return self.builtin.accumulator(args);
        }
        Ok(Box::new(FloatAccumulator::ungrouped(SumOrMean { mean: self.mean })))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        of_floats(args.expr_fields, args.is_distinct) || self.builtin.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if !of_floats(args.expr_fields, args.is_distinct) {
            return self.builtin.create_groups_accumulator(args);
        }
        Ok(Box::new(FloatAccumulator::grouped(SumOrMean { mean: self.mean })))
    }

    /// A sliding window frame removes rows again, which only DataFusion's accumulator can do.
    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.builtin.create_sliding_accumulator(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// A sum as two floats, and the number of its terms.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    high: f64,
    low: f64,
    count: u64,
}

impl Sum {
    fn add(&mut self, term: f64) {
        let sum = self.high + term;
        if !sum.is_finite() {
            (self.high, self.low) = (sum, 0.0);
            return;
        }
        // Knuth's two-sum: `lost` is what rounding took from `sum`.
        let part = sum - self.high;
        let lost = (self.high - (sum - part)) + (term - part);
        let low = self.low + lost;
        self.high = sum + low;
        self.low = low - (self.high - sum);
    }

    fn value(&self, mean: bool) -> Option<f64> {
        match self.count {
            0 => None,
            count if mean => Some((self.high + self.low) / count as f64),
            _ => Some(self.high + self.low),
        }
    }
}

/// `sum`, or `avg`.
#[derive(Clone, Copy, Debug)]
struct SumOrMean {
    mean: bool,
}

impl FloatAggregate for SumOrMean {
    type State = Sum;

    fn add(self, sum: &mut Sum, number: f64) {
        sum.add(number);
        sum.count += 1;
    }

    fn value(self, sum: &Sum) -> Option<f64> {
        sum.value(self.mean)
    }

    fn encode(self, sums: &[Sum]) -> Vec<ArrayRef> {
        let high = Float64Array::from_iter_values(sums.iter().map(|sum| sum.high));
        let low = Float64Array::from_iter_values(sums.iter().map(|sum| sum.low));
        let counts = UInt64Array::from_iter_values(sums.iter().map(|sum| sum.count));
        vec![Arc::new(high), Arc::new(low), Arc::new(counts)]
    }

    fn merge(self, sums: &mut [Sum], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (high, low) = (encoded[0].as_primitive::<Float64Type>(), encoded[1].as_primitive::<Float64Type>());
        let counts = encoded[2].as_primitive::<UInt64Type>();
        for (row, group) in groups.iter().enumerate() {
            let sum = &mut sums[*group];
            sum.add(high.value(row));
            sum.add(low.value(row));
            sum.count += counts.value(row);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    fn sum_of(terms: impl Iterator<Item = f64>) -> f64 {
        let mut sum = Sum::default();
        terms.for_each(|term| {
            sum.add(term);
            sum.count += 1;
        });
        sum.value(false).unwrap()
    }

    #[test]
    fn order_does_not_matter_where_plain_sums_differ() {
        let terms: Vec<f64> = (1..=10_000_i32).map(|i| f64::from(i) * 0.1 + 1e6 / f64::from(i)).collect();
        let plain = |terms: &mut dyn Iterator<Item = &f64>| terms.sum::<f64>();
        assert_ne!(plain(&mut terms.iter()), plain(&mut terms.iter().rev()), "these terms tell orders apart");
        assert_eq!(sum_of(terms.iter().copied()), sum_of(terms.iter().rev().copied()));
    }

    #[test]
    fn what_cancels_is_not_lost() {
        assert_eq!(sum_of([1e16, 1.0, -1e16].into_iter()), 1.0);
        assert_eq!(sum_of([f64::MAX, f64::MAX].into_iter()), f64::INFINITY);
    }
}
