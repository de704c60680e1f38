//! Patterns of texts: `SIMILAR TO` and `RLIKE` become regular expressions, and `LIKE … ESCAPE '!'` a `LIKE` with the usual escape, `\`.
//!
//! The planner reads a pattern of SIMILAR TO as a regular expression that may match anywhere. In SQL it must match the whole text, and
//! `%` and `_` are its wildcards.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Spanned, Value, ValueWithSpan};

use crate::model::diagnostic::Diagnostic;
use crate::rule::sql::places::span_bytes;
use crate::rule::sql::rewrite::build;

const ESCAPE: char = '\\';

/// Rewrites one expression, if it is such a pattern.
pub fn rewrite(text: &str, expr: &mut Expr) -> Result<(), Diagnostic> {
    match expr {
        Expr::SimilarTo { negated, expr: of, pattern, escape_char } => {
            let escape = escape_of(text, escape_char.as_ref(), "SIMILAR TO")?;
            let Some((similar, span)) = build::as_text(pattern) else { return Err(computed(text, pattern, "SIMILAR TO")) };
            let pattern = build::text(regex_of_similar(similar, escape), span);
            *expr = matching(*negated, of, pattern);
        }
        Expr::RLike { negated, expr: of, pattern, .. } => *expr = matching(*negated, of, pattern.as_ref().clone()),
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } if escape_char.is_some() => {
            let escape = escape_of(text, escape_char.as_ref(), "LIKE")?;
            if escape != Some(ESCAPE) {
                let Some((like, span)) = build::as_text(pattern) else { return Err(computed(text, pattern, "LIKE")) };
                **pattern = build::text(with_usual_escape(like, escape), span);
            }
            *escape_char = None;
        }
        _ => {}
    }
    Ok(())
}

fn matching(negated: bool, of: &Expr, pattern: Expr) -> Expr {
    let op = if negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
    let whole = Expr::BinaryOp { left: Box::new(Expr::Nested(Box::new(of.clone()))), op, right: Box::new(pattern) };
    Expr::Nested(Box::new(whole))
}

fn computed(text: &str, pattern: &Expr, of: &str) -> Diagnostic {
    Diagnostic {
        span: span_bytes(text, pattern.span()),
        message: format!("a pattern of {of} that is computed"),
        hint: Some("write it out as one text in quotes".into()),
    }
}

/// The escape character; an empty text means that there is none.
fn escape_of(text: &str, given: Option<&ValueWithSpan>, of: &str) -> Result<Option<char>, Diagnostic> {
    let Some(given) = given else { return Ok(Some(ESCAPE)) };
    let characters = match &given.value {
        Value::SingleQuotedString(characters) => characters.as_str(),
        _ => "--",
    };
    let mut each = characters.chars();
    match (each.next(), each.next()) {
        (escape, None) => Ok(escape),
        _ => Err(Diagnostic {
            span: span_bytes(text, given.span),
            message: format!("the escape of {of} is one character"),
            hint: Some("for example ESCAPE '!'".into()),
        }),
    }
}

/// A pattern of LIKE whose escape is `\`.
fn with_usual_escape(pattern: &str, escape: Option<char>) -> String {
    let mut usual = String::with_capacity(pattern.len());
    let mut each = pattern.chars();
    while let Some(c) = each.next() {
        if Some(c) == escape {
            usual.push(ESCAPE);
            usual.extend(each.next());
        } else {
            if c == ESCAPE {
                usual.push(ESCAPE);
            }
            usual.push(c);
        }
    }
    usual
}

/// The regular expression that matches what a pattern of SIMILAR TO does.
fn regex_of_similar(pattern: &str, escape: Option<char>) -> String {
    let mut regex = String::from("(?s)^(?:");
    let mut each = pattern.chars().peekable();
    let mut in_brackets = false;
    while let Some(c) = each.next() {
        if Some(c) == escape {
            if let Some(literal) = each.next() {
                push_literal(&mut regex, literal);
            }
            continue;
        }
        match c {
            ']' if in_brackets => {
                in_brackets = false;
                regex.push(c);
            }
            // Within brackets a letter means itself, but for those that only a regular expression knows.
            c if in_brackets => {
                if matches!(c, '\\' | '&' | '~') || (c == '[' && each.peek() != Some(&':')) {
                    regex.push('\\');
                }
                regex.push(c);
            }
            '[' => {
                in_brackets = true;
                regex.push(c);
            }
            '%' => regex.push_str(".*"),
            '_' => regex.push('.'),
            '(' => regex.push_str("(?:"),
            '|' | '*' | '+' | '?' | '{' | '}' | ')' => regex.push(c),
            c => push_literal(&mut regex, c),
        }
    }
    regex.push_str(")$");
    regex
}

fn push_literal(regex: &mut String, c: char) {
    if r"\.+*?()|[]{}^$#&-~".contains(c) {
        regex.push('\\');
    }
    regex.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_to_matches_the_whole_text() {
        for (pattern, matching, other) in [
            ("%(timeout|refused)%", "a timeout here", "fine"),
            ("timeout", "timeout", "a timeout"),
            ("a_c", "abc", "abbc"),
            ("a.c", "a.c", "abc"),
            ("[a-c]{2}[0-9]+", "ab77", "ad77"),
            (r"100\%", "100%", "1000"),
            ("^x$", "^x$", "x"),
            ("a%z", "a\nz", "a\nzy"),
            ("[^a.]+", "bc", "b.c"),
        ] {
            let regex = regex::Regex::new(&regex_of_similar(pattern, Some('\\'))).unwrap();
            assert!(regex.is_match(matching) && !regex.is_match(other), "{pattern}: {regex}");
        }
        assert_eq!(regex_of_similar("a!%", Some('!')), "(?s)^(?:a%)$");
    }

    #[test]
    fn any_escape_becomes_the_usual_one() {
        assert_eq!(with_usual_escape("100!%_\\", Some('!')), "100\\%_\\\\");
        assert_eq!(with_usual_escape("a\\%", None), "a\\\\%");
    }
}
