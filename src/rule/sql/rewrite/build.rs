//! Parts of a syntax tree, each with a place in the text.

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// A text in quotes.
pub fn text(text: impl Into<String>, span: Span) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text.into()), span })
}

/// A call of a function.
pub fn call(name: &str, span: Span, args: Vec<Expr>) -> Function {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
    let list = FunctionArgumentList { duplicate_treatment: None::<DuplicateTreatment>, args, clauses: Vec::new() };
    Function {
        name: ObjectName::from(vec![Ident::with_span(span, name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

/// The text in quotes that an expression is, and its place.
pub fn as_text(expr: &Expr) -> Option<(&str, Span)> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => Some((text, *span)),
        Expr::Nested(inner) => as_text(inner),
        _ => None,
    }
}
