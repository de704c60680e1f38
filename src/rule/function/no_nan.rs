//! Makes NaN null and -0 to 0.
//!
//! SQL has no agreed order for NaN: it is above every threshold in one engine and equal to nothing in another, and its sign, which decides in
//! a total order, differs between processors. A ratio of 0 to 0 is no measurement, so it is null here, and no comparison, aggregate
//! or sort sees it. -0 and 0 are one number, yet they differ in their bits, by which values are grouped and told apart.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{Float32Type, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{Expr, ScalarUDF};

use crate::rule::function::float_function::FloatFunction;

const NAME: &str = "no_nan";

static NO_NAN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(FloatFunction::udf(NAME, cleaned)));

/// Wraps an expression of floats.
pub fn no_nan(expr: Expr) -> Expr {
    NO_NAN.call(vec![expr])
}

/// The expression that [`no_nan`] wrapped.
pub fn wrapped(expr: &Expr) -> Option<&Expr> {
    FloatFunction::argument(expr, NAME)
}

/// A number as all columns hold it: NaN is none, and -0 is 0.
pub fn number(number: f64) -> Option<f64> {
    (!number.is_nan()).then_some(number + 0.0)
}

fn cleaned(column: &ArrayRef) -> Result<ArrayRef> {
    if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
        return Ok(clean(numbers, column, |x| x.is_nan() || x.to_bits() == (-0.0_f64).to_bits(), f64::is_nan, |x| x + 0.0));
    }
    if let Some(numbers) = column.as_primitive_opt::<Float32Type>() {
        return Ok(clean(numbers, column, |x| x.is_nan() || x.to_bits() == (-0.0_f32).to_bits(), f32::is_nan, |x| x + 0.0));
    }
    exec_err!("{} are no floats", column.data_type())
}

/// Mostly nothing is to be done: then the column is handed on.
fn clean<T: ArrowPrimitiveType>(
    numbers: &PrimitiveArray<T>,
    column: &ArrayRef,
    is_odd: impl Fn(T::Native) -> bool,
    is_nan: impl Fn(T::Native) -> bool,
    without_sign: impl Fn(T::Native) -> T::Native,
) -> ArrayRef {
    if !numbers.values().iter().fold(false, |odd, number| odd | is_odd(*number)) {
        return Arc::clone(column);
    }
    let clean: PrimitiveArray<T> = numbers.unary_opt(|number| (!is_nan(number)).then(|| without_sign(number)));
    Arc::new(clean)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Float64Array};

    use super::*;

    #[test]
    fn nan_is_null_and_zero_has_no_sign() {
        let odd: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(-f64::NAN), Some(-0.0), None, Some(f64::INFINITY)]));
        let clean = cleaned(&odd).unwrap();
        let clean: Vec<Option<f64>> = clean.as_primitive::<Float64Type>().iter().collect();
        assert_eq!(clean, [None, None, Some(0.0), None, Some(f64::INFINITY)]);
        assert!(clean[2].unwrap().is_sign_positive());
        let single: ArrayRef = Arc::new(Float32Array::from(vec![f32::NAN, 2.5]));
        assert_eq!(cleaned(&single).unwrap().null_count(), 1);
        let usual: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None]));
        assert!(Arc::ptr_eq(&cleaned(&usual).unwrap(), &usual));
    }
}
