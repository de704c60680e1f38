//! `p50`, `p90`, `p95`, `p99`: percentiles as mergeable sketches.
//!
//! DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB
//! 2019): a number is counted in a bucket whose ends are 2% apart, so the answer is within 1% of a value at the asked rank,
//! whatever the data, and merging sketches adds counts: exact, and the same in every order. [`crate::rule::aggregate::sketch::bucket_index`] says which
//! bucket, [`crate::rule::aggregate::sketch::bucket_counts`] counts.
//!
//! Each function keeps a sketch of its own, even over the same argument: DataFusion gives every aggregate function a state and
//! one answer, and to share a state the plan would have to be rewritten.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use crate::rule::aggregate::group_state::{Fold, PerGroup};
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
        Ok(Box::new(PerGroup::ungrouped(At { percent: self.percent })))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(PerGroup::grouped(At { percent: self.percent })))
    }
}

#[derive(Clone, Copy, Debug)]
struct At {
    percent: u8,
}

impl Fold for At {
    type State = Sketch;

    fn add(self, sketch: &mut Sketch, number: f64) {
        sketch.add(number);
    }

    fn value(self, sketch: &Sketch) -> Option<f64> {
        sketch.percentile(self.percent)
    }

    fn seal(self, sketches: &[Sketch]) -> Vec<ArrayRef> {
        let mut builder = BinaryBuilder::new();
        let mut bytes = Vec::new();
        for sketch in sketches {
            sketch.seal(&mut bytes);
            builder.append_value(&bytes);
            bytes.clear();
        }
        let mut column = builder.finish();
        // A pane is kept for as long as the window is: the builder's spare room is not.
        column.shrink_to_fit();
        vec![Arc::new(column)]
    }

    fn merge(self, sketches: &mut [Sketch], sealed: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let sealed = sealed[0].as_binary::<i32>();
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| sealed.is_valid(*row)) {
            if sketches[*group].merge(sealed.value(row)).is_err() {
                return exec_err!("{} bytes of a percentile's state are no sketch", sealed.value(row).len());
            }
        }
        Ok(())
    }

    fn heap_bytes(sketch: &Sketch) -> usize {
        sketch.heap_bytes()
    }
}
