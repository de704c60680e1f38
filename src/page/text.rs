//! The texts of alerts, made fit for a page. Who writes a rule, a label or a log line decides what stands in them, so they may hold
//! anything: characters that turn the reading order around, ten thousand lines, addresses that run a script.

use serde_json::Value;

use crate::model::limits::{PAGE_TEXT_CHARS_MAX, PAGE_TEXT_LINES_MAX};
use crate::notify::incident_view::IncidentView;

/// A text without characters that hide or reorder others, cut where it is too long.
pub fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len().min(PAGE_TEXT_CHARS_MAX));
    let mut lines = 1;
    for (at, letter) in text.chars().enumerate() {
        if at == PAGE_TEXT_CHARS_MAX || lines > PAGE_TEXT_LINES_MAX {
            tidied.truncate(tidied.trim_end().len());
            tidied.push('…');
            break;
        }
        match letter {
            '\n' => {
                lines += 1;
                tidied.push('\n');
            }
            '\t' => tidied.push(' '),
            letter if letter.is_control() || is_hidden(letter) => {}
            letter => tidied.push(letter),
        }
    }
    tidied
}

/// Characters that one does not see: marks of the reading order, spaces without width, tags.
fn is_hidden(letter: char) -> bool {
    matches!(letter,
        '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E007F}')
}

/// All texts of a message, tidied in place. Its names stay as they are.
pub fn tidy_all(value: &mut Value) {
    match value {
        Value::String(text) => *text = tidy(text),
        Value::Array(list) => list.iter_mut().for_each(tidy_all),
        Value::Object(fields) => fields.values_mut().for_each(tidy_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The revision in a message, tidied; nothing where it is none.
pub fn tidy_view(message: &[u8]) -> Option<IncidentView> {
    let mut body: Value = serde_json::from_slice(message).ok()?;
    tidy_all(&mut body);
    IncidentView::of(body).ok()
}

/// Whether a text is an address that a page may link to.
pub fn is_web_address(text: &str) -> bool {
    let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    (begins("https://") || begins("http://")) && !text.contains(char::is_whitespace)
}

/// A text as a part of an address.
pub fn in_address(text: &str) -> String {
    let mut address = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_go_and_long_texts_are_cut() {
        assert_eq!(tidy("pay\u{202E}ment\u{0} \u{2066}down\u{200B}"), "payment down");
        assert_eq!(tidy("결제 서비스\tdown"), "결제 서비스 down");
        let lines = "line\n".repeat(10_000);
        assert_eq!(tidy(&lines).lines().count(), PAGE_TEXT_LINES_MAX);
        assert!(tidy(&lines).ends_with("line…"));
        let long = tidy(&"x".repeat(100_000));
        assert_eq!(long.chars().count(), PAGE_TEXT_CHARS_MAX + 1);
    }

    #[test]
    fn only_web_addresses_become_links() {
        for (text, is_link) in [
            ("https://runbooks.example.com/a", true),
            ("HTTP://runbooks.example.com", true),
            ("javascript:alert(1)", false),
            ("java\nscript:alert(1)", false),
            (" https://a", false),
            ("data:text/html,x", false),
            ("//evil.example.com", false),
            ("한글", false),
        ] {
            assert_eq!(is_web_address(text), is_link, "{text}");
        }
    }
}
