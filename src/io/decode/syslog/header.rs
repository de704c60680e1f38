//! What stands before a syslog message's text.

use std::borrow::Cow;

use crate::io::decode::raw_event::Text;
use crate::model::time::{TimestampMs, parse_rfc3339};

/// A message, taken apart.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Message<'a> {
    /// Facility times eight, and severity.
    pub(super) priority: u8,
    pub(super) ts: Option<TimestampMs>,
    pub(super) host: Option<&'a str>,
    pub(super) app: Option<&'a str>,
    pub(super) process_id: Option<&'a str>,
    pub(super) message_id: Option<&'a str>,
    pub(super) structured: Vec<(Text<'a>, Text<'a>)>,
    pub(super) body: &'a str,
}

impl<'a> Message<'a> {
    /// Takes a message apart.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let bad = || "a message does not begin with <PRI>, a number up to 191".to_string();
        let (priority, rest) = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or_else(bad)?;
        let priority: u8 = priority.parse().ok().filter(|priority| *priority <= 191).ok_or_else(bad)?;
        match rest.strip_prefix("1 ") {
            Some(rest) => Self::rfc5424(priority, rest),
            None => Ok(Self::bsd(priority, rest)),
        }
    }

    fn rfc5424(priority: u8, rest: &'a str) -> Result<Self, String> {
        let mut parts = rest.splitn(6, ' ');
        let mut next = |what: &str| parts.next().ok_or_else(|| format!("a message has no {what}"));
        let (time, host, app) = (next("time")?, next("host")?, next("app name")?);
        let (process_id, message_id, rest) = (next("process id")?, next("message id")?, next("structured data")?);
        let given = |text: &'a str| Some(text).filter(|text| *text != "-");
        let ts = match time {
            "-" => None,
            time => Some(parse_rfc3339(time).ok_or_else(|| format!("a time is {time:?}: it must be RFC 3339"))?),
        };
        let (structured, body) = structured(rest).ok_or("the structured data of a message are malformed")?;
        let (host, app, process_id, message_id) = (given(host), given(app), given(process_id), given(message_id));
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        Ok(Self { priority, ts, host, app, process_id, message_id, structured, body })
    }

    /// The older form: `Mar 14 02:47:10 web-7 sshd[411]: text`. Its time has neither year nor zone, and is not used.
    fn bsd(priority: u8, rest: &'a str) -> Self {
        let is_time = |text: &str| {
            let bytes = text.as_bytes();
            bytes.len() == 15 && bytes[..3].iter().all(u8::is_ascii_alphabetic) && bytes[9] == b':' && bytes[12] == b':'
        };
        let Some((_, after)) = rest.split_at_checked(15).filter(|(time, _)| is_time(time)) else {
            return Self { priority, body: rest, ..Self::default() };
        };
        let after = after.trim_start();
        let (host, body) = after.split_once(' ').unwrap_or((after, ""));
        let tag = body.split_once(": ").filter(|(tag, _)| !tag.contains(' '));
        let (app, process_id, body) = match tag {
            Some((tag, body)) => match tag.strip_suffix(']').and_then(|tag| tag.split_once('[')) {
                Some((app, process_id)) => (Some(app), Some(process_id), body),
                None => (Some(tag), None, body),
            },
            None => (None, None, body),
        };
        Self { priority, host: Some(host), app, process_id, body, ..Self::default() }
    }
}

/// Pairs, and the text after them.
type Structured<'a> = (Vec<(Text<'a>, Text<'a>)>, &'a str);

/// The pairs of all elements `[id key="value" …]`, and the text after them.
fn structured(text: &str) -> Option<Structured<'_>> {
    let mut pairs = Vec::new();
    let mut rest = match text.strip_prefix('-') {
        Some(rest) => rest,
        None => {
            let mut rest = text;
            while let Some(element) = rest.strip_prefix('[') {
                rest = elements(element, &mut pairs)?;
            }
            (rest.len() < text.len()).then_some(rest)?
        }
    };
    rest = match rest.strip_prefix(' ') {
        Some(rest) => rest,
        None => Some(rest).filter(|rest| rest.is_empty())?,
    };
    Some((pairs, rest))
}

/// Reads one element, and returns what follows it.
fn elements<'a>(element: &'a str, pairs: &mut Vec<(Text<'a>, Text<'a>)>) -> Option<&'a str> {
    let end = element.find([' ', ']'])?;
    let mut rest = &element[end..];
    loop {
        rest = rest.trim_start_matches(' ');
        if let Some(after) = rest.strip_prefix(']') {
            return Some(after);
        }
        let (key, after) = rest.split_once("=\"")?;
        let (value, after) = value(after)?;
        pairs.push((key.into(), value));
        rest = after;
    }
}

/// The value up to its quote, in which a backslash escapes quotes, brackets and itself.
fn value(text: &str) -> Option<(Text<'_>, &str)> {
    let (mut plain, mut escaped): (Option<String>, bool) = (None, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => {
                escaped = false;
                let plain = plain.get_or_insert_default();
                if !matches!(character, '"' | '\\' | ']') {
                    plain.push('\\');
                }
                plain.push(character);
            }
            '\\' => {
                plain.get_or_insert_with(|| text[..at].to_string());
                escaped = true;
            }
            '"' => return Some((plain.map_or(Cow::Borrowed(&text[..at]), Cow::Owned), &text[at + 1..])),
            _ => {
                if let Some(plain) = &mut plain {
                    plain.push(character);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_apart() {
        let text = r#"<165>1 2026-03-14T02:47:10.003Z web-7 chat 411 ID47 [a@1 k="v\"\]" l="w"][b@1] text [not data]"#;
        let message = Message::parse(text).unwrap();
        assert_eq!((message.priority, message.ts), (165, Some(1_773_456_430_003)));
        assert_eq!((message.host, message.app, message.process_id), (Some("web-7"), Some("chat"), Some("411")));
        assert_eq!(message.structured, [("k".into(), "v\"]".into()), ("l".into(), "w".into())]);
        assert_eq!(message.body, "text [not data]");
        let nothing = Message::parse("<0>1 - - - - - -").unwrap();
        assert_eq!(nothing, Message::default());
        let old = Message::parse("<34>Mar 14 02:47:10 web-7 sshd[411]: failed: root").unwrap();
        assert_eq!((old.host, old.app, old.process_id, old.body), (Some("web-7"), Some("sshd"), Some("411"), "failed: root"));
        assert_eq!(Message::parse("<13>plain").unwrap().body, "plain");
        for bad in [
            "",
            "text",
            "<192>x",
            "<1",
            "<13>1 yesterday a b c d -",
            "<13>1 - a b c d",
            "<13>1 - a b c d [x k=\"v\"",
            "<13>1 - a b c d [x]y",
        ] {
            assert!(Message::parse(bad).is_err(), "{bad}");
        }
    }
}
