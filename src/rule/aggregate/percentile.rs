//! `p50`, `p90`, `p95`, `p99`: percentiles as mergeable sketches.
//!
//! DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB
//! 2019): a number is counted in a bucket whose ends are 2% apart, so the answer is within 1% of a value at the asked rank,
//! whatever the data. Merging sketches adds counts, so it is exact and does not depend on the order.
//!
//! Two percentiles of one column are two sketches: DataFusion has one state for each aggregate function, and the plan would have
//! to be rewritten to share it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use crate::rule::aggregate::group_state::{FloatAccumulator, FloatAggregate};
use crate::rule::aggregate::sketch::bucket_counts::Sketch;

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
        Ok(vec![Arc::new(Field::new(format!("{}[sketch]", args.name), DataType::Binary, true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(FloatAccumulator::ungrouped(PercentileOf { percent: self.percent })))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(FloatAccumulator::grouped(PercentileOf { percent: self.percent })))
    }
}

#[derive(Clone, Copy, Debug)]
struct PercentileOf {
    percent: u8,
}

impl FloatAggregate for PercentileOf {
    type State = Sketch;

    fn add(self, sketch: &mut Sketch, number: f64) {
        sketch.add(number);
    }

    fn value(self, sketch: &Sketch) -> Option<f64> {
        sketch.percentile(self.percent)
    }

    fn encode(self, sketches: &[Sketch]) -> Vec<ArrayRef> {
        let mut builder = BinaryBuilder::new();
        let mut bytes = Vec::new();
        for sketch in sketches {
            sketch.encode(&mut bytes);
            builder.append_value(&bytes);
            bytes.clear();
        }
        let mut column = builder.finish();
        // A pane is kept as long as its window: the builder's spare capacity would be kept with it.
        column.shrink_to_fit();
        vec![Arc::new(column)]
    }

    fn merge(self, sketches: &mut [Sketch], encoded: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let encoded = encoded[0].as_binary::<i32>();
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| encoded.is_valid(*row)) {
            if sketches[*group].merge(encoded.value(row)).is_err() {
                return exec_err!("{} bytes of a percentile's state are not a sketch", encoded.value(row).len());
            }
        }
        Ok(())
    }

    fn heap_bytes(sketch: &Sketch) -> usize {
        sketch.heap_bytes()
    }
}
