//! How long and how deep a query is, before anybody plans it. A parser builds a long chain of operators without recursion, and the
//! tree is as deep as the chain is long: whoever goes down into it later, if only to free it, needs a step of the stack a level.

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr, Spanned, Statement, TableFactor, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, Tokenizer};

use crate::model::diagnostic::Diagnostic;
use crate::model::limits::{SQL_TOKENS_MAX, TABLES_READ_MAX, TREE_DEPTH_MAX};
use crate::rule::sql::places::{first_word, span_bytes};

/// Where the text is longer than a rule may be. What is no SQL at all is for the parser to say.
pub fn too_long(text: &str) -> Option<Diagnostic> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().ok()?;
    let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let over = words.nth(SQL_TOKENS_MAX)?;
    Some(Diagnostic {
        span: span_bytes(text, over.span),
        message: format!("more than {SQL_TOKENS_MAX} words and signs"),
        hint: Some("write several rules".into()),
    })
}

/// Where the query is deeper than a rule may be, or reads more tables.
pub fn too_deep(text: &str, statement: &Statement) -> Option<Diagnostic> {
    let mut finder = Finder { depth: 0, tables: 0 };
    let ControlFlow::Break(found) = statement.visit(&mut finder) else { return None };
    let span = span_bytes(text, found.span);
    let span = if span.is_empty() { first_word(text) } else { first_line(text, span) };
    Some(Diagnostic { span, message: found.message, hint: Some(found.hint.into()) })
}

/// A chain may fill the file: its first line is enough.
fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let length = text[span.clone()].find('\n').unwrap_or(span.len());
    span.start..span.start + length
}

struct Finder {
    depth: usize,
    tables: usize,
}

struct TooLarge {
    span: Span,
    message: String,
    hint: &'static str,
}

impl Finder {
    fn down(&mut self, levels: usize, of: impl FnOnce() -> (Span, &'static str)) -> ControlFlow<TooLarge> {
        self.depth += levels;
        if self.depth <= TREE_DEPTH_MAX {
            return ControlFlow::Continue(());
        }
        let (span, hint) = of();
        ControlFlow::Break(TooLarge { span, message: format!("more than {TREE_DEPTH_MAX} operators in one chain"), hint })
    }
}

impl Visitor for Finder {
    type Break = TooLarge;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<TooLarge> {
        self.down(1, || {
            (expr.span(), "many values of one column are IN ('a', 'b'); else name parts of it: WITH part AS (SELECT …)")
        })
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<TooLarge> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<TooLarge> {
        self.down(set_levels(&query.body), || (query.span(), "write several rules"))
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<TooLarge> {
        self.depth -= set_levels(&query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<TooLarge> {
        self.tables += 1;
        if self.tables <= TABLES_READ_MAX {
            return ControlFlow::Continue(());
        }
        let message = format!("more than {TABLES_READ_MAX} tables and queries stand after FROM");
        ControlFlow::Break(TooLarge { span: factor.span(), message, hint: "write several rules" })
    }
}

/// How deep UNION, EXCEPT and INTERSECT are in each other; each takes twice what an operator takes.
fn set_levels(body: &SetExpr) -> usize {
    let (mut deepest, mut waiting) = (0, vec![(body, 0)]);
    while let Some((body, levels)) = waiting.pop() {
        deepest = deepest.max(levels);
        if let SetExpr::SetOperation { left, right, .. } = body {
            waiting.extend([(left.as_ref(), levels + 2), (right.as_ref(), levels + 2)]);
        }
    }
    deepest
}
