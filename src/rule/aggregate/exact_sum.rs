//! `sum` and `avg` of floats that do not depend on the order of their rows.
//!
//! A plain float sum changes in its last digits with the order of its terms, and with it a message byte for byte, or a `> 80`.
//! Here a sum is kept as two floats whose exact sum it is (double-double; Dekker, "A floating-point technique for extending the
//! available precision", Numerische Mathematik 1971; Knuth's two-sum): about 106 bits, in which terms of like size add up
//! without any rounding. Other types, and DISTINCT, go to DataFusion's own functions.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt64Type};
use datafusion::common::Result;
use datafusion::functions_aggregate::{average, sum};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature};

use crate::rule::aggregate::group_state::{Fold, PerGroup};

/// `sum` and `avg`, to be found before DataFusion's own.
pub fn all() -> Vec<Arc<AggregateUDF>> {
    let make = |stock, mean| Arc::new(AggregateUDF::from(Exact { stock, mean }));
    vec![make(sum::sum_udaf(), false), make(average::avg_udaf(), true)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    stock: Arc<AggregateUDF>,
    mean: bool,
}

/// Whether the exact form applies.
fn of_floats(inputs: &[FieldRef], is_distinct: bool) -> bool {
    !is_distinct && matches!(inputs, [input] if *input.data_type() == DataType::Float64)
}

impl AggregateUDFImpl for Exact {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn aliases(&self) -> &[String] {
        self.stock.aliases()
    }

    fn signature(&self) -> &Signature {
        self.stock.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.stock.return_type(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.stock.coerce_types(arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !of_floats(args.input_fields, args.is_distinct) {
            return self.stock.state_fields(args);
        }
        let field = |part: &str, kind| Arc::new(Field::new(format!("{}[{part}]", args.name), kind, false));
        Ok(vec![field("high", DataType::Float64), field("low", DataType::Float64), field("count", DataType::UInt64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !of_floats(args.expr_fields, args.is_distinct) {
            return self.stock.accumulator(args);
        }
        Ok(Box::new(PerGroup::ungrouped(Summing { mean: self.mean })))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        of_floats(args.expr_fields, args.is_distinct) || self.stock.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if !of_floats(args.expr_fields, args.is_distinct) {
            return self.stock.create_groups_accumulator(args);
        }
        Ok(Box::new(PerGroup::grouped(Summing { mean: self.mean })))
    }

    /// Over the frames of window functions, which take rows out again, DataFusion's own.
    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.stock.create_sliding_accumulator(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// A sum as two floats, and how many terms it has.
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
        // Knuth's two-sum: what rounding took from `sum`.
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
struct Summing {
    mean: bool,
}

impl Fold for Summing {
    type State = Sum;

    fn add(self, sum: &mut Sum, number: f64) {
        sum.add(number);
        sum.count += 1;
    }

    fn value(self, sum: &Sum) -> Option<f64> {
        sum.value(self.mean)
    }

    fn seal(self, sums: &[Sum]) -> Vec<ArrayRef> {
        let high = Float64Array::from_iter_values(sums.iter().map(|sum| sum.high));
        let low = Float64Array::from_iter_values(sums.iter().map(|sum| sum.low));
        let counts = UInt64Array::from_iter_values(sums.iter().map(|sum| sum.count));
        vec![Arc::new(high), Arc::new(low), Arc::new(counts)]
    }

    fn merge(self, sums: &mut [Sum], sealed: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (high, low) = (sealed[0].as_primitive::<Float64Type>(), sealed[1].as_primitive::<Float64Type>());
        let counts = sealed[2].as_primitive::<UInt64Type>();
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
