//! Influx line protocol: `cpu,host=web-7 usage_user=93.5,cores=8i 1795836000000000000`. A backslash escapes commas, spaces and equals signs;
//! integers end in `i` or `u`; a missing time is that of arrival.

use std::borrow::Cow;

use crate::io::decode::raw_event::{Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::wire_time;
use crate::model::limits::EVENT_BYTES_MAX;
use crate::model::time::TimestampMs;

/// Reads lines.
pub(super) fn read<'a>(payload: &'a [u8], rows: &mut Rows<'_, '_, 'a>) {
    // Checked once for the whole message, as that costs less than once a line.
    let Ok(text) = std::str::from_utf8(payload) else {
        for (at, bytes) in payload.split(|byte| *byte == b'\n').enumerate() {
            match std::str::from_utf8(bytes) {
                Ok(text) => read_line(at + 1, text, rows),
                Err(_) => {
                    rows.number = at + 1;
                    rows.reject(bytes, RejectReason::Line("a line is no UTF-8".into()));
                }
            }
        }
        return;
    };
    // A quoted text may hold a newline.
    let (mut number, mut rest) = (1, text);
    while !rest.is_empty() {
        let end = line_end(rest);
        read_line(number, &rest[..end], rows);
        number += rest[..end].bytes().filter(|byte| *byte == b'\n').count() + 1;
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

fn line_end(text: &str) -> usize {
    let end = text.find('\n').unwrap_or(text.len());
    if !text[..end].contains('"') {
        return end;
    }
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'\n' if !quoted => return at,
            _ => {}
        }
    }
    // A quote that nothing closes ends with its line.
    if quoted { end } else { text.len() }
}

fn read_line<'a>(number: usize, line: &'a str, rows: &mut Rows<'_, '_, 'a>) {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return;
    }
    rows.number = number;
    let read = if line.len() > EVENT_BYTES_MAX { Err(RejectReason::Size(line.len())) } else { point(line, rows) };
    if let Err(reason) = read {
        rows.number = number;
        rows.reject(line.as_bytes(), reason);
    }
}

fn point<'a>(line: &'a str, rows: &mut Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    let number = rows.number;
    let malformed = |what: &str| RejectReason::Line(format!("{what}: write measurement,tag=text field=1.5 1773456430000000000"));
    let (measurement, mut rest) = take_until(line, b", ");
    if measurement.is_empty() {
        return Err(malformed("a line has no measurement"));
    }
    rows.begin_shared();
    while let Some(tags) = rest.strip_prefix(',') {
        let (key, after) = take_until(tags, b"=, ");
        let value = after.strip_prefix('=').ok_or_else(|| malformed("a tag has no value"))?;
        let (value, after) = take_until(value, b", ");
        // What is not read costs nothing.
        if let Some(wanted) = rows.wanted(&unescaped(key)) {
            rows.put(wanted, unescaped(key), unescaped(value));
        }
        rest = after;
    }
    rows.end_shared();
    let fields = rest.strip_prefix(' ').map(str::trim_start).filter(|fields| !fields.is_empty());
    let fields = fields.ok_or_else(|| malformed("a line has no fields"))?;
    let ts = time(end_of_fields(fields)).map_err(|why| malformed(&why))?;
    let mut rest = fields;
    loop {
        let (key, after) = take_until(rest, b"=, ");
        let value = after.strip_prefix('=').filter(|_| !key.is_empty()).ok_or_else(|| malformed("a field has no value"))?;
        let (value, after) = take_value(value).ok_or_else(|| malformed("the text of a field has no end"))?;
        if let Some(value) = number_of(value).map_err(|why| malformed(&why))? {
            rows.begin();
            rows.number = number;
            rows.time(ts);
            rows.set(TextField::Name, name(measurement, key));
            rows.take_value(value);
        }
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(()),
        }
    }
}

/// `cpu_usage_user`; a field called `value` adds nothing.
fn name<'a>(measurement: &'a str, field: &'a str) -> Text<'a> {
    let measurement = unescaped(measurement);
    if field == "value" {
        return measurement;
    }
    let mut name = String::with_capacity(measurement.len() + field.len() + 1);
    name.push_str(&measurement);
    name.push('_');
    name.push_str(&unescaped(field));
    name.into()
}

/// The text up to one of these bytes that no backslash escapes, and the rest.
#[inline]
fn take_until<'a>(text: &'a str, ends: &[u8]) -> (&'a str, &'a str) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if ends.contains(&byte) => break,
            _ => {}
        }
        at += 1;
    }
    // A backslash may be the last byte of a text, but never lies within a character.
    let mut at = at.min(bytes.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    text.split_at(at)
}

/// The value of a field, and the rest: a text in quotes, or what comes before a comma or a space.
fn take_value(text: &str) -> Option<(&str, &str)> {
    let Some(inner) = text.strip_prefix('"') else { return Some(take_until(text, b", ")) };
    let (content, rest) = take_until(inner, b"\"");
    rest.starts_with('"').then(|| text.split_at(content.len() + 2))
}

/// What follows the fields: the time, or nothing.
fn end_of_fields(fields: &str) -> &str {
    let mut rest = fields;
    loop {
        let (_, after) = take_until(rest, b"=, ");
        let Some((_, after)) = after.strip_prefix('=').and_then(take_value) else { return "" };
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return after.trim(),
        }
    }
}

/// The time of a line. Telegraf writes nanoseconds; whoever has set another precision is understood by the size of the number.
fn time(text: &str) -> Result<Option<TimestampMs>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let whole: i64 = text.parse().map_err(|_| format!("a time is {text:?}, no whole number"))?;
    Ok(Some(if whole.unsigned_abs() >= 100_000_000_000_000_000 {
        whole.div_euclid(1_000_000)
    } else {
        wire_time::of_number(whole as f64)
    }))
}

/// The number of a field; texts and truth values are none.
#[inline]
fn number_of(value: &str) -> Result<Option<f64>, String> {
    let digits = match value.as_bytes() {
        [b'"', ..] => return Ok(None),
        [.., b'i' | b'u'] => &value[..value.len() - 1],
        _ => value,
    };
    match digits.parse::<f64>() {
        Ok(number) => Ok(Some(number)),
        Err(_) if matches!(value, "t" | "T" | "true" | "True" | "TRUE" | "f" | "F" | "false" | "False" | "FALSE") => Ok(None),
        Err(_) => Err(format!("a field is {value:?}, no number, text or truth value")),
    }
}

/// The text without its backslashes before commas, spaces and equals signs.
#[inline]
fn unescaped(text: &str) -> Text<'_> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(next @ (',' | ' ' | '=' | '"' | '\\'))) => {
                plain.push(*next);
                characters.next();
            }
            _ => plain.push(character),
        }
    }
    plain.into()
}
