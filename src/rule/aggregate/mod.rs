//! Aggregate functions, made for panes: a state a group that is small, merges in any order, and costs a batch its rows, never
//! the groups.
//!
//! - functions of our own: [`percentile`] (over [`sketch`], [`buckets`], [`sealed`]), and [`exact_sum`] sums; both by [`group_state`]
//! - DataFusion's functions with another grouped form, because its own walks all groups at every batch: [`count_distinct`] texts,
//!   [`first_last_value`] for `first_value` and `last_value`, [`grouped_adapter`] for all that have none
//!
//! What DataFusion gives for the rest (`count`, `min`, `max`, `stddev`, `var`, `corr`, `bool_…`, `bit_…`, `approx_distinct`)
//! touches the rows of a batch only.

pub mod count_distinct;
#[cfg(test)]
mod equivalence_tests;
pub mod exact_sum;
pub mod first_last_value;
pub mod group_state;
pub mod grouped_adapter;
pub mod percentile;
pub mod sketch;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use crate::rule::aggregate::count_distinct::DistinctTexts;
use crate::rule::aggregate::first_last_value::{Extreme, Number, Text, can_place};
use crate::rule::aggregate::grouped_adapter::RowWise;

/// A fresh accumulator for the groups of one function. Its states merge only into others from here.
///
/// # Errors
///
/// DataFusion's: the function cannot be made for its arguments.
pub fn grouped(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    let ours = match function.fun().name() {
        "count" if function.is_distinct() => distinct(function)?,
        name @ ("first_value" | "last_value") if !function.is_reversed() => extreme(function, name == "last_value")?,
        _ => None,
    };
    match ours {
        Some(ours) => Ok(ours),
        None if function.groups_accumulator_supported() => function.create_groups_accumulator(),
        None => Ok(Box::new(RowWise::new(Arc::clone(function)))),
    }
}

fn distinct(function: &AggregateFunctionExpr) -> Result<Option<Box<dyn GroupsAccumulator>>> {
    // DataFusion's state of a distinct count is a list of what was counted.
    let state = function.state_fields()?;
    let texts = match state.first().map(|field| field.data_type()) {
        Some(DataType::List(item)) => matches!(item.data_type(), DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8),
        _ => false,
    };
    Ok(texts.then(|| Box::new(DistinctTexts::default()) as Box<dyn GroupsAccumulator>))
}

fn extreme(function: &AggregateFunctionExpr, last: bool) -> Result<Option<Box<dyn GroupsAccumulator>>> {
    let [order] = function.order_bys() else { return Ok(None) };
    // DataFusion's state is the value, what it is ordered by, and whether there is one.
    if !function.state_fields()?.get(1).is_some_and(|field| can_place(field.data_type())) {
        return Ok(None);
    }
    let (ignore_nulls, options) = (function.ignore_nulls(), order.options);
    Ok(match function.field().data_type() {
        DataType::Float64 => Some(Box::new(Extreme::<Number>::new(last, ignore_nulls, options))),
        DataType::Utf8View => Some(Box::new(Extreme::<Text>::new(last, ignore_nulls, options))),
        _ => None,
    })
}
