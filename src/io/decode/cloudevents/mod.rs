//! CloudEvents in the structured mode: an envelope with a type, a source and data. Data that is an event of squelch's own is that event;
//! anything else is a log record.

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::format::Format;
use crate::io::decode::json_values::{member, values};
use crate::io::decode::log_documents;
use crate::io::decode::native_json;
use crate::io::decode::raw_event::{RawEvent, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::log_meaning_of;
use crate::io::decode::split;
use crate::io::decode::wire_time;
use crate::model::event::Kind;
use crate::model::limits::EVENT_BYTES_MAX;

/// CloudEvents.
pub static FORMAT: Format = Format {
    name: "cloudevents",
    media_types: &["application/cloudevents+json", "application/cloudevents-batch+json"],
    subject_tokens: &["cloudevents"],
    recognise: |payload| payload.windows(b"\"specversion\"".len()).take(65_536).any(|window| window == b"\"specversion\""),
    decode,
    split: |message, max| split::json::lists(message, max, &[&[""]]).or_else(|_| split::lines::lines(message, max)),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    for (at, place) in values(&payload).into_iter().enumerate() {
        let (number, raw) = (at + 1, &payload[place]);
        let taken = if raw.len() > EVENT_BYTES_MAX { Err(RejectReason::Size(raw.len())) } else { envelope(number, raw, sink) };
        if let Err(reason) = taken {
            sink.reject(number, raw, reason);
        }
    }
    Ok(())
}

fn envelope(number: usize, raw: &[u8], sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let document: FlatJson<'_> = serde_json::from_slice(raw).map_err(|error| RejectReason::Json(error.to_string()))?;
    if document.text("specversion").is_none() {
        return Err(RejectReason::Field("an envelope has no `specversion`".into()));
    }
    if let Some(mut event) = own_event(raw, &document, sink) {
        return sink.event(&mut event);
    }
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    rows.begin();
    rows.number = number;
    match document.get("time").and_then(wire_time::of) {
        Some(time) => rows.event.ts = Some(time),
        None => rows.time(None),
    }
    let text = document.text("data");
    let (data, envelope): (Vec<_>, Vec<_>) = document.0.into_iter().partition(|(key, _)| key.starts_with("data."));
    log_documents::pairs(&mut rows, FlatJson(envelope), "");
    log_documents::pairs(&mut rows, FlatJson(data), "data.");
    match text {
        Some(text) => rows.set(TextField::Body, text),
        None if rows.event.text(TextField::Body).is_none() => rows.set(TextField::Body, String::from_utf8_lossy(raw)),
        None => {}
    }
    rows.take();
    Ok(())
}

/// The event in the data, where they are one of squelch's own: of a kind that they or the subject name, with a name or a body.
fn own_event<'a>(raw: &'a [u8], document: &FlatJson<'a>, sink: &EventSink<'_>) -> Option<RawEvent<'a>> {
    let mut event = native_json::parse(member(raw, "data")?).ok()?;
    event.kind.as_ref().map(|kind| kind.parse::<Kind>().ok()).or(Some(sink.kind))??;
    event.text(TextField::Name).or(event.text(TextField::Body))?;
    event.ts = event.ts.or_else(|| document.get("time").and_then(wire_time::of)).or(sink.received_at().map(Ok));
    Some(event)
}
