//! The native format: one JSON object a line. The scanner takes good lines; what it declines is read again by serde_json from the
//! line's start, which says what is wrong, and where.
//!
//! Numbers are rounded correctly, as Rust's own parser rounds them. serde_json, without a feature that would build DataFusion
//! anew, may differ in the last digit: that rounding is left only to lines that are no UTF-8 in a field that is not read.

pub mod number;
pub mod scanner;
pub mod strict;

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::native_json::scanner::scan;
use crate::io::decode::native_json::strict::parse_strictly;
use crate::io::decode::raw_event::{Field, RawEvent};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split;
use crate::model::limits::EVENT_BYTES_MAX;

/// One JSON object a line.
pub static FORMAT: Format = Format {
    name: "native_json",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| true,
    decode,
    split: split::lines::lines,
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let bytes = payload.as_ref();
    // Checking UTF-8 once for the whole message costs less than once for each text.
    let Ok(text) = std::str::from_utf8(bytes) else {
        for (i, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            decode_line(i + 1, line, sink);
        }
        return Ok(());
    };
    let mut event = RawEvent::default();
    let (mut number, mut start) = (1, 0);
    while start < bytes.len() {
        let end = match scan(text, start, &mut event) {
            // The limit is on the line without the space around it, which `decode_line` strips.
            Some(end) if end - start <= EVENT_BYTES_MAX => {
                if let Err(reason) = sink.event(&mut event) {
                    sink.reject(number, bytes[start..end].trim_ascii(), reason);
                }
                end
            }
            _ => {
                let length = bytes[start..].iter().position(|byte| *byte == b'\n');
                let end = length.map_or(bytes.len(), |length| start + length);
                decode_line(number, &bytes[start..end], sink);
                end
            }
        };
        (number, start) = (number + 1, end + 1);
    }
    Ok(())
}

fn decode_line(number: usize, line: &[u8], sink: &mut EventSink<'_>) {
    let line = line.trim_ascii();
    if line.is_empty() {
        return;
    }
    let taken = if line.len() > EVENT_BYTES_MAX {
        Err(RejectReason::Size(line.len()))
    } else {
        let event = parse(line).map_err(|error| RejectReason::Json(error.to_string()));
        event.and_then(|mut event| sink.event(&mut event))
    };
    if let Err(reason) = taken {
        sink.reject(number, line, reason);
    }
}

/// Whether a key of an event means nothing: its value would be skipped.
pub(crate) fn is_unknown_field(key: &str) -> bool {
    Field::of(key) == Field::Unknown
}

/// Parses one line.
pub fn parse(line: &[u8]) -> Result<RawEvent<'_>, serde_json::Error> {
    if let Ok(text) = std::str::from_utf8(line) {
        let mut event = RawEvent::default();
        if scan(text, 0, &mut event) == Some(text.len()) {
            return Ok(event);
        }
    }
    parse_strictly(line)
}
