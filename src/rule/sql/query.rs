//! A rule's SQL as text and syntax tree: parses it, refuses all that is no single query, and finds the labels it reads.
//!
//! `labels['key']` is rewritten to a plain column of that very name (see [`crate::model::event`]), so that the planner, its
//! error messages and its optimizer treat a label as what it is here: a column.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use datafusion::sql::parser::{DFParserBuilder, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Query, SelectItem, SetExpr, Spanned, Statement, Subscript, TableFactor, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::model::diagnostic::Diagnostic;
use crate::model::event::{Kind, LabelKeys, label_column};
use crate::model::limits::SQL_DEPTH_MAX;
use crate::model::local_time::Zone;
use crate::rule::sql::catalog;
use crate::rule::sql::characters;
use crate::rule::sql::lint;
use crate::rule::sql::parser_errors;
use crate::rule::sql::places::{first_word, span_bytes};
use crate::rule::sql::query_depth;
use crate::rule::sql::rewrite;
use crate::rule::sql::syntax_tree::kind_of;

/// A rule's query, labels rewritten to columns.
#[derive(Clone, Debug)]
pub struct Sql {
    /// The syntax tree.
    pub statement: Statement,
    /// The label keys it reads, of every stream it names.
    pub label_keys: LabelKeys,
    /// What is wrong with its groups, if it plans.
    pub groups_not_selected: Vec<Diagnostic>,
}

/// Parses the text of one rule (see [`crate::rule::definition::file::RuleFile::sql`]).
pub fn parse(text: &str) -> Result<Sql, Vec<Diagnostic>> {
    parse_in(text, Zone::default())
}

/// Parses the text of one rule whose local times are those of a zone.
pub fn parse_in(text: &str, zone: Zone) -> Result<Sql, Vec<Diagnostic>> {
    if let Some(error) = query_depth::too_long(text) {
        return Err(vec![error]);
    }
    let misleading = characters::misleading(text);
    if !misleading.is_empty() {
        return Err(misleading);
    }
    let statements = DFParserBuilder::new(text)
        .with_dialect(&PostgreSqlDialect {})
        .with_recursion_limit(SQL_DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| vec![parser_errors::explain(text, &error)])?;
    let mut statements = statements.into_iter();
    let Some(first) = statements.next() else {
        let end = below_front_matter(text);
        return Err(vec![Diagnostic {
            span: end..end,
            message: "there is no SQL below the front matter".into(),
            hint: Some("write one SELECT".into()),
        }]);
    };
    if let Some(second) = statements.next() {
        return Err(vec![Diagnostic {
            span: statement_span(text, &second),
            message: "a second statement".into(),
            hint: Some("a rule is one SELECT; put the other in a file of its own".into()),
        }]);
    }
    let span = first_word(text);
    let mut statement = match first {
        DfStatement::Statement(statement) if matches!(statement.as_ref(), Statement::Query(_)) => *statement,
        other => return Err(vec![forbidden(text, span, &other)]),
    };
    if let Some(error) = query_depth::too_deep(text, &statement) {
        return Err(vec![error]);
    }
    let refused = lint::all(text, &statement);
    let groups_not_selected = lint::groups_not_selected(text, &statement);
    let not_rewritten = rewrite::rewrite(text, &mut statement, zone);
    if let ControlFlow::Break(()) = VisitMut::visit(&mut statement, &mut HavingAliases) {
        tracing::debug!("the alias visitor never breaks");
    }
    let mut labels = Labels { text, keys: Vec::new(), tables: Vec::new(), series: false, errors: Vec::new() };
    if let ControlFlow::Break(()) = VisitMut::visit(&mut statement, &mut labels) {
        tracing::debug!("the label visitor never breaks");
    }
    let errors: Vec<Diagnostic> = refused.into_iter().chain(not_rewritten).chain(labels.errors).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut label_keys = LabelKeys::default();
    if labels.series {
        label_keys.read_series();
    }
    if labels.tables.contains(&Kind::Signal) {
        label_keys.read_signals();
    }
    for kind in &labels.tables {
        labels.keys.iter().for_each(|key| label_keys.insert(*kind, key));
    }
    Ok(Sql { statement, label_keys, groups_not_selected })
}

fn statement_span(text: &str, statement: &DfStatement) -> Range<usize> {
    let known = match statement {
        DfStatement::Statement(statement) => span_bytes(text, statement.span()),
        _ => 0..0,
    };
    if known.end > known.start {
        return known;
    }
    first_word(text)
}

/// The end of what was written last, or, where nothing was, the start of the line after the front matter.
fn below_front_matter(text: &str) -> usize {
    let end = text.trim_end().len();
    if end > 0 {
        return end;
    }
    let last_line = text.trim_end_matches('\n');
    (last_line.len() + 1).min(text.len())
}

fn forbidden(text: &str, span: Range<usize>, statement: &DfStatement) -> Diagnostic {
    let first = text[span.clone()].to_uppercase();
    let what = match (statement, first.as_str()) {
        (DfStatement::CreateExternalTable(_), _) => "CREATE EXTERNAL TABLE",
        (_, "CREATE") => "CREATE",
        (_, word) => word,
    };
    Diagnostic {
        span,
        message: format!("{what} is not allowed in a rule"),
        hint: Some("a rule is one SELECT over metrics, logs, spans, alerts or signals".into()),
    }
}

/// Lets HAVING name an output column even where the stream has a column of the same name: `sum(value) AS value … HAVING value > 9`.
///
/// Outside an aggregate function a bare stream column means nothing in HAVING unless it is grouped by, so the alias is what the
/// author meant; inside one (`HAVING sum(value) > 9`) the stream's column is.
struct HavingAliases;

impl VisitorMut for HavingAliases {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        fn walk(body: &mut SetExpr) {
            match body {
                SetExpr::Select(select) => {
                    let aliases = select.projection.iter().filter_map(|item| match item {
                        SelectItem::ExprWithAlias { expr, alias } => Some((alias.value.to_lowercase(), expr.clone())),
                        _ => None,
                    });
                    let mut replace = ReplaceIdentifiers { aliases: aliases.collect(), inside_aggregates: 0 };
                    if let Some(having) = &mut select.having
                        && let ControlFlow::Break(()) = VisitMut::visit(having, &mut replace)
                    {
                        tracing::debug!("the identifier visitor never breaks");
                    }
                }
                SetExpr::SetOperation { left, right, .. } => {
                    walk(left);
                    walk(right);
                }
                _ => {}
            }
        }
        walk(&mut query.body);
        ControlFlow::Continue(())
    }
}

struct ReplaceIdentifiers {
    aliases: HashMap<String, Expr>,
    inside_aggregates: usize,
}

impl VisitorMut for ReplaceIdentifiers {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.inside_aggregates += usize::from(is_aggregate(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.inside_aggregates -= usize::from(is_aggregate(expr));
        if let Expr::Identifier(ident) = expr
            && self.inside_aggregates == 0
            && let Some(aliased) = self.aliases.get(&ident.value.to_lowercase())
        {
            *expr = Expr::Nested(Box::new(aliased.clone()));
        }
        ControlFlow::Continue(())
    }
}

fn is_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if catalog::is_aggregate(&function.name.to_string().to_lowercase()))
}

/// Rewrites `labels['key']` and notes which keys of which streams are read.
struct Labels<'a> {
    text: &'a str,
    keys: Vec<String>,
    tables: Vec<Kind>,
    /// Whether the column `series` is read.
    series: bool,
    errors: Vec<Diagnostic>,
}

impl VisitorMut for Labels<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = table
            && let Some(kind) = kind_of(name)
            && !self.tables.contains(&kind)
        {
            self.tables.push(kind);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let column = match &*expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(path) => path.last(),
            _ => None,
        };
        self.series |= column.is_some_and(|column| column.value.eq_ignore_ascii_case("series"));
        let span = expr.span();
        let Expr::CompoundFieldAccess { root, access_chain } = expr else { return ControlFlow::Continue(()) };
        let mut path: Vec<Ident> = match root.as_ref() {
            Expr::Identifier(ident) => vec![ident.clone()],
            Expr::CompoundIdentifier(path) => path.clone(),
            _ => return ControlFlow::Continue(()),
        };
        // `m.labels['key']` is `m`, then `.labels`, then the subscript.
        let dots = access_chain.iter().map_while(|access| match access {
            AccessExpr::Dot(Expr::Identifier(ident)) => Some(ident.clone()),
            _ => None,
        });
        path.extend(dots);
        if path.last().is_none_or(|last| !last.value.eq_ignore_ascii_case("labels")) {
            return ControlFlow::Continue(());
        }
        let subscripts: Vec<&AccessExpr> =
            access_chain.iter().filter(|access| !matches!(access, AccessExpr::Dot(Expr::Identifier(_)))).collect();
        let [AccessExpr::Subscript(Subscript::Index { index: Expr::Value(key) })] = subscripts.as_slice() else {
            self.bad_key(span, subscripts.first().copied());
            return ControlFlow::Continue(());
        };
        let Value::SingleQuotedString(key) = &key.value else {
            self.bad_key(span, subscripts.first().copied());
            return ControlFlow::Continue(());
        };
        let column = Ident::with_quote_and_span('"', span, label_column(key));
        if !self.keys.contains(key) {
            self.keys.push(key.clone());
        }
        let mut full = path;
        full.pop();
        full.push(column.clone());
        *expr = if full.len() == 1 { Expr::Identifier(column) } else { Expr::CompoundIdentifier(full) };
        ControlFlow::Continue(())
    }
}

impl Labels<'_> {
    fn bad_key(&mut self, span: Span, given: Option<&AccessExpr>) {
        let given = match given {
            Some(AccessExpr::Subscript(Subscript::Index { index: Expr::Identifier(key) })) => key.value.clone(),
            Some(AccessExpr::Subscript(Subscript::Index { index: Expr::Value(key) })) => key.value.to_string(),
            _ => "region".into(),
        };
        self.errors.push(Diagnostic {
            span: span_bytes(self.text, span),
            message: "a label's key must be a text in single quotes".into(),
            hint: Some(format!("write labels['{given}']: only the labels that rules name are kept")),
        });
    }
}
