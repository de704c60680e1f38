//! `sum` and `avg` that do not depend on the order of their rows and never wrap around.
//!
//! The last digits of a plain float sum depend on the order of its terms, and with them a published message or the outcome of
//! `> 80`: here it is a [`DoubleDouble`]. DataFusion's sum of whole numbers becomes negative where it overflows: here it is null. DISTINCT
//! sums keep the distinct values and add them up in their order, where DataFusion adds in the order of a hash table. Other types use
//! DataFusion's functions.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, ListArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type, UInt64Type};
use datafusion::common::{Result, exec_err};
use datafusion::functions_aggregate::{average, sum};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature};

use crate::rule::aggregate::double_double::DoubleDouble;
use crate::rule::aggregate::group_state::{NumberAccumulator, NumberAggregate, SlidingAccumulator};
use crate::rule::function::no_nan;

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

/// What is added up.
enum Kind {
    Floats,
    Whole,
    DistinctFloats,
    DistinctWhole,
    /// DataFusion's function answers.
    Other,
}

/// Makes what `$make` says of the aggregate function of a kind, or of DataFusion's.
macro_rules! by_kind {
    ($self:ident, $args:ident, $make:expr, $other:expr) => {
        match $self.kind($args.expr_fields, $args.is_distinct) {
            Kind::Floats => Ok(Box::new($make(SumOrMean { mean: $self.mean }))),
            Kind::Whole => Ok(Box::new($make(WholeSum))),
            Kind::DistinctFloats => Ok(Box::new($make(DistinctFloats { mean: $self.mean }))),
            Kind::DistinctWhole => Ok(Box::new($make(DistinctWhole))),
            Kind::Other => $other,
        }
    };
}

impl ExactSum {
    fn kind(&self, inputs: &[FieldRef], is_distinct: bool) -> Kind {
        let [input] = inputs else { return Kind::Other };
        match (input.data_type(), is_distinct) {
            (DataType::Float64, false) => Kind::Floats,
            (DataType::Float64, true) => Kind::DistinctFloats,
            (DataType::Int64, false) if !self.mean => Kind::Whole,
            (DataType::Int64, true) if !self.mean => Kind::DistinctWhole,
            _ => Kind::Other,
        }
    }
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
        let field = |part: &str, kind, nullable| Arc::new(Field::new(format!("{}[{part}]", args.name), kind, nullable));
        Ok(match self.kind(args.input_fields, args.is_distinct) {
            Kind::Floats => vec![
                field("high", DataType::Float64, false),
                field("low", DataType::Float64, false),
                field("count", DataType::UInt64, false),
            ],
            Kind::Whole => vec![field("sum", DataType::Decimal128(38, 0), true)],
            Kind::DistinctFloats | Kind::DistinctWhole => vec![field("values", DataType::List(item()), false)],
            Kind::Other => return self.builtin.state_fields(args),
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        by_kind!(self, args, NumberAccumulator::ungrouped, self.builtin.accumulator(args))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match self.kind(args.expr_fields, args.is_distinct) {
            Kind::Other => self.builtin.groups_accumulator_supported(args),
            _ => true,
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        by_kind!(self, args, NumberAccumulator::grouped, self.builtin.create_groups_accumulator(args))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        by_kind!(self, args, SlidingAccumulator::new, self.builtin.create_sliding_accumulator(args))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// A sum and the number of its terms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    sum: DoubleDouble,
    count: u64,
}

impl Sum {
    fn value(&self, mean: bool) -> Option<f64> {
        match self.count {
            0 => None,
            count if mean => no_nan::number(self.sum.value() / count as f64),
            _ => no_nan::number(self.sum.value()),
        }
    }
}

/// `sum` of floats, or `avg`.
#[derive(Clone, Copy, Debug)]
pub struct SumOrMean {
    /// Whether it is `avg`.
    pub mean: bool,
}

impl NumberAggregate for SumOrMean {
    type Row = f64;
    type Output = Float64Type;
    type State = Sum;

    fn add(self, state: &mut Sum, number: f64) {
        state.sum = state.sum + number;
        state.count += 1;
    }

    fn value(self, state: &Sum) -> Option<f64> {
        state.value(self.mean)
    }

    fn encode(self, sums: &[Sum]) -> Vec<ArrayRef> {
        let high = Float64Array::from_iter_values(sums.iter().map(|sum| sum.sum.high));
        let low = Float64Array::from_iter_values(sums.iter().map(|sum| sum.sum.low));
        let counts = UInt64Array::from_iter_values(sums.iter().map(|sum| sum.count));
        vec![Arc::new(high), Arc::new(low), Arc::new(counts)]
    }

    fn merge(self, sums: &mut [Sum], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (high, low) = (encoded[0].as_primitive::<Float64Type>(), encoded[1].as_primitive::<Float64Type>());
        let counts = encoded[2].as_primitive::<UInt64Type>();
        for (row, group) in groups.iter().enumerate() {
            let Sum { sum, count } = &mut sums[*group];
            *sum = *sum + high.value(row) + low.value(row);
            *count += counts.value(row);
        }
        Ok(())
    }
}

/// `sum` of whole numbers; null where it is too large for one.
#[derive(Clone, Copy, Debug)]
struct WholeSum;

impl NumberAggregate for WholeSum {
    type Row = i64;
    type Output = Int64Type;
    type State = Option<i128>;

    fn add(self, sum: &mut Option<i128>, number: i64) {
        *sum = Some(sum.unwrap_or(0) + i128::from(number));
    }

    fn value(self, sum: &Option<i128>) -> Option<i64> {
        i64::try_from((*sum)?).ok()
    }

    fn encode(self, sums: &[Option<i128>]) -> Vec<ArrayRef> {
        vec![Arc::new(sums.iter().copied().collect::<Decimal128Array>().with_data_type(DataType::Decimal128(38, 0)))]
    }

    fn merge(self, sums: &mut [Option<i128>], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let encoded = encoded[0].as_primitive::<Decimal128Type>();
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| encoded.is_valid(*row)) {
            sums[*group] = Some(sums[*group].unwrap_or(0) + encoded.value(row));
        }
        Ok(())
    }
}

/// Distinct values, as bits.
type Distinct = BTreeSet<i64>;

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, false))
}

fn encode_distinct(states: &[Distinct]) -> Vec<ArrayRef> {
    let values = Int64Array::from_iter_values(states.iter().flatten().copied());
    let offsets = OffsetBuffer::from_lengths(states.iter().map(BTreeSet::len));
    vec![Arc::new(ListArray::new(item(), offsets, Arc::new(values), None))]
}

fn merge_distinct(states: &mut [Distinct], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
    let Some(lists) = encoded[0].as_list_opt::<i32>() else {
        return exec_err!("{} is not the state of a distinct sum", encoded[0].data_type());
    };
    for (row, group) in groups.iter().enumerate().filter(|(row, _)| lists.is_valid(*row)) {
        states[*group].extend(lists.value(row).as_primitive::<Int64Type>().values());
    }
    Ok(())
}

/// What a set takes for each value, its share of the tree among it.
const DISTINCT_BYTES: usize = 16;

/// `sum(DISTINCT …)` of floats, or `avg`.
#[derive(Clone, Copy, Debug)]
struct DistinctFloats {
    mean: bool,
}

impl NumberAggregate for DistinctFloats {
    type Row = f64;
    type Output = Float64Type;
    type State = Distinct;

    fn add(self, state: &mut Distinct, number: f64) {
        state.insert(number.to_bits() as i64);
    }

    fn value(self, state: &Distinct) -> Option<f64> {
        let sum = state.iter().fold(DoubleDouble::default(), |sum, bits| sum + f64::from_bits(*bits as u64));
        Sum { sum, count: state.len() as u64 }.value(self.mean)
    }

    fn encode(self, states: &[Distinct]) -> Vec<ArrayRef> {
        encode_distinct(states)
    }

    fn merge(self, states: &mut [Distinct], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
        merge_distinct(states, encoded, groups)
    }

    fn heap_bytes(state: &Distinct) -> usize {
        state.len() * DISTINCT_BYTES
    }
}

/// `sum(DISTINCT …)` of whole numbers.
#[derive(Clone, Copy, Debug)]
struct DistinctWhole;

impl NumberAggregate for DistinctWhole {
    type Row = i64;
    type Output = Int64Type;
    type State = Distinct;

    fn add(self, state: &mut Distinct, number: i64) {
        state.insert(number);
    }

    fn value(self, state: &Distinct) -> Option<i64> {
        let sum: i128 = state.iter().map(|number| i128::from(*number)).sum();
        (!state.is_empty()).then(|| i64::try_from(sum).ok()).flatten()
    }

    fn encode(self, states: &[Distinct]) -> Vec<ArrayRef> {
        encode_distinct(states)
    }

    fn merge(self, states: &mut [Distinct], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
        merge_distinct(states, encoded, groups)
    }

    fn heap_bytes(state: &Distinct) -> usize {
        state.len() * DISTINCT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer<F: NumberAggregate>(
        function: F,
        rows: &[F::Row],
    ) -> Option<<F::Output as arrow::array::ArrowPrimitiveType>::Native> {
        let mut states = vec![F::State::default(); 2];
        rows.iter().enumerate().for_each(|(at, row)| function.add(&mut states[at % 2], *row));
        let mut whole = [F::State::default()];
        function.merge(&mut whole, &function.encode(&states), &[0, 0]).unwrap();
        function.value(&whole[0])
    }

    #[test]
    fn a_sum_that_no_whole_number_holds_is_null() {
        assert_eq!(answer(WholeSum, &[i64::MAX, 1, -1]), Some(i64::MAX));
        assert_eq!(answer(WholeSum, &[i64::MAX, 1]), None);
        assert_eq!(answer(WholeSum, &[]), None);
        assert_eq!(answer(DistinctWhole, &[5, 5, 7]), Some(12));
        assert_eq!(answer(DistinctWhole, &[]), None);
    }

    #[test]
    fn sums_of_infinities_are_infinite_or_null() {
        let (inf, sum, mean) = (f64::INFINITY, SumOrMean { mean: false }, SumOrMean { mean: true });
        assert_eq!((answer(sum, &[1.0, inf]), answer(mean, &[1.0, inf])), (Some(inf), Some(inf)));
        assert_eq!((answer(sum, &[-inf, inf]), answer(mean, &[-inf, inf])), (None, None));
        assert_eq!(answer(DistinctFloats { mean: false }, &[0.1, 0.1, 0.2, 0.3]), Some(0.6));
        assert_eq!(answer(DistinctFloats { mean: true }, &[1.0, 1.0, 3.0]), Some(2.0));
    }
}
