//! Functions that other engines have, written with those of here. The aggregates among them become incremental ones: `count_if(c)` a count of
//! a CASE, `max_by(a, b)` the `last_value(a ORDER BY b)`.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, OrderByExpr, OrderByOptions, Spanned, Value, ValueWithSpan,
};

use crate::model::diagnostic::Diagnostic;
use crate::rule::sql::syntax_tree::last;

/// Rewrites one expression, if it is such a function.
pub fn rewrite(_text: &str, expr: &mut Expr) -> Result<(), Diagnostic> {
    let Expr::Function(function) = expr else { return Ok(()) };
    let Some(name) = last(&function.name) else { return Ok(()) };
    if name.value.eq_ignore_ascii_case("mod")
        && let Some(remainder) = remainder(function)
    {
        *expr = remainder;
        return Ok(());
    }
    let other = match name.value.to_lowercase().as_str() {
        "count_if" | "countif" => {
            counted(function);
            "count"
        }
        "max_by" | "arg_max" | "argmax" if ordered(function) => "last_value",
        "min_by" | "arg_min" | "argmin" if ordered(function) => "first_value",
        "every" => "bool_and",
        "approx_count_distinct" => "approx_distinct",
        "sign" => "signum",
        "regexp_matches" => "regexp_like",
        _ => return Ok(()),
    };
    if let Some(name) = last(&function.name) {
        function.name = ObjectName::from(vec![Ident::with_span(name.span, other)]);
    }
    Ok(())
}

/// `mod(a, b)` as `a % b`.
fn remainder(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(of)), FunctionArg::Unnamed(FunctionArgExpr::Expr(by))] = list.args.as_slice()
    else {
        return None;
    };
    let nested = |expr: &Expr| Box::new(Expr::Nested(Box::new(expr.clone())));
    let whole = Expr::BinaryOp { left: nested(of), op: BinaryOperator::Modulo, right: nested(by) };
    Some(Expr::Nested(Box::new(whole)))
}

/// `count_if(condition)` as `count(CASE WHEN condition THEN 1 END)`.
fn counted(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else { return };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(condition))] = list.args.as_mut_slice() else { return };
    let result = Expr::Value(ValueWithSpan { value: Value::Number("1".into(), false), span: condition.span() });
    *condition = Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition: condition.clone(), result }],
        else_result: None,
    };
}

/// `max_by(a, b)` as `(a ORDER BY b) FILTER (WHERE a IS NOT NULL AND b IS NOT NULL)`: rows without either do not count.
fn ordered(function: &mut Function) -> bool {
    let FunctionArguments::List(FunctionArgumentList { args, clauses, .. }) = &mut function.args else { return false };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(of)), FunctionArg::Unnamed(FunctionArgExpr::Expr(by))] = args.as_slice()
    else {
        return false;
    };
    if !clauses.is_empty() || function.over.is_some() {
        return false;
    }
    let known = |expr: &Expr| Expr::IsNotNull(Box::new(Expr::Nested(Box::new(expr.clone()))));
    let both = |left: Expr, right: Expr| Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::And, right: Box::new(right) };
    let filter = both(known(of), known(by));
    let order = OrderByExpr { expr: by.clone(), options: OrderByOptions::default(), with_fill: None };
    function.filter = Some(Box::new(match function.filter.take() {
        Some(own) => both(Expr::Nested(own), filter),
        None => filter,
    }));
    clauses.push(FunctionArgumentClause::OrderBy(vec![order]));
    args.truncate(1);
    true
}
