//! The operators and functions of PromQL that SQL has, and how they are written there.

use promql_parser::parser::Expr;
use promql_parser::parser::token::{self, TokenType};

use crate::process::import::prometheus::selector::RangeFunction;

/// Functions of a range that have a counterpart.
pub(super) fn range_function(name: &str) -> Option<RangeFunction> {
    let (name, sql, is_additive) = match name {
        "rate" | "irate" => ("rate", "rate(value, 'prometheus')", true),
        "increase" => ("increase", "increase(value, 'prometheus')", true),
        "delta" => ("delta", "delta(value, 'prometheus')", true),
        "resets" => ("resets", "resets(value)", true),
        "deriv" => ("deriv", "deriv(value)", true),
        "avg_over_time" => ("avg", "avg(value)", false),
        "min_over_time" => ("min", "min(value)", false),
        "max_over_time" => ("max", "max(value)", false),
        "sum_over_time" => ("sum", "sum(value)", true),
        "count_over_time" => ("count", "count(value) * 1.0", true),
        "last_over_time" => ("last", "last(value)", true),
        "present_over_time" => ("present", "1.0", false),
        "stddev_over_time" => ("stddev", "stddev_pop(value)", false),
        "stdvar_over_time" => ("stdvar", "var_pop(value)", false),
        _ => return None,
    };
    Some(RangeFunction { name, sql, is_additive })
}

/// Functions of a number that have a counterpart.
pub(super) fn plain_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "abs" => "abs(value)",
        "ceil" => "ceil(value)",
        "floor" => "floor(value)",
        "round" => "floor(value + 0.5)",
        "sqrt" => "sqrt(value)",
        "exp" => "exp(value)",
        "ln" => "ln(value)",
        "log2" => "log2(value)",
        "log10" => "log10(value)",
        "sgn" => "signum(value)",
        _ => return None,
    })
}

/// Arithmetic, or a comparison.
pub(super) enum Operator {
    Arithmetic(Form),
    Comparison(&'static str),
}

/// How an operation is written.
pub(super) enum Form {
    Between(&'static str),
    Function(&'static str),
}

impl Form {
    pub(super) fn apply(&self, left: &str, right: &str) -> String {
        match self {
            Form::Between(sign) => format!("{left} {sign} {right}"),
            Form::Function(name) => format!("{name}({left}, {right})"),
        }
    }
}

pub(super) fn operator(op: TokenType) -> Option<Operator> {
    Some(match op.id() {
        token::T_ADD => Operator::Arithmetic(Form::Between("+")),
        token::T_SUB => Operator::Arithmetic(Form::Between("-")),
        token::T_MUL => Operator::Arithmetic(Form::Between("*")),
        token::T_DIV => Operator::Arithmetic(Form::Between("/")),
        token::T_MOD => Operator::Arithmetic(Form::Between("%")),
        token::T_POW => Operator::Arithmetic(Form::Function("power")),
        token::T_ATAN2 => Operator::Arithmetic(Form::Function("atan2")),
        token::T_EQLC => Operator::Comparison("="),
        token::T_NEQ => Operator::Comparison("<>"),
        token::T_GTR => Operator::Comparison(">"),
        token::T_LSS => Operator::Comparison("<"),
        token::T_GTE => Operator::Comparison(">="),
        token::T_LTE => Operator::Comparison("<="),
        _ => return None,
    })
}

impl Operator {
    /// The value, or for a comparison that filters the condition.
    pub(super) fn on(&self, left: &str, right: &str, is_bool: bool) -> (String, Option<String>) {
        match self {
            Operator::Arithmetic(form) => (form.apply(left, right), None),
            Operator::Comparison(sign) if is_bool => (format!("CASE WHEN {left} {sign} {right} THEN 1.0 ELSE 0.0 END"), None),
            Operator::Comparison(sign) => (String::new(), Some(format!("{left} {sign} {right}"))),
        }
    }
}

/// What stands within parentheses.
pub(super) fn without_parens(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(inner) => without_parens(&inner.expr),
        other => other,
    }
}
