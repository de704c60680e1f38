//! OTLP metrics, protobuf and JSON: a point is a row; a histogram is the rows `<name>_bucket`, `<name>_sum` and `<name>_count`.

mod json;
mod points;
mod protobuf;

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::otlp;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::meaning_of;
use crate::model::event::Kind;

/// OTLP metrics.
pub static FORMAT: Format = Format {
    name: "otlp_metrics",
    media_types: &[],
    subject_tokens: &["otlp_metrics", "otel_metrics"],
    recognise: otlp::recognise,
    decode,
    // A metric's points: field 1 of each kind of metric.
    split: |message, max| otlp::cut(message, max, &[&[5, 7, 9, 10, 11], &[1]]),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let is_json = sink.syntax.is_json(&payload);
    let rows = Rows::new(sink, Kind::Metric, meaning_of);
    if is_json { json::read(&payload, rows) } else { protobuf::read(&payload, rows) }
}
