//! Log records as JSON objects of any shape, as shippers send them: which of their fields are time, body and columns is told by their names.

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::{FlatJson, parse};
use crate::io::decode::json_values::values;
use crate::io::decode::raw_event::{Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::log_meaning_of;
use crate::io::decode::wire_time;
use crate::model::event::Kind;
use crate::model::limits::EVENT_BYTES_MAX;

/// Fields that hold the time, the best first.
const TIME_FIELDS: [&str; 6] = ["@timestamp", "timestamp", "time", "ts", "date", "datetime"];

/// Writes one document. `raw` is its text: the body of a record without a message.
pub(crate) fn write<'a>(rows: &mut Rows<'_, '_, 'a>, document: FlatJson<'a>, raw: &'a [u8]) {
    let time = TIME_FIELDS.iter().find_map(|field| document.get(field).and_then(wire_time::of));
    match time {
        Some(time) => rows.event.ts = Some(time),
        None => rows.time(None),
    }
    pairs(rows, document, "");
    if rows.event.text(TextField::Body).is_none() {
        rows.set(TextField::Body, String::from_utf8_lossy(raw));
    }
    rows.take();
}

/// Writes the pairs of a document, those within `prefix` without it.
pub(crate) fn pairs<'a>(rows: &mut Rows<'_, '_, 'a>, document: FlatJson<'a>, prefix: &str) {
    for (key, value) in document.0 {
        let key = without_prefix(key, prefix);
        if let Some(wanted) = rows.wanted(&key)
            && let Some(text) = value.text()
        {
            rows.put(wanted, key, text);
        }
    }
}

fn without_prefix<'a>(key: Text<'a>, prefix: &str) -> Text<'a> {
    if prefix.is_empty() || !key.starts_with(prefix) {
        return key;
    }
    match key {
        Text::Borrowed(text) => Text::Borrowed(&text[prefix.len()..]),
        Text::Owned(text) => Text::Owned(text[prefix.len()..].to_string()),
    }
}

/// Writes one document, of which the last argument is the text.
pub(crate) type WriteDocument<'w, 'a> = dyn FnMut(&mut Rows<'_, '_, 'a>, FlatJson<'a>, &'a [u8]) -> Result<(), RejectReason> + 'w;

/// Decodes a payload of documents: a list, documents end to end, or one a line. Each is written by `write_one`, which may refuse it.
pub(crate) fn decode_all<'a>(payload: &'a [u8], rows: &mut Rows<'_, '_, 'a>, write_one: &mut WriteDocument<'_, 'a>) {
    for place in values(payload) {
        let raw = &payload[place];
        rows.begin();
        let written = if raw.len() > EVENT_BYTES_MAX {
            Err(RejectReason::Size(raw.len()))
        } else {
            parse(raw).map_err(RejectReason::Json).and_then(|document| write_one(rows, document, raw))
        };
        if let Err(reason) = written {
            rows.reject(raw, reason);
        }
    }
}

/// Decodes a payload of log records of any shape.
pub(crate) fn decode(payload: &[u8], sink: &mut EventSink<'_>) {
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    decode_all(payload, &mut rows, &mut |rows, document, raw| {
        write(rows, document, raw);
        Ok(())
    });
}

/// Decodes a payload whose lines are log records as they are.
pub(crate) fn decode_lines(payload: &[u8], sink: &mut EventSink<'_>) {
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    for (at, line) in payload.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        rows.begin();
        rows.number = at + 1;
        match std::str::from_utf8(line) {
            Ok(_) if line.len() > EVENT_BYTES_MAX => rows.reject(line, RejectReason::Size(line.len())),
            Ok(text) => {
                rows.time(None);
                rows.set(TextField::Body, text);
                rows.take();
            }
            Err(_) => rows.reject(line, RejectReason::Line("a line is no UTF-8".into())),
        }
    }
}
