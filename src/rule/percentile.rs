//! `p50`, `p90`, `p95`, `p99`: percentiles as mergeable sketches.
//!
//! DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB
//! 2019): a value x lands in bucket ceil(log_gamma |x|), gamma = (1 + a) / (1 - a), so the answer is within a = 1% of a value
//! at the asked rank, whatever the data, and merging sketches adds counts: exact, and the same in every order. Values nearer
//! to zero than 1e-9 count as zero. The stock percentile scans all groups at every update; this one touches one bucket a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Builder};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

/// The relative error of every answer.
pub const RELATIVE_ERROR: f64 = 0.01;
/// Below this a value is zero.
const ZERO_BELOW: f64 = 1e-9;

/// The four percentile functions.
pub fn all() -> Vec<Arc<AggregateUDF>> {
    let make = |name, fraction: f64| {
        let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
        Arc::new(AggregateUDF::from(Percentile { name, fraction_bits: fraction.to_bits(), signature }))
    };
    vec![make("p50", 0.5), make("p90", 0.9), make("p95", 0.95), make("p99", 0.99)]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    name: &'static str,
    /// Bits, because a function must be comparable and hashable.
    fraction_bits: u64,
    signature: Signature,
}

impl Percentile {
    fn fraction(&self) -> f64 {
        f64::from_bits(self.fraction_bits)
    }
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
        Ok(vec![Arc::new(Field::new(format!("{}[sketch]", args.name), DataType::Binary, true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One { groups: Sketches { fraction: self.fraction(), sketches: vec![Sketch::default()] } }))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Sketches { fraction: self.fraction(), sketches: Vec::new() }))
    }
}

/// Counts by bucket. Negative values have buckets of their own, ordered from the most negative up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    negative: BTreeMap<i32, u64>,
    zero: u64,
    positive: BTreeMap<i32, u64>,
}

impl Sketch {
    /// Counts one value. NaN is no value; infinities count as the largest finite numbers.
    pub fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let value = value.clamp(f64::MIN, f64::MAX);
        if value.abs() < ZERO_BELOW {
            self.zero += 1;
        } else if value > 0.0 {
            *self.positive.entry(bucket(value)).or_default() += 1;
        } else {
            *self.negative.entry(bucket(-value)).or_default() += 1;
        }
    }

    /// Adds the counts of another sketch.
    pub fn merge(&mut self, other: &Sketch) {
        self.zero += other.zero;
        other.positive.iter().for_each(|(bucket, count)| *self.positive.entry(*bucket).or_default() += count);
        other.negative.iter().for_each(|(bucket, count)| *self.negative.entry(*bucket).or_default() += count);
    }

    /// A value within [`RELATIVE_ERROR`] of the one at the nearest rank, the ceil(`fraction` x n)-th smallest: of five samples p95
    /// is the largest. `None` where nothing was counted.
    pub fn quantile(&self, fraction: f64) -> Option<f64> {
        let total = self.zero + self.positive.values().sum::<u64>() + self.negative.values().sum::<u64>();
        if total == 0 {
            return None;
        }
        let rank = ((fraction * total as f64).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        let negative = self.negative.iter().rev().map(|(bucket, count)| (-middle(*bucket), *count));
        let positive = self.positive.iter().map(|(bucket, count)| (middle(*bucket), *count));
        for (value, count) in negative.chain([(0.0, self.zero)]).chain(positive) {
            seen += count;
            if seen >= rank {
                return Some(value);
            }
        }
        None
    }

    /// Layout: zero count, number of negative buckets, then (bucket, count) pairs, negative before positive; little endian.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + 12 * (self.negative.len() + self.positive.len()));
        bytes.extend(self.zero.to_le_bytes());
        bytes.extend((self.negative.len() as u32).to_le_bytes());
        for (bucket, count) in self.negative.iter().chain(&self.positive) {
            bytes.extend(bucket.to_le_bytes());
            bytes.extend(count.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (zero, rest) = bytes.split_first_chunk::<8>()?;
        let (negatives, rest) = rest.split_first_chunk::<4>()?;
        let mut sketch = Sketch { zero: u64::from_le_bytes(*zero), ..Sketch::default() };
        for (i, pair) in rest.chunks_exact(12).enumerate() {
            let (bucket, count) = pair.split_first_chunk::<4>()?;
            let side = if i < u32::from_le_bytes(*negatives) as usize { &mut sketch.negative } else { &mut sketch.positive };
            side.insert(i32::from_le_bytes(*bucket), u64::from_le_bytes(count.try_into().ok()?));
        }
        Some(sketch)
    }
}

fn gamma() -> f64 {
    (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)
}

fn bucket(value: f64) -> i32 {
    (value.ln() / gamma().ln()).ceil() as i32
}

/// The value whose relative distance to both ends of its bucket is the same.
fn middle(bucket: i32) -> f64 {
    2.0 * gamma().powi(bucket) / (gamma() + 1.0)
}

/// One sketch a group.
struct Sketches {
    fraction: f64,
    sketches: Vec<Sketch>,
}

impl Sketches {
    fn grow(&mut self, groups: usize) {
        if self.sketches.len() < groups {
            self.sketches.resize(groups, Sketch::default());
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Sketch> {
        emit_to.take_needed(&mut self.sketches)
    }

    fn state_of(sketches: &[Sketch]) -> ArrayRef {
        let mut builder = BinaryBuilder::new();
        sketches.iter().for_each(|sketch| builder.append_value(sketch.to_bytes()));
        Arc::new(builder.finish())
    }
}

impl GroupsAccumulator for Sketches {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.grow(total);
        let values = values[0].as_primitive::<Float64Type>();
        for (row, group) in groups.iter().enumerate() {
            let kept = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if kept && values.is_valid(row) {
                self.sketches[*group].add(values.value(row));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut builder = Float64Builder::new();
        let fraction = self.fraction;
        self.take(emit_to).iter().for_each(|sketch| builder.append_option(sketch.quantile(fraction)));
        Ok(Arc::new(builder.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![Self::state_of(&self.take(emit_to))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let states = values[0].as_binary::<i32>();
        for (row, group) in groups.iter().enumerate() {
            if states.is_null(row) {
                continue;
            }
            let Some(sketch) = Sketch::from_bytes(states.value(row)) else {
                return exec_err!("a percentile sketch of {} bytes is cut short", states.value(row).len());
            };
            self.sketches[*group].merge(&sketch);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut one_each = Sketches { fraction: self.fraction, sketches: Vec::new() };
        let groups: Vec<usize> = (0..rows).collect();
        one_each.update_batch(values, &groups, filter, rows)?;
        one_each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let entries: usize = self.sketches.iter().map(|sketch| sketch.negative.len() + sketch.positive.len()).sum();
        self.sketches.capacity() * size_of::<Sketch>() + entries * 16
    }
}

/// The ungrouped form, which plain DataFusion asks for: the grouped one with a single group.
struct One {
    groups: Sketches,
}

impl std::fmt::Debug for One {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("percentile")
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; values[0].len()];
        self.groups.update_batch(values, &groups, None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.groups.sketches[0].quantile(self.groups.fraction)))
    }

    fn size(&self) -> usize {
        self.groups.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.groups.sketches[0].to_bytes()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        self.groups.merge_batch(states, &groups, 1)
    }
}
