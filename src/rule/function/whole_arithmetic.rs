//! Arithmetic of whole numbers that is null where it has no answer: on overflow, and on a division by zero.
//!
//! DataFusion's wraps around on overflow, so that a large sum of bytes becomes negative, and a division by zero is an error of the whole
//! batch.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray, Scalar, new_null_array};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

const OPERATORS: [(Operator, &str); 5] = [
    (Operator::Plus, "whole_plus"),
    (Operator::Minus, "whole_minus"),
    (Operator::Multiply, "whole_times"),
    (Operator::Divide, "whole_quotient"),
    (Operator::Modulo, "whole_remainder"),
];

static FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let make = |(operator, name)| Arc::new(ScalarUDF::from(WholeArithmetic::new(operator, name)));
    OPERATORS.into_iter().map(make).collect()
});

/// `left op right` of whole numbers of one type. `None`: the operator is no arithmetic.
pub fn whole(left: &Expr, operator: Operator, right: &Expr) -> Option<Expr> {
    let at = OPERATORS.iter().position(|(known, _)| *known == operator)?;
    Some(FUNCTIONS[at].call(vec![left.clone(), right.clone()]))
}

/// The expression as its author wrote it, where [`whole`] made this one.
pub fn written(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::ScalarFunction(call) => call.func.inner().downcast_ref::<WholeArithmetic>()?.as_operator(&call.args),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WholeArithmetic {
    operator: Operator,
    name: &'static str,
    signature: Signature,
}

impl WholeArithmetic {
    fn new(operator: Operator, name: &'static str) -> Self {
        // Type coercion has run: both sides have one type.
        Self { operator, name, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn as_operator(&self, args: &[Expr]) -> Option<Expr> {
        let [left, right] = args else { return None };
        Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left.clone()), self.operator, Box::new(right.clone()))))
    }

    fn kernel(&self, left: &dyn Datum, right: &dyn Datum) -> std::result::Result<ArrayRef, ArrowError> {
        match self.operator {
            Operator::Plus => numeric::add(left, right),
            Operator::Minus => numeric::sub(left, right),
            Operator::Multiply => numeric::mul(left, right),
            Operator::Divide => numeric::div(left, right),
            _ => numeric::rem(left, right),
        }
    }

    /// Row by row: slow, and only where some row has no answer.
    fn row_by_row<T: ArrowPrimitiveType>(&self, left: &ArrayRef, right: &ArrayRef) -> ArrayRef
    where
        T::Native: ArrowNativeTypeOp,
    {
        let (left, right) = (left.as_primitive::<T>(), right.as_primitive::<T>());
        let answer = |(left, right): (T::Native, T::Native)| match self.operator {
            Operator::Plus => left.add_checked(right).ok(),
            Operator::Minus => left.sub_checked(right).ok(),
            Operator::Multiply => left.mul_checked(right).ok(),
            Operator::Divide => left.div_checked(right).ok(),
            _ => left.mod_checked(right).ok(),
        };
        let answers: PrimitiveArray<T> = left.iter().zip(right.iter()).map(|(l, r)| l.zip(r).and_then(answer)).collect();
        Arc::new(answers)
    }
}

impl ScalarUDFImpl for WholeArithmetic {
    fn name(&self) -> &str {
        self.name
    }

    /// The column keeps its name.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.as_operator(args).map(|written| written.schema_name().to_string()).unwrap_or_default())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else { return exec_err!("{} takes two numbers", self.name) };
        let datum = |value: &ColumnarValue| -> Result<Box<dyn Datum>> {
            Ok(match value {
                ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
                ColumnarValue::Scalar(scalar) => Box::new(Scalar::new(scalar.to_array()?)),
            })
        };
        let all_scalars = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let column = match self.kernel(datum(left)?.as_ref(), datum(right)?.as_ref()) {
            Ok(column) => column,
            Err(ArrowError::ArithmeticOverflow(_) | ArrowError::DivideByZero) => {
                let rows = if all_scalars { 1 } else { args.number_rows };
                let (left, right) = (left.to_array(rows)?, right.to_array(rows)?);
                match left.data_type() {
                    DataType::Int64 => self.row_by_row::<Int64Type>(&left, &right),
                    DataType::Int32 => self.row_by_row::<Int32Type>(&left, &right),
                    DataType::Int16 => self.row_by_row::<Int16Type>(&left, &right),
                    DataType::Int8 => self.row_by_row::<Int8Type>(&left, &right),
                    DataType::UInt64 => self.row_by_row::<UInt64Type>(&left, &right),
                    DataType::UInt32 => self.row_by_row::<UInt32Type>(&left, &right),
                    DataType::UInt16 => self.row_by_row::<UInt16Type>(&left, &right),
                    DataType::UInt8 => self.row_by_row::<UInt8Type>(&left, &right),
                    other => new_null_array(other, left.len()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        if all_scalars {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&column, 0)?));
        }
        Ok(ColumnarValue::Array(column))
    }
}
