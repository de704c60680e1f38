//! Variances, covariances, correlation and regression, right for numbers that are large beside their differences: times, counters, bytes.
//!
//! DataFusion's functions lose these to rounding: `corr(value, value)` of byte counters was -1. Here the means and the sums of squares
//! are kept around the mean (Welford 1962; merged as Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
//! sample variances", 1979), in [`DoubleDouble`]s, so that the order of the rows leaves no trace. Where there is no answer, PostgreSQL's
//! null is the answer: one row has no sample variance, equal numbers correlate with nothing.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use crate::rule::aggregate::double_double::DoubleDouble;
use crate::rule::aggregate::group_state::{NumberAccumulator, NumberAggregate, SlidingAccumulator};
use crate::rule::function::no_nan;

/// What is asked of the moments of one column, or of two (y, then x).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    VarianceOfSample,
    VarianceOfAll,
    DeviationOfSample,
    DeviationOfAll,
    CovarianceOfSample,
    CovarianceOfAll,
    Correlation,
    Slope,
    Intercept,
    Determination,
    MeanX,
    MeanY,
    SquaresX,
    SquaresY,
    Products,
}

/// Name, aliases, what is asked. The aliases of DataFusion, and `variance` as PostgreSQL has it.
const FUNCTIONS: [(&str, &[&str], Asked); 15] = [
    ("var", &["var_samp", "var_sample", "variance"], Asked::VarianceOfSample),
    ("var_pop", &["var_population"], Asked::VarianceOfAll),
    ("stddev", &["stddev_samp"], Asked::DeviationOfSample),
    ("stddev_pop", &[], Asked::DeviationOfAll),
    ("covar_samp", &["covar"], Asked::CovarianceOfSample),
    ("covar_pop", &[], Asked::CovarianceOfAll),
    ("corr", &[], Asked::Correlation),
    ("regr_slope", &[], Asked::Slope),
    ("regr_intercept", &[], Asked::Intercept),
    ("regr_r2", &[], Asked::Determination),
    ("regr_avgx", &[], Asked::MeanX),
    ("regr_avgy", &[], Asked::MeanY),
    ("regr_sxx", &[], Asked::SquaresX),
    ("regr_syy", &[], Asked::SquaresY),
    ("regr_sxy", &[], Asked::Products),
];

/// The functions, in place of DataFusion's own.
pub fn all() -> Vec<Arc<AggregateUDF>> {
    let make = |(name, aliases, asked): (&'static str, &[&str], Asked)| {
        let arguments = if asked.of_two() { 2 } else { 1 };
        let signature = Signature::exact(vec![DataType::Float64; arguments], Volatility::Immutable);
        let aliases = aliases.iter().map(ToString::to_string).collect();
        Arc::new(AggregateUDF::from(Moment { name, aliases, asked, signature }))
    };
    FUNCTIONS.into_iter().map(make).collect()
}

/// Whether `name` is one of them.
pub fn is_moment(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, aliases, _)| *known == name || aliases.contains(&name))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Moment {
    name: &'static str,
    aliases: Vec<String>,
    asked: Asked,
    signature: Signature,
}

impl AggregateUDFImpl for Moment {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
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
        let field = |part: &str, kind| Arc::new(Field::new(format!("{}[{part}]", args.name), kind, false));
        let parts: &[&str] = if self.asked.of_two() { &TwoColumns::PARTS } else { &OneColumn::PARTS };
        let halves = parts.iter().flat_map(|part| [format!("{part} high"), format!("{part} low")]);
        Ok(std::iter::once(field("count", DataType::UInt64)).chain(halves.map(|part| field(&part, DataType::Float64))).collect())
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(match self.asked.of_two() {
            true => Box::new(NumberAccumulator::ungrouped(OfTwo(self.asked))),
            false => Box::new(NumberAccumulator::ungrouped(OfOne(self.asked))),
        })
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match self.asked.of_two() {
            true => Box::new(NumberAccumulator::grouped(OfTwo(self.asked))),
            false => Box::new(NumberAccumulator::grouped(OfOne(self.asked))),
        })
    }

    fn create_sliding_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(match self.asked.of_two() {
            true => Box::new(SlidingAccumulator::new(OfTwo(self.asked))),
            false => Box::new(SlidingAccumulator::new(OfOne(self.asked))),
        })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

impl Asked {
    fn of_two(self) -> bool {
        !matches!(self, Self::VarianceOfSample | Self::VarianceOfAll | Self::DeviationOfSample | Self::DeviationOfAll)
    }
}

/// How many rows, their mean, and the sum of the squares of their distances to it.
#[derive(Clone, Copy, Debug, Default)]
struct OneColumn {
    count: u64,
    mean: DoubleDouble,
    squares: DoubleDouble,
}

impl OneColumn {
    const PARTS: [&str; 2] = ["mean", "squares"];

    fn add(&mut self, number: f64) {
        self.count += 1;
        let before = DoubleDouble::from(number) - self.mean;
        self.mean = self.mean + before.over(self.count as f64);
        self.squares = self.squares + before * (DoubleDouble::from(number) - self.mean);
    }

    fn merge(&mut self, other: &Self) {
        let Some((apart, weight, share)) = between(self.count, other.count, other.mean - self.mean) else {
            if self.count == 0 {
                *self = *other;
            }
            return;
        };
        self.count += other.count;
        self.mean = self.mean + share;
        self.squares = self.squares + other.squares + apart * apart * weight;
    }
}

/// For the merge of two samples whose means are `apart`: that distance, its weight, and how far the mean moves. `None` where one of them
/// has no rows.
fn between(mine: u64, theirs: u64, apart: DoubleDouble) -> Option<(DoubleDouble, DoubleDouble, DoubleDouble)> {
    if mine == 0 || theirs == 0 {
        return None;
    }
    let (mine, theirs) = (DoubleDouble::from(mine as f64), DoubleDouble::from(theirs as f64));
    let all = (mine + theirs).value();
    Some((apart, (mine * theirs).over(all), (apart * theirs).over(all)))
}

/// The moments of two columns and between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct TwoColumns {
    y: OneColumn,
    x: OneColumn,
    products: DoubleDouble,
}

impl TwoColumns {
    const PARTS: [&str; 5] = ["mean y", "squares y", "mean x", "squares x", "products"];

    /// Adds a row.
    pub fn add(&mut self, y: f64, x: f64) {
        let before = DoubleDouble::from(y) - self.y.mean;
        self.y.add(y);
        self.x.add(x);
        self.products = self.products + before * (DoubleDouble::from(x) - self.x.mean);
    }

    /// Adds the rows of another.
    pub fn merge(&mut self, other: &Self) {
        let (y, x) = (other.y.mean - self.y.mean, other.x.mean - self.x.mean);
        match between(self.y.count, other.y.count, y) {
            Some((y, weight, _)) => {
                self.products = self.products + other.products + y * x * weight;
                self.y.merge(&other.y);
                self.x.merge(&other.x);
            }
            None if self.y.count == 0 => *self = *other,
            None => {}
        }
    }
}

impl TwoColumns {
    /// The sum of products. A sum within its own rounding is zero: columns that have nothing to do with each other must not show
    /// the order of their rows in the last digits of a number that is none.
    fn products(&self) -> DoubleDouble {
        let count = self.y.count as f64;
        let deviation = |column: &OneColumn| (at_least_zero(column.squares.value()) / count).sqrt();
        let (y, x) = (deviation(&self.y), deviation(&self.x));
        let rounding =
            DoubleDouble::ROUNDING * count * count * ((self.y.mean.value().abs() + y) * x + (self.x.mean.value().abs() + x) * y);
        if self.products.value().abs() <= rounding { DoubleDouble::default() } else { self.products }
    }

    /// The slope of the line through the rows by least squares. `None` where they have one x.
    pub fn slope(&self) -> Option<f64> {
        (self.x.squares.value() > 0.0).then(|| self.products().ratio(self.x.squares))
    }

    /// The y of that line at an x.
    pub fn line_at(&self, x: f64) -> Option<f64> {
        Some((self.y.mean + (DoubleDouble::from(x) - self.x.mean) * self.slope()?.into()).value())
    }

    /// Their number, and the numbers that [`Self::of_parts`] reads.
    pub fn parts(&self) -> (u64, [f64; 10]) {
        let [a, b, c, d, e] = [self.y.mean, self.y.squares, self.x.mean, self.x.squares, self.products];
        (self.y.count, [a.high, a.low, b.high, b.low, c.high, c.low, d.high, d.low, e.high, e.low])
    }

    /// What [`Self::parts`] gave.
    pub fn of_parts(count: u64, [a, b, c, d, e, f, g, h, i, j]: [f64; 10]) -> Self {
        let of = |high, low| DoubleDouble { high, low };
        let y = OneColumn { count, mean: of(a, b), squares: of(c, d) };
        let x = OneColumn { count, mean: of(e, f), squares: of(g, h) };
        Self { y, x, products: of(i, j) }
    }
}

#[derive(Clone, Copy, Debug)]
struct OfOne(Asked);

#[derive(Clone, Copy, Debug)]
struct OfTwo(Asked);

fn columns(counts: impl Iterator<Item = u64>, parts: Vec<Vec<DoubleDouble>>) -> Vec<ArrayRef> {
    let halves = parts.into_iter().flat_map(|part| -> [ArrayRef; 2] {
        let half = |of: fn(&DoubleDouble) -> f64| Arc::new(Float64Array::from_iter_values(part.iter().map(of)));
        [half(|number| number.high), half(|number| number.low)]
    });
    std::iter::once(Arc::new(UInt64Array::from_iter_values(counts)) as ArrayRef).chain(halves).collect()
}

/// Reads what [`columns`] wrote: the count, and each part by its place.
fn reader(encoded: &[ArrayRef]) -> (impl Fn(usize) -> u64, impl Fn(usize, usize) -> DoubleDouble) {
    let counts = encoded[0].as_primitive::<UInt64Type>();
    let halves: Vec<&Float64Array> = encoded[1..].iter().map(|column| column.as_primitive::<Float64Type>()).collect();
    (
        move |row| counts.value(row),
        move |part, row| DoubleDouble { high: halves[2 * part].value(row), low: halves[2 * part + 1].value(row) },
    )
}

impl NumberAggregate for OfOne {
    type Row = f64;
    type Output = Float64Type;
    type State = OneColumn;

    fn add(self, state: &mut OneColumn, number: f64) {
        state.add(number);
    }

    fn value(self, state: &OneColumn) -> Option<f64> {
        let freedom = match self.0 {
            Asked::VarianceOfSample | Asked::DeviationOfSample => state.count.checked_sub(1)?,
            _ => state.count,
        };
        let variance = (freedom > 0).then(|| at_least_zero(state.squares.over(freedom as f64).value()))?;
        let answer = match self.0 {
            Asked::DeviationOfSample | Asked::DeviationOfAll => variance.sqrt(),
            _ => variance,
        };
        no_nan::number(answer)
    }

    fn encode(self, states: &[OneColumn]) -> Vec<ArrayRef> {
        let part = |of: fn(&OneColumn) -> DoubleDouble| states.iter().map(of).collect();
        columns(states.iter().map(|state| state.count), vec![part(|it| it.mean), part(|it| it.squares)])
    }

    fn merge(self, states: &mut [OneColumn], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (count, part) = reader(encoded);
        for (row, group) in groups.iter().enumerate() {
            states[*group].merge(&OneColumn { count: count(row), mean: part(0, row), squares: part(1, row) });
        }
        Ok(())
    }
}

/// Rounding may leave a sum of squares below zero; what is no number stays so.
fn at_least_zero(squares: f64) -> f64 {
    if squares < 0.0 { 0.0 } else { squares }
}

impl NumberAggregate for OfTwo {
    type Row = (f64, f64);
    type Output = Float64Type;
    type State = TwoColumns;

    fn add(self, state: &mut TwoColumns, (y, x): (f64, f64)) {
        state.add(y, x);
    }

    fn value(self, state: &TwoColumns) -> Option<f64> {
        let count = state.y.count;
        let (xx, yy, xy) = (at_least_zero(state.x.squares.value()), at_least_zero(state.y.squares.value()), state.products());
        let over = |count: u64| (count > 0).then(|| xy.over(count as f64).value());
        let slope = || (xx != 0.0).then(|| xy.ratio(state.x.squares));
        let correlation = || xy.ratio(state.x.squares.sqrt() * state.y.squares.sqrt()).clamp(-1.0, 1.0);
        let some = |value: f64| (count > 0).then_some(value);
        let answer = match self.0 {
            Asked::CovarianceOfSample => over(count.checked_sub(1)?)?,
            Asked::CovarianceOfAll => over(count)?,
            Asked::Correlation if xx == 0.0 || yy == 0.0 => return None,
            Asked::Correlation => correlation(),
            Asked::Slope => slope()?,
            Asked::Intercept => (state.y.mean - state.x.mean * slope()?.into()).value(),
            Asked::Determination if xx == 0.0 => return None,
            Asked::Determination if yy == 0.0 => 1.0,
            Asked::Determination => correlation().powi(2),
            Asked::MeanX => some(state.x.mean.value())?,
            Asked::MeanY => some(state.y.mean.value())?,
            Asked::SquaresX => some(xx)?,
            Asked::SquaresY => some(yy)?,
            _ => some(xy.value())?,
        };
        no_nan::number(answer)
    }

    fn encode(self, states: &[TwoColumns]) -> Vec<ArrayRef> {
        let part = |of: fn(&TwoColumns) -> DoubleDouble| states.iter().map(of).collect();
        let parts = vec![
            part(|it| it.y.mean),
            part(|it| it.y.squares),
            part(|it| it.x.mean),
            part(|it| it.x.squares),
            part(|it| it.products),
        ];
        columns(states.iter().map(|state| state.y.count), parts)
    }

    fn merge(self, states: &mut [TwoColumns], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let (count, part) = reader(encoded);
        for (row, group) in groups.iter().enumerate() {
            let count = count(row);
            let of = |mean: usize| OneColumn { count, mean: part(mean, row), squares: part(mean + 1, row) };
            states[*group].merge(&TwoColumns { y: of(0), x: of(2), products: part(4, row) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: Asked, rows: &[(f64, f64)]) -> Option<f64> {
        let (one, two) = (OfOne(asked), OfTwo(asked));
        // In two halves that are merged, as two panes are.
        let halves = rows.split_at(rows.len() / 2);
        if asked.of_two() {
            let mut states = vec![TwoColumns::default(); 3];
            halves.0.iter().for_each(|row| two.add(&mut states[0], *row));
            halves.1.iter().for_each(|row| two.add(&mut states[1], *row));
            let encoded = two.encode(&states[..2]);
            two.merge(&mut states, &encoded, &[2, 2]).unwrap();
            return two.value(&states[2]);
        }
        let mut states = vec![OneColumn::default(); 3];
        halves.0.iter().for_each(|row| one.add(&mut states[0], row.0));
        halves.1.iter().for_each(|row| one.add(&mut states[1], row.0));
        let encoded = one.encode(&states[..2]);
        one.merge(&mut states, &encoded, &[2, 2]).unwrap();
        one.value(&states[2])
    }

    #[test]
    fn large_offsets_change_no_digit() {
        for offset in [0.0, 1e9, 5e12, 1.7e15] {
            let rows: Vec<(f64, f64)> = [0.0, 7.0, 15.0, 16.0].map(|y| (offset + y, offset + 2.0 * y)).to_vec();
            assert_eq!(of(Asked::VarianceOfSample, &rows), Some(169.0 / 3.0), "{offset}");
            assert_eq!(of(Asked::VarianceOfAll, &rows), Some(42.25), "{offset}");
            assert_eq!(of(Asked::Correlation, &rows), Some(1.0), "{offset}");
            assert_eq!(of(Asked::Slope, &rows), Some(0.5), "{offset}");
            assert_eq!(of(Asked::Intercept, &rows), Some(offset / 2.0), "{offset}");
            assert_eq!(of(Asked::CovarianceOfAll, &rows), Some(84.5), "{offset}");
        }
    }

    #[test]
    fn columns_without_a_tie_have_a_slope_of_zero_in_any_order() {
        // Times of four samples in seconds; the values before and after their middle are the same.
        let values = [301.7, 12.1, 12.1, 301.7];
        let rows: Vec<(f64, f64)> =
            values.iter().enumerate().map(|(at, value)| (*value, 1_790_000_000.0 + 3.0 * at as f64)).collect();
        for order in [[0, 1, 2, 3], [3, 0, 2, 1], [2, 3, 0, 1], [1, 3, 2, 0]] {
            let rows: Vec<_> = order.iter().map(|at| rows[*at]).collect();
            assert_eq!((of(Asked::Slope, &rows), of(Asked::Products, &rows)), (Some(0.0), Some(0.0)), "{order:?}");
        }
    }

    #[test]
    fn where_there_is_no_answer_it_is_null() {
        let one = [(3.0, 5.0)];
        for asked in
            [Asked::VarianceOfSample, Asked::DeviationOfSample, Asked::CovarianceOfSample, Asked::Correlation, Asked::Slope]
        {
            assert_eq!(of(asked, &one), None, "{asked:?}");
            assert_eq!(of(asked, &[]), None, "{asked:?}");
        }
        assert_eq!((of(Asked::VarianceOfAll, &one), of(Asked::CovarianceOfAll, &one)), (Some(0.0), Some(0.0)));
        let level = [(3.0, 1.0), (3.0, 2.0), (3.0, 3.0)];
        assert_eq!(
            (of(Asked::Correlation, &level), of(Asked::Slope, &level), of(Asked::Determination, &level)),
            (None, Some(0.0), Some(1.0))
        );
        let infinite = [(f64::INFINITY, 1.0), (2.0, 2.0), (3.0, 4.0)];
        assert_eq!((of(Asked::VarianceOfSample, &infinite), of(Asked::Correlation, &infinite)), (None, None));
    }
}
