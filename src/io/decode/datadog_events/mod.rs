//! Datadog's events as `/api/v1/events` takes them. An event is a log record: only its sender knows whether it will ever be over.

use std::borrow::Cow;

use crate::io::decode::datadog::tag;
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::log_documents::decode_all;
use crate::io::decode::raw_event::TextField;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::log_meaning_of;
use crate::io::decode::split;
use crate::io::decode::wire_time;
use crate::model::event::Kind;

/// Datadog's events.
pub static FORMAT: Format =
    Format { name: "datadog_events", media_types: &[], subject_tokens: &[], recognise: |_| false, decode, split: split::whole };

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    decode_all(&payload, &mut rows, &mut |rows, document, _| {
        let tags = document.text("tags").and_then(|tags| serde_json::from_str::<Vec<String>>(&tags).ok()).unwrap_or_default();
        tags.into_iter().for_each(|text| tag(rows, text.into()));
        for key in ["host", "aggregation_key", "source_type_name", "priority"] {
            if let Some(value) = document.text(key) {
                rows.pair(key.into(), value);
            }
        }
        match document.get("date_happened").and_then(wire_time::of) {
            Some(time) => rows.event.ts = Some(time),
            None => rows.time(None),
        }
        let severity = match document.text("alert_type").as_deref() {
            Some("error") => "ERROR",
            Some("warning") => "WARN",
            _ => "INFO",
        };
        rows.set(TextField::Severity, severity);
        let (title, text) = (document.text("title"), document.text("text"));
        let body = title.into_iter().chain(text).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        if body.is_empty() {
            return Err(RejectReason::Field("an event has neither `title` nor `text`".into()));
        }
        rows.set(TextField::Body, body);
        rows.take();
        Ok(())
    });
    Ok(())
}
