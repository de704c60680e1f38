//! Places in a rule's SQL: of the parser's spans, of words, and of columns of the result.

use std::ops::Range;

use datafusion::sql::sqlparser::ast::{Expr, SelectItem, SetExpr, Spanned, Statement};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::model::diagnostic::offset_of;

/// Bytes of `text` that a parser's span covers.
pub fn span_bytes(text: &str, span: Span) -> Range<usize> {
    let start = offset_of(text, span.start.line as usize, span.start.column as usize);
    let end = offset_of(text, span.end.line as usize, span.end.column as usize);
    start..end.max(start)
}

/// The first word of SQL, comments left out.
pub fn first_word(text: &str) -> Range<usize> {
    let blank = |line: &str| match line.find("--") {
        Some(at) => format!("{}{}", &line[..at], " ".repeat(line.len() - at)),
        None => line.to_string(),
    };
    let sql = text.split('\n').map(blank).collect::<Vec<_>>().join("\n");
    let start = sql.len() - sql.trim_start().len();
    let end = sql[start..].find(char::is_whitespace).map_or(sql.len(), |at| start + at);
    start..end
}

/// The place of the column `name` in the outermost SELECT list: its alias, or the whole expression.
pub fn output_column(text: &str, statement: &Statement, name: &str) -> Option<Range<usize>> {
    let Statement::Query(query) = statement else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    select.projection.iter().rev().find_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } if alias.value.eq_ignore_ascii_case(name) => Some(span_bytes(text, alias.span)),
        SelectItem::UnnamedExpr(expr) => {
            let last = match expr {
                Expr::Identifier(ident) => Some(ident),
                Expr::CompoundIdentifier(path) => path.last(),
                _ => None,
            };
            last.filter(|ident| ident.value.eq_ignore_ascii_case(name)).map(|_| span_bytes(text, expr.span()))
        }
        _ => None,
    })
}

/// The last place of `word` before `at`, in any letter case.
pub fn find_before(text: &str, at: usize, word: &str) -> Option<Range<usize>> {
    let start = text[..at].to_ascii_uppercase().rfind(word)?;
    Some(start..start + word.len())
}

/// The first place of `word` from `at` on, in any letter case.
pub fn find_after(text: &str, at: usize, word: &str) -> Option<Range<usize>> {
    let start = at + text[at..].to_ascii_uppercase().find(word)?;
    Some(start..start + word.len())
}

/// The place of a whole word of the text.
pub fn find_word(text: &str, word: &str) -> Option<Range<usize>> {
    let part_of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |at: &usize| {
        let ahead = text[..*at].chars().next_back().is_some_and(part_of_a_word);
        !ahead && !text[at + word.len()..].starts_with(part_of_a_word)
    };
    let at = text.match_indices(word).map(|(at, _)| at).find(alone)?;
    Some(at..at + word.len())
}
