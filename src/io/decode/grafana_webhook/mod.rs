//! The webhook of Grafana: a group of alerts, each with a status of its own.

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split::json;
use crate::io::decode::wire_alert;

/// Grafana's webhook.
pub static FORMAT: Format = Format {
    name: "grafana_webhook",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| json::lists(message, max, &[&["alerts"]]),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    wire_alert::decode_group(&payload, sink)
}
