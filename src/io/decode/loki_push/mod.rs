//! What is pushed to Loki, protobuf and JSON: streams with labels, and lines in them.

mod json;
mod protobuf;
mod stream_labels;

use std::borrow::Cow;

use crate::io::decode::decompress::without_snappy;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::log_meaning_of;
use crate::io::decode::split;
use crate::io::decode::syntax::Syntax;
use crate::model::event::Kind;

/// Pushes to Loki.
pub static FORMAT: Format = Format {
    name: "loki_push",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| match Syntax::Unnamed.is_json(message) {
        true => split::json::lists(message, max, &[&["streams"], &["values"]]),
        false => split::protobuf::repeated(message, max, &[&[1], &[2]]),
    },
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let is_json = sink.syntax.is_json(&payload);
    let payload = if is_json { payload } else { without_snappy(payload)? };
    let rows = Rows::new(sink, Kind::Log, log_meaning_of);
    if is_json { json::read(&payload, rows) } else { protobuf::read(&payload, rows) }
}
