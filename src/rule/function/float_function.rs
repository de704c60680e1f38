//! A function that the planner puts around floats, and that nobody writes: it has one argument, keeps its type and the column's name.

use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// A function of a column of Float64 or Float32. Its name is its identity.
#[derive(Debug)]
pub(crate) struct FloatFunction {
    name: &'static str,
    signature: Signature,
    of: fn(&ArrayRef) -> Result<ArrayRef>,
}

impl FloatFunction {
    /// The function that computes a column of another, for the planner.
    pub(crate) fn udf(name: &'static str, of: fn(&ArrayRef) -> Result<ArrayRef>) -> ScalarUDF {
        let floats = [DataType::Float64, DataType::Float32].map(|kind| TypeSignature::Exact(vec![kind]));
        ScalarUDF::from(Self { name, signature: Signature::one_of(floats.to_vec(), Volatility::Immutable), of })
    }

    /// The argument, where an expression is a call of the function of this name.
    pub(crate) fn argument<'e>(expr: &'e Expr, name: &str) -> Option<&'e Expr> {
        let Expr::ScalarFunction(call) = expr else { return None };
        let function = call.func.inner().downcast_ref::<Self>()?;
        call.args.first().filter(|_| function.name == name)
    }
}

impl PartialEq for FloatFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for FloatFunction {}

impl Hash for FloatFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for FloatFunction {
    fn name(&self) -> &str {
        self.name
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
        Ok(match &args.args[0] {
            ColumnarValue::Array(column) => ColumnarValue::Array((self.of)(column)?),
            ColumnarValue::Scalar(scalar) => {
                let column = (self.of)(&scalar.to_array()?)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?)
            }
        })
    }
}
