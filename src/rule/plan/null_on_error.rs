//! Makes an expression null where it fails on a row, so that the other rows keep their values.
//!
//! A cast that fails, and a whole number divided by zero, are errors of the whole batch in DataFusion. Which rows share a batch is
//! an accident, so the answer would depend on it. Here both are null, as a label that the row does not have.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast};
use datafusion::optimizer::analyzer::AnalyzerRule;

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
        Expr::Cast(Cast { expr, field }) if can_fail(&expr.get_type(schema)?, field.data_type()) => {
            Ok(Transformed::yes(Expr::TryCast(TryCast { expr, field })))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Divide | Operator::Modulo), right }) => {
            let kind = right.get_type(schema)?;
            let literal =
                matches!(right.as_ref(), Expr::Literal(value, _) if !value.is_null() && *value != ScalarValue::new_zero(&kind)?);
            if literal || !(kind.is_integer() || kind.is_decimal()) {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
            }
            let zero = Expr::Literal(ScalarValue::new_zero(&kind)?, None);
            let right = Box::new(nullif(*right, zero));
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Casts between texts, and of whole numbers to floats, always succeed; the planner makes many of them.
fn can_fail(from: &DataType, to: &DataType) -> bool {
    let text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null);
    !(text(to) || from == to || (from.is_numeric() && to.is_floating()) || from.is_null())
}
