//! `ts AT TIME ZONE 'Europe/Berlin'` becomes a call of [`timezone`](crate::rule::function::time_zone). The planner takes it for a cast, and
//! because a time has no zone there, the hours stayed those of UTC.

use datafusion::sql::sqlparser::ast::{Expr, Spanned};

use crate::model::diagnostic::Diagnostic;
use crate::rule::function::time_zone::{NAME, zone};
use crate::rule::sql::places::span_bytes;
use crate::rule::sql::rewrite::build;

/// Rewrites one expression, if it is such a time.
pub fn rewrite(text: &str, expr: &mut Expr) -> Result<(), Diagnostic> {
    let Expr::AtTimeZone { timestamp, time_zone } = expr else { return Ok(()) };
    let place = span_bytes(text, time_zone.span());
    let Some((name, span)) = build::as_text(time_zone) else {
        return Err(Diagnostic {
            span: place,
            message: "a time zone that is no text in quotes".into(),
            hint: Some("name the zone: AT TIME ZONE 'Europe/Berlin'".into()),
        });
    };
    if let Err(hint) = zone(name) {
        return Err(Diagnostic { span: place, message: format!("`{name}` is no time zone"), hint: Some(hint) });
    }
    let args = vec![build::text(name, span), timestamp.as_ref().clone()];
    *expr = Expr::Function(build::call(NAME, span, args));
    Ok(())
}
