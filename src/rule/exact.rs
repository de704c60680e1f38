//! `sum` and `avg` of floats that do not depend on the order of their rows.
//!
//! A plain float sum changes in its last digits with the order of its terms, and with it a message byte for byte, or a `> 80`.
//! Here a sum is kept as two floats whose exact sum it is (double-double; Dekker, "A floating-point technique for extending the
//! available precision", Numerische Mathematik 1971; Knuth's two-sum): about 106 bits, in which terms of like size add up
//! without any rounding. Other types, and DISTINCT, go to DataFusion's own functions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::{average, sum};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature};

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
        Ok(Box::new(One { groups: Sums { mean: self.mean, sums: vec![Sum::default()] } }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        of_floats(args.expr_fields, args.is_distinct) || self.stock.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if !of_floats(args.expr_fields, args.is_distinct) {
            return self.stock.create_groups_accumulator(args);
        }
        Ok(Box::new(Sums { mean: self.mean, sums: Vec::new() }))
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

/// One sum a group.
struct Sums {
    mean: bool,
    sums: Vec<Sum>,
}

impl GroupsAccumulator for Sums {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.sums.resize(total, Sum::default());
        let values = values[0].as_primitive::<Float64Type>();
        for (row, group) in groups.iter().enumerate() {
            if filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row)) && values.is_valid(row) {
                let sum = &mut self.sums[*group];
                sum.add(values.value(row));
                sum.count += 1;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.sums.resize(total, Sum::default());
        let (high, low) = (states[0].as_primitive::<Float64Type>(), states[1].as_primitive::<Float64Type>());
        let counts = states[2].as_primitive::<UInt64Type>();
        for (row, group) in groups.iter().enumerate() {
            let sum = &mut self.sums[*group];
            sum.add(high.value(row));
            sum.add(low.value(row));
            sum.count += counts.value(row);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mean = self.mean;
        Ok(Arc::new(emit_to.take_needed(&mut self.sums).iter().map(|sum| sum.value(mean)).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = emit_to.take_needed(&mut self.sums);
        let high: Float64Array = sums.iter().map(|sum| Some(sum.high)).collect();
        let low: Float64Array = sums.iter().map(|sum| Some(sum.low)).collect();
        let counts: UInt64Array = sums.iter().map(|sum| Some(sum.count)).collect();
        Ok(vec![Arc::new(high), Arc::new(low), Arc::new(counts)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut one_each = Sums { mean: self.mean, sums: Vec::new() };
        let groups: Vec<usize> = (0..rows).collect();
        one_each.update_batch(values, &groups, filter, rows)?;
        one_each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<Sum>()
    }
}

/// The ungrouped form: the grouped one with a single group.
struct One {
    groups: Sums,
}

impl std::fmt::Debug for One {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.groups.mean { "avg" } else { "sum" })
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; values[0].len()];
        self.groups.update_batch(values, &groups, None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.groups.sums[0].value(self.groups.mean)))
    }

    fn size(&self) -> usize {
        self.groups.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Sum { high, low, count } = self.groups.sums[0];
        Ok(vec![high.into(), low.into(), count.into()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        self.groups.merge_batch(states, &groups, 1)
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
