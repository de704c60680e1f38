//! Rounds a float to the nearest whole number, halves to the even one: what PostgreSQL's cast of a float to a whole number does.
//! DataFusion's cast cuts off the fraction.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float32Type, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Expr, ScalarUDF};

use crate::rule::function::float_function::FloatFunction;

const NAME: &str = "round_half_even";

static ROUND: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(FloatFunction::udf(NAME, rounded_column)));

/// The rounded expression, of the same type.
pub fn round_half_even(expr: Expr) -> Expr {
    ROUND.call(vec![expr])
}

/// The expression that [`round_half_even`] rounds.
pub fn rounded(expr: &Expr) -> Option<&Expr> {
    FloatFunction::argument(expr, NAME)
}

fn rounded_column(column: &ArrayRef) -> Result<ArrayRef> {
    if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
        return Ok(Arc::new(numbers.unary::<_, Float64Type>(f64::round_ties_even)));
    }
    if let Some(numbers) = column.as_primitive_opt::<Float32Type>() {
        return Ok(Arc::new(numbers.unary::<_, Float32Type>(f32::round_ties_even)));
    }
    exec_err!("{} are no floats", column.data_type())
}
