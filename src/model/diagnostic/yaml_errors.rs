//! The errors of the YAML and JSON parsers in the words of the person who wrote the file: keys and values, no Rust types.

use std::ops::Range;

use crate::model::diagnostic::{Diagnostic, nearest};

/// Explains a parser's `error` at byte `at` of `text`. Both parsers repeat the place at the end of their text: it is left out.
pub fn explain(text: &str, at: usize, error: &str) -> Diagnostic {
    let error = error.rsplit_once(" at line ").map_or(error, |(head, _)| head).trim();
    let at = floor(text, at.min(text.len()));
    let rest = text[at..].split(['\n', '\r']).next().unwrap_or_default();
    let value_end = rest.find([',', '}', ']']).filter(|_| !rest.starts_with(['"', '\'', '{', '['])).unwrap_or(rest.len());
    let value = at..at + rest[..value_end].split(" #").next().unwrap_or_default().trim_end().len();
    let (message, hint) = in_words(text, at, error);
    let word = quoted_word(error).filter(|_| error.starts_with("unknown field")).and_then(|word| {
        let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
        let start = if rest.starts_with(word) { at } else { from + text[from..].find(word)? };
        Some(start..start + word.len())
    });
    let span = word.unwrap_or(value);
    // The parser stands behind the first of two braces.
    let double = span.start > 0 && text[..span.start].ends_with('{') && rest.starts_with('{');
    let span = span.start - usize::from(double)..span.end;
    // A place at the end of the file has nothing to show: the last thing written is what is cut short.
    let span = if span.start >= text.trim_end().len() { last_line(text) } else { span };
    Diagnostic { span, message, hint }
}

fn in_words(text: &str, at: usize, error: &str) -> (String, Option<String>) {
    let key = key_at(text, at);
    let entry = text[..at].trim_end_matches(' ').ends_with('-');
    let subject =
        key.as_ref().map_or("this".to_string(), |key| if entry { format!("an entry of `{key}`") } else { format!("`{key}`") });
    let here = &text[at..];
    if let (Some(word), Some((_, expected))) = (quoted_word(error), error.split_once("expected"))
        && error.starts_with("unknown field")
    {
        let known: Vec<&str> =
            expected.split([',', '`', ' ']).filter(|word| !matches!(*word, "" | "one" | "of" | "or")).collect();
        let hint = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys are {}", known.join(", ")),
        };
        return (format!("unknown key `{word}`"), Some(hint));
    }
    if let Some(word) = error.strip_prefix("missing field ").and_then(quoted_word) {
        return (format!("`{word}` is missing"), None);
    }
    if let Some(word) = error.strip_prefix("duplicate mapping key: ").and_then(|tail| tail.split([',', ' ']).next()) {
        return (format!("`{word}` is given twice"), Some("keep one of the two".into()));
    }
    if let Some(expected) = error.strip_prefix("invalid type: ").and_then(|tail| tail.split_once(", expected ")) {
        return (format!("{subject} must be {}", type_in_words(expected.1)), None);
    }
    if let Some(scalar) = error.strip_prefix("invalid ") {
        let wanted = type_in_words(scalar.split([' ', ':']).next().unwrap_or_default());
        return (format!("{subject} must be {wanted}"), None);
    }
    match error {
        "expected mapping start" | "expected a map" => {
            let what = if here.starts_with('-') || here.starts_with('[') { "a list" } else { "a text" };
            let hint = if here.starts_with("- ") { "drop the `- `" } else { "write `key: value` lines" };
            match key {
                Some(key) if at > 0 => (format!("`{key}` is {what} here, it must be a map"), Some(hint.into())),
                _ => (format!("the file is {what}, not a map of keys to values"), Some(hint.into())),
            }
        }
        "expected sequence start" => (format!("{subject} must be a list"), key.as_deref().and_then(list_example)),
        "expected string scalar" if here.starts_with('{') && text[..at].ends_with('{') => {
            let key = key.unwrap_or_else(|| "summary".into());
            (
                format!("`{key}` must be a text, and YAML takes {{{{ for a map"),
                Some(format!("quote the template: {key}: \"{{{{ … }}}}\"")),
            )
        }
        "expected string scalar" => (format!("{subject} must be a text"), Some("quote the value".into())),
        _ if error.starts_with("cannot deserialize null") => (format!("{subject} is empty"), None),
        _ if error.starts_with("unclosed quote") => {
            ("a quote is never closed".into(), Some("end the text with the quote it begins with".into()))
        }
        _ if error.starts_with("unclosed bracket") => (
            format!("{} is never closed", error.trim_start_matches("unclosed bracket ").replace('\'', "`")),
            Some("it needs its closing bracket".into()),
        ),
        _ if error.starts_with("tabs disallowed") => ("a tab cannot indent YAML".into(), Some("indent with spaces".into())),
        _ if error.starts_with("budget breached: Depth") || error == "recursion limit exceeded" => {
            ("nested too deeply".into(), Some("keys, values and lists need a few levels".into()))
        }
        _ if error.starts_with("budget breached") => (
            "too much to read, with each alias (`*name`) written out".into(),
            Some("write what the aliases stand for, or less of it; a large graph is read from JSON".into()),
        ),
        "recursive references require weak recursion types" => {
            ("an alias stands within what it names".into(), Some("write out what it stands for".into()))
        }
        _ if error.starts_with("EOF while parsing") => {
            ("the file ends in the middle".into(), Some("a bracket or a quote is still open".into()))
        }
        other => (other.to_string(), None),
    }
}

/// The name of a Rust type or of a shape, in a person's words.
fn type_in_words(name: &str) -> &str {
    match name {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" | "integer" => "a whole number",
        "f32" | "f64" | "floating" => "a number",
        "boolean" | "a boolean" => "true or false",
        "a string" | "str" => "a text",
        "a sequence" => "a list",
        name if name.starts_with("struct") || name == "a map" => "a map of keys to values",
        other => other,
    }
}

fn list_example(key: &str) -> Option<String> {
    let example = match key {
        "servers" => "nats://127.0.0.1:4222",
        "subjects" => "events.>",
        "nodes" => "{name: chat, kind: service}",
        "edges" => "{from: chat, to: postgres}",
        _ => return None,
    };
    Some(format!("write {key}: [{example}]"))
}

/// The key whose value stands at `at`: on the same line, or above it with less indentation.
fn key_at(text: &str, at: usize) -> Option<String> {
    let line_start = text[..at].rfind('\n').map_or(0, |line| line + 1);
    let ahead = &text[line_start..at];
    if let Some((key, _)) = ahead.trim_end().rsplit_once(':') {
        return Some(last_word(key)).filter(|key| !key.is_empty());
    }
    let indent = ahead.len();
    let above = text[..line_start].lines().rev().find(|line| {
        let content = line.trim_start();
        !content.is_empty() && !content.starts_with('#') && line.len() - content.len() < indent.max(1)
    })?;
    let (key, value) = above.split_once(':')?;
    Some(last_word(key)).filter(|key| !key.is_empty() && value.trim().is_empty())
}

fn last_word(text: &str) -> String {
    let text = text.trim_end().trim_end_matches('"');
    text.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_string()
}

fn quoted_word(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

fn last_line(text: &str) -> Range<usize> {
    let end = text.trim_end().len();
    let start = text[..end].rfind('\n').map_or(0, |line| line + 1);
    let start = start + (text[start..end].len() - text[start..end].trim_start().len());
    start..end
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
