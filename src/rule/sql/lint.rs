//! What parses, and often plans, yet cannot be a rule: found in the syntax tree, where the place of each part is known.
//!
//! Everything here would otherwise be an error without a place, or a rule that silently counts the wrong thing: a `first_value`
//! that depends on the order of arrival, groups that fall into one alert, a share of counts that is always 0.

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments,
    GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, Spanned, Statement, TableFactor, Value, Visit, Visitor,
};

use crate::model::diagnostic::Diagnostic;
use crate::model::event::{Column, Kind};
use crate::rule::aggregate::series::function::{SeriesFunction, named};
use crate::rule::sql::catalog;
use crate::rule::sql::places::{find_after, find_before, span_bytes};
use crate::rule::sql::syntax_tree::{aggregate, column_name, folded, kind_of, last};

const ONE_SELECT: &str = "a rule is one SELECT over metrics, logs, spans, alerts or signals";
const FRACTION: &str = "a count divided by a count is a whole number: a share of 0.9 becomes 0";

/// Everything in the query that no rule may hold, in the order of the text.
pub fn all(text: &str, statement: &Statement) -> Vec<Diagnostic> {
    let mut finder = Finder::new(text);
    if let Statement::Query(query) = statement
        && let SetExpr::Select(select) = query.body.as_ref()
    {
        finder.outermost(select);
    }
    if let ControlFlow::Break(()) = statement.visit(&mut finder) {
        tracing::debug!("the finder never breaks");
    }
    let mut errors = finder.errors;
    errors.sort_by_key(|error| error.span.start);
    errors.dedup_by(|a, b| a.span.start == b.span.start);
    errors
}

/// Columns that are grouped by but not selected: rows that no label tells apart. Only worth saying of a query that plans, since
/// a misspelt column in SELECT looks the same.
pub fn groups_not_selected(text: &str, statement: &Statement) -> Vec<Diagnostic> {
    let mut finder = Finder::new(text);
    if let Statement::Query(query) = statement
        && let SetExpr::Select(select) = query.body.as_ref()
    {
        finder.groups_are_selected(select);
    }
    finder.errors
}

struct Finder<'a> {
    text: &'a str,
    errors: Vec<Diagnostic>,
    /// How many queries deep.
    queries: usize,
    /// The aggregates around this place, each with the depth of its query.
    aggregates: Vec<(usize, String)>,
    /// For each SELECT around this place: its streams, where it reads nothing else.
    streams: Vec<Vec<Kind>>,
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.queries += 1;
        if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
            let start = span_bytes(self.text, with.with_token.0.span).start;
            let end = find_after(self.text, start, "RECURSIVE").map_or(start, |word| word.end);
            self.refuse(start..end, "WITH RECURSIVE is not allowed in a rule", catalog::WITHOUT_BOUND);
        }
        self.only_selects(&query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let factors = select
            .from
            .iter()
            .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
        let kinds: Option<Vec<Kind>> = factors
            .map(|factor| match factor {
                TableFactor::Table { name, args: None, .. } => kind_of(name),
                _ => None,
            })
            .collect();
        self.streams.push(kinds.unwrap_or_default());
        if let Some(condition) = &select.selection {
            let mut finder = AggregatesOf { queries: 0, found: Vec::new(), over: Vec::new() };
            if let ControlFlow::Break(()) = condition.visit(&mut finder) {
                tracing::debug!("the finder never breaks");
            }
            for name in finder.found {
                let message = format!("{}() cannot stand in WHERE: rows are filtered before they are aggregated", name.value);
                self.refuse(span_bytes(self.text, name.span), message, "move it to HAVING");
            }
            for name in finder.over {
                let message = format!("{}() OVER cannot stand in WHERE: it looks at the rows that are left", name.value);
                self.refuse(
                    span_bytes(self.text, name.span),
                    message,
                    "compute it in a subquery, and filter the query around it",
                );
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _select: &Select) -> ControlFlow<()> {
        self.streams.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                if let Some(ident) = last(name) {
                    let hint = catalog::refusal(&ident.value.to_lowercase()).unwrap_or(ONE_SELECT);
                    self.refuse(span_bytes(self.text, ident.span), format!("{}() is not allowed in a rule", ident.value), hint);
                }
            }
            TableFactor::UNNEST { array_exprs, .. } => {
                let inside = array_exprs.first().map_or(0, |expr| span_bytes(self.text, expr.span()).start);
                let span =
                    find_before(self.text, inside, "UNNEST").or_else(|| find_after(self.text, 0, "UNNEST")).unwrap_or(0..0);
                self.refuse(span, "unnest() is not allowed in a rule", catalog::WITHOUT_BOUND);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Identifier(ident) if ident.quote_style.is_none() => self.clock(ident),
            Expr::CompoundIdentifier(path) => self.label_with_dot(path),
            Expr::BinaryOp { left, op, right } => self.arithmetic(left, op, right),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if aggregate(expr).is_some() {
            self.aggregates.pop();
        }
        ControlFlow::Continue(())
    }
}

impl<'a> Finder<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, errors: Vec::new(), queries: 0, aggregates: Vec::new(), streams: Vec::new() }
    }

    fn refuse(&mut self, span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.push(Diagnostic { span, message: message.into(), hint: Some(hint.into()) });
    }

    /// A query's body may also hold INSERT, VALUES or TABLE: none of them belongs in a rule.
    fn only_selects(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) if select.into.is_some() => {
                let start = span_bytes(self.text, select.select_token.0.span).start;
                let span = find_after(self.text, start, "INTO").unwrap_or(start..start);
                self.refuse(span, "SELECT INTO is not allowed in a rule", ONE_SELECT);
            }
            SetExpr::Select(_) | SetExpr::Query(_) => {}
            // A list of rows to join, as in `JOIN (VALUES ('chat', 90)) AS limits (service, most)`.
            SetExpr::Values(_) if self.queries > 1 => {}
            SetExpr::SetOperation { left, right, .. } => {
                self.only_selects(left);
                self.only_selects(right);
            }
            other => {
                let word = other.to_string().split_whitespace().next().unwrap_or_default().to_uppercase();
                let place = span_bytes(self.text, other.span());
                let span = find_before(self.text, place.start, &word)
                    .or_else(|| find_after(self.text, place.start, &word))
                    .unwrap_or(place);
                self.refuse(span, format!("{word} is not allowed in a rule"), ONE_SELECT);
            }
        }
    }

    fn function(&mut self, function: &Function) {
        let Some(name) = last(&function.name) else { return };
        let span = span_bytes(self.text, name.span);
        let word = name.value.to_lowercase();
        if function.over.is_none()
            && let Some(why) = catalog::refusal(&word)
        {
            let call = if matches!(function.args, FunctionArguments::None) { word.clone() } else { format!("{word}()") };
            self.refuse(span.clone(), format!("{call} is not allowed in a rule"), why);
        }
        let argument = first_argument(function).map(ToString::to_string);
        if function.over.is_none() && matches!(word.as_str(), "first_value" | "last_value") && !is_ordered(function) {
            let argument = argument.clone().unwrap_or("value".into());
            self.refuse(
                span.clone(),
                format!(
                    "{word}() without ORDER BY is whichever event came {}",
                    if word == "first_value" { "first" } else { "last" }
                ),
                format!("say what comes first: {word}({argument} ORDER BY ts)"),
            );
        }
        if wants_numbers(&word)
            && let Some((text, hint)) = first_argument(function).and_then(|argument| self.text_column(argument))
        {
            self.refuse(span.clone(), format!("{word}() needs a number, `{text}` is a text"), hint);
        }
        if is_distinct(function) && catalog::is_aggregate(&word) && !takes_distinct(&word) {
            let message = format!("{word}(DISTINCT …) is not known");
            self.refuse(span.clone(), message, "make the values distinct first: FROM (SELECT DISTINCT … FROM …)");
        }
        if function.over.is_none() && catalog::is_aggregate(&word) {
            if let Some((_, outer)) = self.aggregates.iter().rev().find(|(depth, _)| *depth == self.queries) {
                let message = format!("{word}() stands inside {outer}(): an aggregate takes rows, not aggregates");
                let hint = format!(
                    "aggregate in a subquery first: SELECT {outer}(v) FROM (SELECT … {word}({}) AS v … GROUP BY …)",
                    argument.unwrap_or_default()
                );
                self.refuse(span, message, hint);
            }
            self.aggregates.push((self.queries, word));
        }
    }

    /// `current_timestamp` is a function that looks like a column.
    fn clock(&mut self, ident: &Ident) {
        let word = ident.value.to_lowercase();
        if matches!(word.as_str(), "current_date" | "current_time" | "current_timestamp" | "localtime" | "localtimestamp")
            && let Some(why) = catalog::refusal(&word)
        {
            self.refuse(span_bytes(self.text, ident.span), format!("{word} is not allowed in a rule"), why);
        }
    }

    fn label_with_dot(&mut self, path: &[Ident]) {
        if let [.., labels, key] = path
            && labels.value.eq_ignore_ascii_case("labels")
        {
            let span = span_bytes(self.text, labels.span).start..span_bytes(self.text, key.span).end;
            self.refuse(span, "a label is read by its key, in brackets", format!("write labels['{}']", key.value));
        }
    }

    fn arithmetic(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) {
        let done = match op {
            BinaryOperator::Divide => "divided",
            BinaryOperator::Multiply => "multiplied",
            _ => return,
        };
        if *op == BinaryOperator::Divide && is_count(left) && is_count(right) {
            let name = [left].into_iter().find_map(count_name).map_or(0..0, |name| span_bytes(self.text, name.span));
            self.refuse(name, FRACTION, "write 1.0 * count(*) … / count(*)");
        }
        for side in [left, right] {
            let literal = match side {
                Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => {
                    Some((span_bytes(self.text, value.span), "a number is written without quotes".to_string()))
                }
                other => self.text_column(other).map(|(_, hint)| (span_bytes(self.text, other.span()), hint)),
            };
            if let Some((span, hint)) = literal {
                let message = if side == right {
                    format!("a number cannot be {done} by a text")
                } else {
                    format!("a text cannot be {done}")
                };
                self.refuse(span, message, hint);
            }
        }
    }

    /// The text of an expression that is nothing but a text column of a stream, and how to make a number of it.
    fn text_column(&self, expr: &Expr) -> Option<(String, String)> {
        let hint = "to count the events, write count(*)".to_string();
        match expr {
            Expr::CompoundFieldAccess { .. } if expr.to_string().contains("labels[") => {
                Some((expr.to_string(), format!("TRY_CAST({expr} AS DOUBLE)")))
            }
            Expr::Identifier(ident) => {
                let column = |kind: &Kind| kind.columns().iter().find(|(name, _)| *name == ident.value);
                let found = self.streams.last()?.iter().find_map(column)?;
                (found.1 == Column::Text).then(|| (ident.value.clone(), hint))
            }
            _ => None,
        }
    }

    /// What only the outermost SELECT must keep: its columns are the alert's labels.
    fn outermost(&mut self, select: &Select) {
        let mut names: Vec<String> = Vec::new();
        for item in &select.projection {
            let named = match item {
                SelectItem::UnnamedExpr(expr) => column_name(expr).map(|name| (name, span_bytes(self.text, expr.span()))),
                SelectItem::ExprWithAlias { alias, .. } => Some((folded(alias), span_bytes(self.text, alias.span))),
                SelectItem::Wildcard(_) => {
                    self.wildcard(select, item);
                    return;
                }
                _ => return,
            };
            let Some((name, span)) = named else { continue };
            if names.contains(&name) {
                self.refuse(span, format!("two columns are called `{name}`"), "give each column a name of its own with AS");
            } else {
                names.push(name);
            }
        }
    }

    fn wildcard(&mut self, select: &Select, item: &SelectItem) {
        if let [from] = select.from.as_slice()
            && let TableFactor::Table { name, args: None, .. } = &from.relation
            && kind_of(name).is_some()
        {
            let message = format!("`*` takes the raw rows of `{name}`: nothing is aggregated");
            let hint = "name the columns and aggregate: SELECT env, service, max(value) AS value … GROUP BY env, service";
            self.refuse(span_bytes(self.text, item.span()), message, hint);
        }
    }

    fn groups_are_selected(&mut self, select: &Select) {
        let GroupByExpr::Expressions(groups, _) = &select.group_by else { return };
        let mut names = Vec::new();
        let mut selected = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => selected.push(expr),
                SelectItem::ExprWithAlias { expr, alias } => {
                    names.push(folded(alias));
                    selected.push(expr);
                }
                _ => return,
            }
        }
        for group in groups {
            let Some(name) = column_name(group) else { continue };
            if names.contains(&name) || selected.iter().any(|expr| mentions(expr, &name)) {
                continue;
            }
            let shown = group.to_string();
            let message = format!("`{shown}` is grouped by but not selected: its groups would be one alert");
            let hint = match name.as_str() {
                name if name == shown.to_lowercase() => format!("add `{name}` to SELECT"),
                name => format!("add `{shown} AS {name}` to SELECT"),
            };
            self.refuse(span_bytes(self.text, group.span()), message, hint);
        }
    }
}

/// The aggregates of one expression, those of its subqueries left out.
struct AggregatesOf {
    queries: usize,
    found: Vec<Ident>,
    /// The window functions.
    over: Vec<Ident>,
}

impl Visitor for AggregatesOf {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.queries == 0 {
            self.found.extend(aggregate(expr).cloned());
            if let Expr::Function(function) = expr
                && function.over.is_some()
            {
                self.over.extend(last(&function.name).cloned());
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether a column called `name` is read anywhere in `expr`.
fn mentions(expr: &Expr, name: &str) -> bool {
    struct Mentions<'a>(&'a str);
    impl Visitor for Mentions<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if column_name(expr).as_deref() == Some(self.0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Mentions(name)).is_break()
}

fn is_count(expr: &Expr) -> bool {
    count_name(expr).is_some()
}

fn count_name(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Nested(inner) => count_name(inner),
        other => aggregate(other).filter(|name| name.value.eq_ignore_ascii_case("count")),
    }
}

fn first_argument(function: &Function) -> Option<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.first()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn is_distinct(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
}

/// Whether DISTINCT means something to an aggregate, or changes nothing.
fn takes_distinct(name: &str) -> bool {
    let changes_nothing = ["min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "approx_distinct"];
    ["count", "sum", "avg", "mean"].contains(&name) || changes_nothing.contains(&name)
}

fn is_ordered(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    let by_clause = list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
    by_clause || !function.within_group.is_empty()
}

/// Whether it is a function over series whose first argument is the value.
fn takes_value_first(name: &str) -> bool {
    named(name).is_some_and(|function| function != SeriesFunction::HistogramQuantile)
}

/// Whether the aggregate is arithmetic: min, max and count take texts as well.
fn wants_numbers(name: &str) -> bool {
    let percentile =
        name.strip_prefix('p').is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()));
    percentile
        || ["sum", "avg", "mean"].contains(&name)
        || takes_value_first(name)
        || name.starts_with("stddev")
        || name.starts_with("var")
}
