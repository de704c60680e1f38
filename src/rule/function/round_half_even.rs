//! Rounds a float to the nearest whole number, halves to the even one: what PostgreSQL's cast of a float to a whole number does.
//! DataFusion's cast cuts off the fraction.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

static ROUND: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(RoundHalfEven::new())));

/// The rounded expression, of the same type.
pub fn round_half_even(expr: Expr) -> Expr {
    ROUND.call(vec![expr])
}

/// The expression that [`round_half_even`] rounds.
pub fn rounded(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.inner().is::<RoundHalfEven>() => call.args.first(),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RoundHalfEven {
    signature: Signature,
}

impl RoundHalfEven {
    fn new() -> Self {
        let floats = [DataType::Float64, DataType::Float32].map(|kind| TypeSignature::Exact(vec![kind]));
        Self { signature: Signature::one_of(floats.to_vec(), Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for RoundHalfEven {
    fn name(&self) -> &str {
        "round_half_even"
    }

    /// The column keeps its name.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let round = |column: &ArrayRef| -> Result<ArrayRef> {
            if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
                return Ok(Arc::new(numbers.unary::<_, Float64Type>(f64::round_ties_even)));
            }
            if let Some(numbers) = column.as_primitive_opt::<Float32Type>() {
                return Ok(Arc::new(numbers.unary::<_, Float32Type>(f32::round_ties_even)));
            }
            exec_err!("{} are no floats", column.data_type())
        };
        match &args.args[0] {
            ColumnarValue::Array(column) => Ok(ColumnarValue::Array(round(column)?)),
            ColumnarValue::Scalar(scalar) => {
                let rounded = round(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&rounded, 0)?))
            }
        }
    }
}
