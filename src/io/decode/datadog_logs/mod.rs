//! Datadog's logs as `/api/v2/logs` takes them: objects with `message`, `service`, `hostname` and tags in `ddtags`.

use std::borrow::Cow;

use crate::io::decode::datadog::tags;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::log_documents;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::log_meaning_of;
use crate::io::decode::split;
use crate::model::event::Kind;

/// Datadog's logs.
pub static FORMAT: Format = Format {
    name: "datadog_logs",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| split::json::lists(message, max, &[&[""]]).or_else(|_| split::lines::lines(message, max)),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    log_documents::decode_all(&payload, &mut rows, &mut |rows, document, raw| {
        if let Some(text) = document.text("ddtags") {
            tags(rows, text);
        }
        // Datadog calls the severity a status.
        if let Some(status) = document.text("status") {
            rows.pair("severity".into(), status);
        }
        log_documents::write(rows, document, raw);
        Ok(())
    });
    Ok(())
}
