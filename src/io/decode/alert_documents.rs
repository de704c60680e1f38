//! Alerts of other systems out of JSON documents, whose shape the other system or its template decides.

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::json_values::values;
use crate::io::decode::raw_event::{RawEvent, Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::semantic::{Ranks, alert_meaning_of};
use crate::model::event::Kind;

/// Makes the event of a document.
pub(crate) type EventOf = for<'a> fn(&FlatJson<'a>, &EventSink<'_>) -> Result<RawEvent<'a>, RejectReason>;

/// Decodes a payload of one document or several.
pub(crate) fn decode(payload: &[u8], sink: &mut EventSink<'_>, event_of: EventOf) {
    for (at, place) in values(payload).into_iter().enumerate() {
        let raw = &payload[place];
        let document = serde_json::from_slice(raw).map_err(|error| RejectReason::Json(error.to_string()));
        let taken = document.and_then(|document: FlatJson<'_>| sink.put(Kind::Alert, &mut event_of(&document, sink)?));
        if let Err(reason) = taken {
            sink.reject(at + 1, raw, reason);
        }
    }
}

/// Writes a label, and the column that its name means.
pub(crate) fn label<'a>(event: &mut RawEvent<'a>, ranks: &mut Ranks, key: Text<'a>, value: Text<'a>) {
    if let Some(meaning) = alert_meaning_of(&key) {
        ranks.offer(event, meaning, &key, value.clone());
    }
    event.labels.0.push((key, value));
}

/// Sets the time: that of the document, or else that of its arrival.
pub(crate) fn time(event: &mut RawEvent<'_>, document: &FlatJson<'_>, fields: &[&str], sink: &EventSink<'_>) {
    let own = fields.iter().find_map(|field| document.get(field).and_then(crate::io::decode::wire_time::of));
    event.ts = own.or(sink.received_at().map(Ok));
}

/// Sets a text field to the first of these keys that the document has.
pub(crate) fn text<'a>(event: &mut RawEvent<'a>, field: TextField, document: &FlatJson<'a>, keys: &[&str]) {
    if let Some(text) = document.first_text(keys) {
        event.set(field, text);
    }
}

/// Adds an annotation out of the first of these keys that the document has.
pub(crate) fn annotation<'a>(event: &mut RawEvent<'a>, key: &'static str, document: &FlatJson<'a>, keys: &[&str]) {
    if let Some(text) = document.first_text(keys) {
        event.annotations.0.push((key.into(), text));
    }
}
