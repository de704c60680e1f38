//! `local_hour(ts)` and `local_weekday(ts)`: the hour, from 0, and the day of the week, Monday is 1, that the clocks show in the rule's time
//! zone, or in one that is named: `local_hour(ts, 'Asia/Seoul')`.

use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};

use crate::model::diagnostic::Diagnostic;
use crate::model::local_time::Zone;
use crate::rule::function::time_zone;
use crate::rule::sql::places::span_bytes;
use crate::rule::sql::rewrite::build;
use crate::rule::sql::syntax_tree::last;

/// The functions, and the part of a time that each of them is.
const FUNCTIONS: [(&str, &str); 2] = [("local_hour", "hour"), ("local_weekday", "isodow")];

/// Rewrites one expression, if it is such a function.
pub fn rewrite(text: &str, expr: &mut Expr, zone: Zone) -> Result<(), Diagnostic> {
    let Expr::Function(function) = expr else { return Ok(()) };
    let Some((name, span)) = last(&function.name).map(|name| (name.value.to_lowercase(), name.span)) else { return Ok(()) };
    let Some((_, part)) = FUNCTIONS.into_iter().find(|(known, _)| *known == name) else { return Ok(()) };
    let FunctionArguments::List(list) = &function.args else { return Ok(()) };
    let arguments: Vec<&Expr> = list
        .args
        .iter()
        .filter_map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    let zone = match arguments.as_slice() {
        [_] => zone.0.name().to_string(),
        [_, named] => {
            let place = span_bytes(text, named.span());
            let Some((named, _)) = build::as_text(named) else {
                let hint = format!("name the zone: {name}(ts, 'Europe/Berlin')");
                return Err(Diagnostic::new(place, "a time zone that is no text in quotes", hint));
            };
            match time_zone::zone(named) {
                Ok(_) => named.to_string(),
                Err(hint) => return Err(Diagnostic::new(place, format!("`{named}` is no time zone"), hint)),
            }
        }
        _ => {
            let message = format!("{name}() does not take these arguments");
            let hint = format!("write {name}(ts), or {name}(ts, 'Europe/Berlin')");
            return Err(Diagnostic::new(span_bytes(text, span), message, hint));
        }
    };
    let local = build::call(time_zone::NAME, span, vec![build::text(zone, span), arguments[0].clone()]);
    *expr = Expr::Function(build::call("date_part", span, vec![build::text(part, span), Expr::Function(local)]));
    Ok(())
}
