//! What the SQL parser says, in words for rule authors: its place, and a guess at the slip of the fingers behind it.

use datafusion::common::DataFusionError;

use crate::model::diagnostic::{Diagnostic, nearest, offset_of};
use crate::model::limits::SQL_DEPTH_MAX;
use crate::rule::sql::planner_words::instead_of;

/// Words that a misspelt word may have meant.
const KEYWORDS: [&str; 14] =
    ["SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "FILTER", "JOIN", "UNION", "WITH", "CASE", "BETWEEN", "AND"];

/// The place and the meaning of a parser's error: the place stands only in its text, `… at Line: 3, Column: 14`.
pub fn explain(text: &str, error: &DataFusionError) -> Diagnostic {
    let whole = error.strip_backtrace();
    let whole = whole.trim_start_matches("SQL error: ").trim_start_matches("ParserError(\"").trim_end_matches("\")");
    let whole = whole.trim_start_matches("TokenizerError(\"").replace("\\\"", "\"");
    let number_after = |key: &str| -> Option<usize> {
        let (_, tail) = whole.rsplit_once(key)?;
        tail.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    let message = whole.split(" at Line:").next().unwrap_or(&whole).trim_start_matches("sql parser error: ").to_string();
    let end = text.trim_end().len();
    if message.contains("RecursionLimitExceeded") || message.contains("recursion limit") {
        let start = deepest(text).unwrap_or(end);
        return Diagnostic {
            span: start..(start + 1).min(end.max(start)),
            message: format!("nested more than {SQL_DEPTH_MAX} levels deep"),
            hint: Some("name the inner parts: WITH part AS (SELECT …) SELECT … FROM part".into()),
        };
    }
    let Some((line, column)) = number_after("Line: ").zip(number_after("Column: ")) else {
        return Diagnostic { span: end..end, message: in_words(&message), hint: guess(text, &message, end).0 };
    };
    let start = offset_of(text, line, column);
    let (hint, better) = guess(text, &message, start);
    let start = better.unwrap_or(start);
    let token = text[start..].find(|c: char| !is_word(c)).unwrap_or(text.len() - start);
    let first = text[start..].chars().next().filter(|c| !c.is_whitespace()).map_or(0, char::len_utf8);
    let span = start..start + token.max(first);
    let message = if better.is_some() { format!("`{}` cannot stand here", &text[span.clone()]) } else { in_words(&message) };
    Diagnostic { span, message, hint }
}

/// `Expected: end of statement, found: GRUOP` as people say it.
fn in_words(message: &str) -> String {
    let Some((expected, found)) = message
        .strip_prefix("Expected")
        .map(|rest| rest.trim_start_matches([':', ' ']))
        .and_then(|rest| rest.split_once(", found: "))
    else {
        return match message {
            "Unterminated string literal" => "a text is never closed".into(),
            other => other.to_string(),
        };
    };
    let expected = match expected {
        "end of statement" => "the end of the query",
        "an SQL statement" => "SELECT",
        other => other,
    };
    if found == "EOF" {
        format!("the query ends where {expected} should come")
    } else {
        format!("expected {expected}, found `{found}`")
    }
}

/// What was probably meant, and a better place for the caret where there is one.
fn guess(text: &str, message: &str, at: usize) -> (Option<String>, Option<usize>) {
    if message.starts_with("Unterminated string literal") {
        return (Some("a text opened earlier swallowed this quote: look for the one that lacks its end".into()), None);
    }
    let Some((_, found)) = message.split_once(", found: ") else { return (None, None) };
    if let Some(hint) = instead_of(&found.to_lowercase()) {
        return (Some(hint.into()), None);
    }
    let before = &text[..at];
    let last_start = before.trim_end().trim_end_matches(is_word).len();
    let last = before[last_start..].trim_end();
    if let Some(keyword) = slip(last) {
        return (Some(format!("did you mean {keyword}?")), Some(last_start));
    }
    if let Some(keyword) = slip(found) {
        return (Some(format!("did you mean {keyword}?")), None);
    }
    if found == "(" && !last.is_empty() {
        let ahead = before[..last_start].trim_end();
        let follows_a_value = ahead.ends_with(|c: char| is_word(c) || matches!(c, ')' | ']' | '\'' | '"'));
        if follows_a_value {
            return (Some(format!("a comma missing before `{last}`?")), Some(last_start));
        }
    }
    if found.eq_ignore_ascii_case("FROM") {
        let ahead = if last.eq_ignore_ascii_case(found) { &before[..last_start] } else { before };
        if ahead.trim_end().ends_with(',') {
            return (Some("drop the comma before FROM".into()), Some(ahead.trim_end().len() - 1));
        }
    }
    (None, None)
}

/// The keyword that a misspelt word is near to; a word that is spelt right is no slip.
fn slip(word: &str) -> Option<&'static str> {
    let known =
        KEYWORDS.into_iter().chain(["AS", "BY", "ON", "OR", "IN", "IS", "NOT", "DESC", "ASC", "END", "THEN", "WHEN", "ELSE"]);
    if word.len() < 4 || known.clone().any(|keyword| keyword.eq_ignore_ascii_case(word)) {
        return None;
    }
    nearest(word, KEYWORDS).filter(|keyword| {
        // Four letters are near to much: only letters that changed places are a slip.
        word.len() > 4 || same_letters(word, keyword)
    })
}

fn same_letters(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.to_ascii_uppercase().chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(a) == sorted(b)
}

/// Where the parentheses are nested deepest.
fn deepest(text: &str) -> Option<usize> {
    let (mut depth, mut most, mut place) = (0_i64, 0_i64, None);
    for (at, c) in text.char_indices() {
        depth += i64::from(c == '(') - i64::from(c == ')');
        if depth > most {
            (most, place) = (depth, Some(at));
        }
        if depth as usize == SQL_DEPTH_MAX {
            return Some(at);
        }
    }
    place
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
