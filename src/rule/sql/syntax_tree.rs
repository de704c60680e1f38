//! What the parts of a rule's syntax tree are called: functions, columns, streams.

use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, ObjectNamePart};

use crate::model::event::Kind;
use crate::rule::sql::catalog;

/// The last part of a name.
pub fn last(name: &ObjectName) -> Option<&Ident> {
    match name.0.last()? {
        ObjectNamePart::Identifier(ident) => Some(ident),
        ObjectNamePart::Function(_) => None,
    }
}

/// The name of the aggregate function that `expr` calls; a window function is none.
pub fn aggregate(expr: &Expr) -> Option<&Ident> {
    let Expr::Function(function) = expr else { return None };
    last(&function.name).filter(|name| function.over.is_none() && catalog::is_aggregate(&name.value.to_lowercase()))
}

/// The name that an expression has as a column: the last part of a path, or the label's key.
pub fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(path) => path.last().map(folded),
        Expr::CompoundFieldAccess { .. } => {
            let text = expr.to_string();
            let (_, key) = text.split_once("labels['")?;
            key.strip_suffix("']").map(String::from)
        }
        _ => None,
    }
}

/// A name as the planner reads it: lower case, unless it stands in quotes.
pub fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The stream that a table's name means, read through a named window (`yesterday.metrics`) or not.
pub fn kind_of(table: &ObjectName) -> Option<Kind> {
    Kind::of_table(&last(table)?.value)
}
