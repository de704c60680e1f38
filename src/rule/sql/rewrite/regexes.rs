//! What a regular expression matches: `regexp_match(body, '…')[1]`, `regexp_substr`, `regexp_extract` and `substring(body from '…')`
//! become calls of [`regexp_extract`](crate::rule::function::regexp_group).

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, Subscript, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::model::diagnostic::Diagnostic;
use crate::rule::function::regexp_group::{NAME, groups};
use crate::rule::sql::places::span_bytes;
use crate::rule::sql::rewrite::build;
use crate::rule::sql::syntax_tree::last;

/// Rewrites one expression, if it takes out what a regular expression matches.
pub fn rewrite(text: &str, expr: &mut Expr) -> Result<(), Diagnostic> {
    let rewritten = match expr {
        Expr::CompoundFieldAccess { root, access_chain } => {
            let [AccessExpr::Subscript(Subscript::Index { index: Expr::Value(index) })] = access_chain.as_slice() else {
                return Ok(());
            };
            let Some((of, pattern)) = call_of(root, &["regexp_match"]) else { return Ok(()) };
            let Value::Number(place, _) = &index.value else { return Ok(()) };
            let Ok(place) = place.to_string().parse::<usize>() else { return Ok(()) };
            let known = known_groups(text, pattern)?;
            if place == 0 || place > known.max(1) {
                let message = format!("the regular expression has {known} groups, there is no group {place}");
                return Err(Diagnostic::new(span_bytes(text, index.span), message, "groups are counted from 1"));
            }
            extract(of, pattern, if known == 0 { 0 } else { place }, root.span())
        }
        Expr::Function(_) => {
            let Some((of, pattern)) = call_of(expr, &["regexp_substr"]) else { return Ok(()) };
            known_groups(text, pattern)?;
            extract(of, pattern, 0, expr.span())
        }
        Expr::Substring { expr: of, substring_from: Some(pattern), substring_for: None, .. }
            if build::as_text(pattern).is_some() =>
        {
            // As PostgreSQL has it: the first group, or the whole match where there is none.
            let group = known_groups(text, pattern)?.min(1);
            extract(of, pattern, group, of.span())
        }
        _ => return Ok(()),
    };
    *expr = rewritten;
    Ok(())
}

/// The two arguments of a call of one of these functions.
fn call_of<'e>(expr: &'e Expr, names: &[&str]) -> Option<(&'e Expr, &'e Expr)> {
    let expr = match expr {
        Expr::Nested(inner) => inner.as_ref(),
        other => other,
    };
    let Expr::Function(function) = expr else { return None };
    let name = last(&function.name)?.value.to_lowercase();
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(of)), FunctionArg::Unnamed(FunctionArgExpr::Expr(pattern))]
            if names.contains(&name.as_str()) =>
        {
            Some((of, pattern))
        }
        _ => None,
    }
}

fn known_groups(text: &str, pattern: &Expr) -> Result<usize, Diagnostic> {
    let span = span_bytes(text, pattern.span());
    let Some((pattern, _)) = build::as_text(pattern) else {
        return Err(Diagnostic::new(span, "a regular expression that is computed", "write it out as one text in quotes"));
    };
    let hint = "the flavour is that of Rust's regex: without look-around and back-references";
    groups(pattern).map_err(|why| Diagnostic::new(span, format!("the regular expression cannot be read: {why}"), hint))
}

fn extract(of: &Expr, pattern: &Expr, group: usize, span: Span) -> Expr {
    let group = Expr::Value(ValueWithSpan { value: Value::Number(group.to_string(), false), span });
    Expr::Function(build::call(NAME, span, vec![of.clone(), pattern.clone(), group]))
}
