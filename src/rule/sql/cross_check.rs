//! What in a rule's SQL does not fit its front matter: windows that are not there or that nothing reads, steps that no row is, and
//! parts that a rule about single events cannot have.

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Spanned, Statement, TableFactor,
    Value, Visit, Visitor,
};

use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::event::Kind;
use crate::rule::lookup::table::SCHEMA;
use crate::rule::sql::places::{find_after, span_bytes};
use crate::rule::sql::syntax_tree::{aggregate, last};

/// The names that stand before a table's name: `yesterday` in `FROM yesterday.metrics`.
pub fn windows_read(statement: &Statement) -> Vec<String> {
    let name_of = |table: &ObjectName| Some(window_of(table)?.0.value.clone()).filter(|name| name != SCHEMA);
    tables_of(statement).iter().filter_map(name_of).collect()
}

/// The lookups that are read: `limits` in `JOIN lookup.limits`.
pub fn lookups_read(statement: &Statement) -> Vec<Ident> {
    let name_of =
        |table: &ObjectName| window_of(table).filter(|(schema, _)| schema.value == SCHEMA).map(|(_, name)| name.clone());
    tables_of(statement).iter().filter_map(name_of).collect()
}

/// Lookups that are not there. `known` are those that are.
pub fn unknown_lookups<'k>(text: &str, statement: &Statement, known: impl Iterator<Item = &'k str> + Clone) -> Vec<Diagnostic> {
    let unknown = |name: &Ident| {
        if known.clone().any(|known| known == name.value) {
            return None;
        }
        let all = known.clone().collect::<Vec<_>>();
        let hint = match nearest(&name.value, all.iter().copied()) {
            Some(near) => format!("did you mean `{SCHEMA}.{near}`?"),
            None if all.is_empty() => {
                format!("write lookups/{}.csv, and name its folder with `lookups: lookups` or --lookups", name.value)
            }
            None => format!("the lookups are {}", all.join(", ")),
        };
        Some(Diagnostic::new(span_bytes(text, name.span), format!("unknown lookup `{}`", name.value), hint))
    };
    lookups_read(statement).iter().filter_map(unknown).collect()
}

/// Windows and tables of windows that are not there.
pub fn unknown_windows(text: &str, statement: &Statement, windows: &[String]) -> Vec<Diagnostic> {
    tables_of(statement).iter().filter_map(|table| unknown_window(text, table, windows)).collect()
}

fn unknown_window(text: &str, table: &ObjectName, windows: &[String]) -> Option<Diagnostic> {
    let names = || windows.iter().map(String::as_str);
    let Some((window, stream)) = window_of(table) else {
        let name = last(table).filter(|name| names().any(|window| window == name.value))?;
        return Some(Diagnostic {
            span: span_bytes(text, name.span),
            message: format!("`{}` is a window, no table", name.value),
            hint: Some(format!("say of which table: `{}.metrics`", name.value)),
        });
    };
    if window.value == SCHEMA {
        return None;
    }
    if !names().any(|known| known == window.value) {
        let hint = match nearest(&window.value, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if window.value == "public" => format!("write `{}`", stream.value),
            None => format!("add it to the front matter: `windows: {{ {}: {{ window: 1h, ago: 1d }} }}`", window.value),
        };
        let message = format!("unknown window `{}`", window.value);
        return Some(Diagnostic { span: span_bytes(text, window.span), message, hint: Some(hint) });
    }
    if Kind::of_table(&stream.value).is_some() {
        return None;
    }
    let tables = Kind::ALL.map(Kind::table);
    let hint = match nearest(&stream.value, tables) {
        Some(near) => format!("did you mean `{}.{near}`?", window.value),
        None => format!("the tables are {}", tables.join(", ")),
    };
    let message = format!("unknown table `{}`", stream.value);
    Some(Diagnostic { span: span_bytes(text, stream.span), message, hint: Some(hint) })
}

fn window_of(table: &ObjectName) -> Option<(&Ident, &Ident)> {
    match table.0.as_slice() {
        [ObjectNamePart::Identifier(window), ObjectNamePart::Identifier(stream)] => Some((window, stream)),
        _ => None,
    }
}

/// Every table that is read, but for those that a WITH defines.
fn tables_of(statement: &Statement) -> Vec<ObjectName> {
    let mut finder = Tables::default();
    if let ControlFlow::Break(()) = statement.visit(&mut finder) {
        tracing::debug!("the finder never breaks");
    }
    let Tables { mut tables, defined } = finder;
    tables.retain(|table| table.0.len() > 1 || last(table).is_none_or(|name| !defined.contains(&name.value)));
    tables
}

#[derive(Default)]
struct Tables {
    tables: Vec<ObjectName>,
    defined: Vec<String>,
}

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.defined.extend(with.map(|cte| cte.alias.name.value.clone()));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor {
            self.tables.push(name.clone());
        }
        ControlFlow::Continue(())
    }
}

/// What a rule about single events cannot have: whatever looks at more than one row. `by` is the key that says so.
pub fn not_of_single_events(text: &str, statement: &Statement, by: &str) -> Vec<Diagnostic> {
    let mut finder = Several { text, found: Vec::new(), aggregates: 0 };
    if let ControlFlow::Break(()) = statement.visit(&mut finder) {
        tracing::debug!("the finder never breaks");
    }
    let Several { mut found, aggregates, .. } = finder;
    if aggregates > 0 {
        // GROUP BY and HAVING go with them.
        found.retain(|(_, what)| what.ends_with("()"));
    }
    found.sort_by_key(|(span, _)| span.start);
    let hint = match by {
        "instant" => "leave it out, or give the rule a `window` instead of `instant`",
        _ => "leave it out: each row is an event, and the steps are put together by their labels",
    };
    let error = |(span, what)| Diagnostic {
        span,
        message: format!("{what} in a rule with `{by}`, which looks at each event alone"),
        hint: Some(hint.into()),
    };
    found.into_iter().map(error).collect()
}

struct Several<'a> {
    text: &'a str,
    found: Vec<(Range<usize>, String)>,
    aggregates: usize,
}

impl Several<'_> {
    fn word(&mut self, from: usize, word: &str) {
        let span = find_after(self.text, from, word).unwrap_or(from..from);
        self.found.push((span, word.into()));
    }
}

impl Visitor for Several<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let end = span_bytes(self.text, query.body.span()).end;
        if query.order_by.is_some() {
            self.word(end, "ORDER BY");
        }
        if query.limit_clause.is_some() {
            self.word(end, "LIMIT");
        }
        if let SetExpr::SetOperation { op, left, .. } = query.body.as_ref() {
            let end = span_bytes(self.text, left.span()).end;
            self.word(end, &op.to_string());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let start = span_bytes(self.text, select.span()).start;
        if select.distinct.is_some() {
            self.word(start, "DISTINCT");
        }
        if !matches!(&select.group_by, GroupByExpr::Expressions(groups, _) if groups.is_empty()) {
            self.word(start, "GROUP BY");
        }
        if select.having.is_some() {
            self.word(start, "HAVING");
        }
        if select.from.len() > 1 || select.from.iter().any(|from| !from.joins.is_empty()) {
            let join = select.from.iter().flat_map(|from| &from.joins).next();
            let place = join.map(|join| span_bytes(self.text, join.relation.span()));
            self.found.push((place.unwrap_or(start..start), "a join".into()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let over = matches!(expr, Expr::Function(function) if function.over.is_some());
        let name = match expr {
            Expr::Function(function) if over => last(&function.name),
            other => aggregate(other),
        };
        if let Some(name) = name {
            self.aggregates += usize::from(!over);
            let what = format!("{}(){}", name.value, if over { " OVER" } else { "" });
            self.found.push((span_bytes(self.text, name.span), what));
        }
        ControlFlow::Continue(())
    }
}

/// The texts that the column `step` can hold, where it is plain to see: it is a text, or a CASE of texts.
pub fn steps_written(statement: &Statement) -> Option<Vec<String>> {
    let Statement::Query(query) = statement else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let step = select.projection.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if alias.value == "step" => Some(expr),
        _ => None,
    })?;
    let results: Vec<&Expr> = match step {
        Expr::Case { conditions, else_result, .. } => {
            conditions.iter().map(|when| &when.result).chain(else_result.as_deref()).collect()
        }
        other => vec![other],
    };
    let text = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(Some(text.clone())),
            Value::Null => Some(None),
            _ => None,
        },
        _ => None,
    };
    Some(results.into_iter().map(text).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
}
