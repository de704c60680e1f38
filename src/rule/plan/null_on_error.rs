//! Makes an expression null where it has no answer on a row, so that the other rows keep their values.
//!
//! A cast that fails, an overflow of whole numbers and their division by zero, and a float that is no number (0.0 / 0.0): in DataFusion
//! these are errors of the whole batch, numbers that are silently wrong, or NaN. Here they are null, as a label that the row does not have.
//! So no column of floats ever holds NaN or -0, and two values that are equal have equal bits.
//!
//! It also makes casts round as PostgreSQL's do: floats half to even, decimals half away from zero.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast};
use datafusion::optimizer::analyzer::AnalyzerRule;

use crate::rule::function::no_nan::{no_nan, wrapped};
use crate::rule::function::round_half_even::{round_half_even, rounded};
use crate::rule::function::whole_arithmetic;
use crate::rule::plan::literal;

/// The analyzer rule. It runs after type coercion, so that it sees every cast.
#[derive(Debug)]
pub struct NullOnError;

impl AnalyzerRule for NullOnError {
    fn name(&self) -> &str {
        "null_on_error"
    }

    fn analyze(&self, plan: LogicalPlan, _options: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite_node)?.data)
    }
}

fn rewrite_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|expr| rewrite(expr, &schema))?.update_data(|expr| name.restore(expr)))
    })?;
    rewritten.map_data(LogicalPlan::recompute_schema)
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field }) => match literal::read(&expr, field.data_type())? {
            Some(value) => Ok(Transformed::yes(Expr::Literal(value, None))),
            None => converted(*expr, field, schema),
        },
        Expr::TryCast(TryCast { expr, field }) => converted(*expr, field, schema),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_arithmetic(op) => arithmetic(*left, op, *right, schema),
        Expr::Negative(inner) => {
            let kind = inner.get_type(schema)?;
            if kind.is_integer() {
                let zero = Expr::Literal(ScalarValue::new_zero(&kind)?, None);
                return Ok(whole_arithmetic::whole(&zero, Operator::Minus, &inner)
                    .map_or_else(|| Transformed::no(Expr::Negative(inner)), Transformed::yes));
            }
            let negative = Expr::Negative(Box::new(unwrapped(*inner)));
            Ok(if is_float(&kind) { Transformed::yes(no_nan(negative)) } else { Transformed::no(negative) })
        }
        Expr::ScalarFunction(_) if wrapped(&expr).is_none() && is_float(&expr.get_type(schema)?) => {
            Ok(Transformed::yes(no_nan(expr)))
        }
        Expr::Literal(ScalarValue::Float64(Some(number)), metadata) if number == 0.0 || number.is_nan() => {
            let number = crate::rule::function::no_nan::number(number);
            Ok(Transformed::yes(Expr::Literal(ScalarValue::Float64(number), metadata)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// A cast that is null where it fails and rounds where it must.
fn converted(expr: Expr, field: FieldRef, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (from, to) = (expr.get_type(schema)?, field.data_type().clone());
    let whole = to.is_integer();
    let expr = match &from {
        kind if whole && is_float(kind) => round_half_even(expr),
        DataType::Decimal32(precision, scale) if whole && *scale > 0 => decimal(expr, DataType::Decimal32(*precision, 0)),
        DataType::Decimal64(precision, scale) if whole && *scale > 0 => decimal(expr, DataType::Decimal64(*precision, 0)),
        DataType::Decimal128(precision, scale) if whole && *scale > 0 => decimal(expr, DataType::Decimal128(*precision, 0)),
        DataType::Decimal256(precision, scale) if whole && *scale > 0 => decimal(expr, DataType::Decimal256(*precision, 0)),
        _ => expr,
    };
    let expr = Box::new(expr);
    if !can_fail(&from, &to) {
        return Ok(Transformed::yes(Expr::Cast(Cast { expr, field })));
    }
    let converted = Expr::TryCast(TryCast { expr, field });
    // 'NaN' is a text that can be read as a float.
    Ok(Transformed::yes(if is_float(&to) { no_nan(converted) } else { converted }))
}

/// A cast of a decimal to fewer digits rounds half away from zero; to a whole number, it cuts off the fraction.
fn decimal(expr: Expr, kind: DataType) -> Expr {
    Expr::TryCast(TryCast::new(Box::new(expr), kind))
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

fn arithmetic(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (kind, other) = (right.get_type(schema)?, left.get_type(schema)?);
    let binary = |left, right| Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) });
    if kind.is_integer() && kind == other {
        return Ok(
            whole_arithmetic::whole(&left, op, &right).map_or_else(|| Transformed::no(binary(left, right)), Transformed::yes)
        );
    }
    if is_float(&kind) && is_float(&other) {
        // What stands inside is cleaned with the whole, but for a denominator: one by -0 is another infinity than one by 0.
        let right = if op == Operator::Divide { right } else { unwrapped(right) };
        return Ok(Transformed::yes(no_nan(binary(unwrapped(left), right))));
    }
    if !matches!(op, Operator::Divide | Operator::Modulo) || !(kind.is_integer() || kind.is_decimal()) {
        return Ok(Transformed::no(binary(left, right)));
    }
    let zero = ScalarValue::new_zero(&kind)?;
    let literal = matches!(&right, Expr::Literal(value, _) if !value.is_null() && *value != zero);
    if literal {
        return Ok(Transformed::no(binary(left, right)));
    }
    Ok(Transformed::yes(binary(left, nullif(right, Expr::Literal(zero, None)))))
}

fn unwrapped(expr: Expr) -> Expr {
    wrapped(&expr).cloned().unwrap_or(expr)
}

fn is_float(kind: &DataType) -> bool {
    matches!(kind, DataType::Float64 | DataType::Float32)
}

/// Casts between texts, and of whole numbers to floats, always succeed; the planner makes many of them.
fn can_fail(from: &DataType, to: &DataType) -> bool {
    let text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null);
    !(text(to) || from == to || (from.is_numeric() && to.is_floating()) || from.is_null())
}

/// An expression as its author wrote it, for `explain`.
///
/// # Errors
///
/// None of this rule's own.
pub fn as_written(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|node| {
        if let Some(inner) = wrapped(&node).or_else(|| rounded(&node)) {
            return Ok(Transformed::yes(inner.clone()));
        }
        Ok(whole_arithmetic::written(&node).map_or_else(|| Transformed::no(node), Transformed::yes))
    })
}
