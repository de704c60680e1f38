//! Telegraf's metrics, as line protocol and as JSON: each field that is a number is a metric `<measurement>_<field>`, as Telegraf itself names
//! it for Prometheus.

mod json;
mod line_protocol;

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::meaning_of;
use crate::io::decode::split;
use crate::io::decode::syntax::Syntax;
use crate::model::event::Kind;

/// Telegraf's metrics.
pub static FORMAT: Format = Format {
    name: "telegraf",
    media_types: &[],
    subject_tokens: &["telegraf"],
    recognise: |payload| !Syntax::Unnamed.is_json(payload) || json::recognise(payload),
    decode,
    split: |message, max| match Syntax::Unnamed.is_json(message) {
        true => split::json::lists(message, max, &[&["metrics", ""]]).or_else(|_| split::lines::lines(message, max)),
        false => split::lines::lines(message, max),
    },
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let mut rows = Rows::new(sink, Kind::Metric, meaning_of);
    // The first byte decides: Telegraf sets no header.
    if Syntax::Unnamed.is_json(&payload) {
        json::read(&payload, &mut rows)
    } else {
        line_protocol::read(&payload, &mut rows)
    }
    Ok(())
}
