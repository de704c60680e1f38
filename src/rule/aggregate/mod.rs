//! Aggregate functions for panes: the state of a group is small and merges in any order, and a batch costs its rows, however
//! many groups there are.
//!
//! - Functions of our own over the [`series`] of a group: counters, gauges, histograms.
//! - Functions of our own, on top of [`group_state`]: [`percentile`] (a [`sketch`]), [`exact_sum`] and [`moments`] (variances,
//!   correlation, regression).
//! - DataFusion's functions with a grouped accumulator of our own, because DataFusion's visits all groups at every batch:
//!   [`count_distinct`] for texts, [`first_last_value`], and [`grouped_adapter`] for functions without a grouped accumulator.
//!
//! DataFusion's own accumulators for the rest (`count`, `min`, `max`, `bool_…`, `bit_…`, `approx_distinct`) visit only the rows
//! of a batch.

pub mod count_distinct;
pub mod double_double;
#[cfg(test)]
mod equivalence_tests;
pub mod exact_sum;
pub mod first_last_value;
pub mod group_state;
pub mod grouped_adapter;
pub mod moments;
pub mod over_window;
pub mod pane_accumulator;
pub mod percentile;
pub mod series;
pub mod sketch;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{AggregateUDF, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use crate::rule::aggregate::count_distinct::CountDistinctTexts;
use crate::rule::aggregate::first_last_value::{FirstLastValue, FloatValue, TextValue, can_order_by};
use crate::rule::aggregate::grouped_adapter::GroupedAdapter;
use crate::rule::aggregate::series::udaf;

/// The aggregate functions of our own, in place of DataFusion's of the same name.
pub fn all() -> impl Iterator<Item = Arc<AggregateUDF>> {
    percentile::all().into_iter().chain(exact_sum::all()).chain(moments::all()).chain(udaf::all())
}

/// A new accumulator for the groups of one function. Its states merge only with those of accumulators made here.
///
/// # Errors
///
/// DataFusion refuses the arguments.
pub fn grouped(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    let own = match function.fun().name() {
        "count" if function.is_distinct() => count_distinct_texts(function)?,
        name @ ("first_value" | "last_value") if !function.is_reversed() => first_or_last(function, name == "last_value")?,
        _ => None,
    };
    match own {
        Some(own) => Ok(own),
        None if function.groups_accumulator_supported() => function.create_groups_accumulator(),
        None => Ok(Box::new(GroupedAdapter::new(Arc::clone(function)))),
    }
}

fn count_distinct_texts(function: &AggregateFunctionExpr) -> Result<Option<Box<dyn GroupsAccumulator>>> {
    // DataFusion's state of a distinct count is a list of the values: its item type is the argument's.
    let state = function.state_fields()?;
    let texts = match state.first().map(|field| field.data_type()) {
        Some(DataType::List(item)) => matches!(item.data_type(), DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8),
        _ => false,
    };
    Ok(texts.then(|| Box::new(CountDistinctTexts::default()) as Box<dyn GroupsAccumulator>))
}

fn first_or_last(function: &AggregateFunctionExpr, last: bool) -> Result<Option<Box<dyn GroupsAccumulator>>> {
    let [order] = function.order_bys() else { return Ok(None) };
    // DataFusion's state is the value, what it is ordered by, and whether it is set.
    if !function.state_fields()?.get(1).is_some_and(|field| can_order_by(field.data_type())) {
        return Ok(None);
    }
    let (ignore_nulls, options) = (function.ignore_nulls(), order.options);
    Ok(match function.field().data_type() {
        DataType::Float64 => Some(Box::new(FirstLastValue::<FloatValue>::new(last, ignore_nulls, options))),
        DataType::Utf8View => Some(Box::new(FirstLastValue::<TextValue>::new(last, ignore_nulls, options))),
        _ => None,
    })
}
