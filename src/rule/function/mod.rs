//! Scalar functions of our own, where DataFusion has none, or its answer is silently another than PostgreSQL's.
//!
//! Two kinds. Some are called by rules: [`date_part`] (also `extract`), [`time_zone`] (`AT TIME ZONE`), [`regexp_group`] and [`json_text`]. The others are
//! put into the plan by [`crate::rule::plan::null_on_error`] and have no name for authors: [`no_nan`], [`whole_arithmetic`] and
//! [`round_half_even`]; `explain` leaves them out.

pub mod date_part;
mod float_function;
pub mod json_text;
pub mod no_nan;
pub mod regexp_group;
pub mod round_half_even;
pub mod time_zone;
pub mod whole_arithmetic;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

/// The functions that rules may call by name, in place of DataFusion's of the same name.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    vec![date_part::date_part(), time_zone::timezone(), regexp_group::regexp_extract(), json_text::json_text()]
}
