//! `body->>'key'`, `body->'request'->>'ms'`, `body #>> '{request,ms}'` and `json_extract_path_text` become calls of
//! [`json_text`](crate::rule::function::json_text).

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, Value, ValueWithSpan,
};

use crate::model::diagnostic::Diagnostic;
use crate::rule::function::json_text::NAME;
use crate::rule::sql::places::span_bytes;
use crate::rule::sql::rewrite::build;
use crate::rule::sql::syntax_tree::last;

/// Rewrites one expression, if it reads JSON.
pub fn rewrite(text: &str, expr: &mut Expr) -> Result<(), Diagnostic> {
    let rewritten = match expr {
        Expr::BinaryOp { left, op: BinaryOperator::LongArrow, right } => of_keys(text, left, vec![key(text, right)?])?,
        Expr::BinaryOp { left, op: BinaryOperator::HashLongArrow, right } => {
            let keys = build::as_text(right).map(|(path, span)| {
                let keys = path.trim_matches(['{', '}']).split(',');
                keys.map(|key| build::text(key.trim().trim_matches('"'), span)).collect::<Vec<_>>()
            });
            let Some(keys) = keys else { return Err(computed(text, right)) };
            of_keys(text, left, keys)?
        }
        Expr::Function(function) => match of_function(text, function)? {
            Some(call) => call,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    *expr = rewritten;
    Ok(())
}

fn computed(text: &str, key: &Expr) -> Diagnostic {
    Diagnostic::new(span_bytes(text, key.span()), "a key of a JSON text that is computed", "write it out as one text in quotes")
}

fn key(text: &str, key: &Expr) -> Result<Expr, Diagnostic> {
    match key {
        Expr::Value(ValueWithSpan { value: Value::Number(place, _), span }) => Ok(build::text(place.to_string(), *span)),
        other => build::as_text(other).map(|(key, span)| build::text(key, span)).ok_or_else(|| computed(text, other)),
    }
}

/// `of->'a'->'b'` and the keys that follow.
fn of_keys(text: &str, of: &Expr, keys: Vec<Expr>) -> Result<Expr, Diagnostic> {
    match of {
        Expr::Nested(inner) => of_keys(text, inner, keys),
        Expr::BinaryOp { left, op: BinaryOperator::Arrow, right } => {
            let mut all = vec![key(text, right)?];
            all.extend(keys);
            of_keys(text, left, all)
        }
        Expr::Cast { expr, data_type: DataType::JSON | DataType::JSONB, .. } => of_keys(text, expr, keys),
        other => {
            let span = other.span();
            Ok(Expr::Function(build::call(NAME, span, std::iter::once(other.clone()).chain(keys).collect())))
        }
    }
}

fn of_function(text: &str, function: &Function) -> Result<Option<Expr>, Diagnostic> {
    let Some(name) = last(&function.name) else { return Ok(None) };
    let word = name.value.to_lowercase();
    let is_path = matches!(
        word.as_str(),
        "json_extract" | "json_extract_string" | "json_value" | "get_json_object" | "json_extract_scalar"
    );
    let is_keys = matches!(word.as_str(), "json_extract_path_text" | "jsonb_extract_path_text");
    let FunctionArguments::List(list) = &function.args else { return Ok(None) };
    if !is_path && !is_keys {
        return Ok(None);
    }
    let mut args = list.args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    let Some(of) = args.next() else { return Ok(None) };
    if is_keys {
        let keys = args.map(|it| key(text, it)).collect::<Result<Vec<_>, _>>()?;
        return of_keys(text, of, keys).map(Some);
    }
    let Some(path) = args.next() else { return Ok(None) };
    let Some((path, span)) = build::as_text(path) else { return Err(computed(text, path)) };
    let keys = path.trim_start_matches('$').split(['.', '[', ']']).map(|key| key.trim_matches(['"', '\'']));
    let keys: Vec<Expr> = keys.filter(|key| !key.is_empty()).map(|key| build::text(key, span)).collect();
    of_keys(text, of, keys).map(Some)
}
