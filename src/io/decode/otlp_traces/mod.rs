//! OTLP traces, protobuf and JSON: a span is a row.

mod json;
mod protobuf;
mod span;

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::otlp;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::meaning_of;
use crate::model::event::Kind;

/// OTLP traces.
pub static FORMAT: Format = Format {
    name: "otlp_traces",
    media_types: &[],
    subject_tokens: &["otlp_traces", "otel_traces", "otel_spans"],
    recognise: otlp::recognise,
    decode,
    split: |message, max| otlp::cut(message, max, &[]),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let is_json = sink.syntax.is_json(&payload);
    let rows = Rows::new(sink, Kind::Span, meaning_of);
    if is_json { json::read(&payload, rows) } else { protobuf::read(&payload, rows) }
}
