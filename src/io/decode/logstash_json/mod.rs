//! Logstash's events: one JSON object, a list (`json_batch`), or one a line (`json_lines`).

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::log_documents;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split;

/// Logstash's events.
pub static FORMAT: Format = Format {
    name: "logstash_json",
    media_types: &[],
    subject_tokens: &["logstash"],
    recognise: |payload| payload.windows(b"\"@timestamp\"".len()).take(4_096).any(|window| window == b"\"@timestamp\""),
    decode,
    split: |message, max| split::json::lists(message, max, &[&[""]]).or_else(|_| split::lines::lines(message, max)),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    log_documents::decode(&payload, sink);
    Ok(())
}
