//! Splunk's alert webhook: a search's name and the first row of its result. Splunk never says that an alert is over: it expires.

use std::borrow::Cow;

use crate::io::decode::alert_documents::{annotation, decode as decode_documents, label, text, time};
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::format::Format;
use crate::io::decode::raw_event::{RawEvent, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::semantic::Ranks;
use crate::io::decode::split;

/// Splunk's webhook.
pub static FORMAT: Format =
    Format { name: "splunk_webhook", media_types: &[], subject_tokens: &[], recognise: |_| false, decode, split: split::whole };

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    decode_documents(&payload, sink, event_of);
    Ok(())
}

fn event_of<'a>(document: &FlatJson<'a>, sink: &EventSink<'_>) -> Result<RawEvent<'a>, RejectReason> {
    let mut event = RawEvent::default();
    event.set(TextField::Status, "firing");
    // The row's time is that of what was found, which may be long ago: the alert is new.
    time(&mut event, document, &[], sink);
    text(&mut event, TextField::Name, document, &["search_name"]);
    text(&mut event, TextField::Severity, document, &["result.severity", "result.urgency"]);
    annotation(&mut event, "summary", document, &["result.message", "result._raw"]);
    annotation(&mut event, "runbook_url", document, &["results_link"]);
    let mut ranks = Ranks::default();
    for (key, value) in &document.0 {
        // Internal fields of Splunk differ from row to row: they would make a new alert of each.
        let column = key.strip_prefix("result.").filter(|column| !column.starts_with('_') && !is_measured(column));
        if let (Some(column), Some(value)) = (column, value.text()) {
            label(&mut event, &mut ranks, column.to_string().into(), value);
        }
    }
    Ok(event)
}

/// Columns that hold what was found, and not what it was found on.
fn is_measured(column: &str) -> bool {
    matches!(column, "count" | "message" | "severity" | "urgency" | "time" | "timestamp" | "linecount")
}
