//! Datadog's metrics as `/api/v2/series` takes them: JSON from its client libraries, protobuf from its agent.

mod json;
mod protobuf;

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::meaning_of;
use crate::io::decode::split;
use crate::io::decode::syntax::Syntax;
use crate::model::event::Kind;

/// Datadog's metrics, version 2.
pub static FORMAT: Format = Format {
    name: "datadog_series_v2",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| match Syntax::Unnamed.is_json(message) {
        true => split::json::lists(message, max, &[&["series"]]),
        false => split::protobuf::repeated(message, max, &[&[1]]),
    },
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let is_json = sink.syntax.is_json(&payload);
    let rows = Rows::new(sink, Kind::Metric, meaning_of);
    if is_json { json::read(&payload, rows) } else { protobuf::read(&payload, rows) }
}
