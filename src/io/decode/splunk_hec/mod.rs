//! Splunk's HTTP event collector: JSON objects end to end, each with an event that is a text or an object, or with metrics.

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::format::Format;
use crate::io::decode::log_documents::{decode_all, decode_lines, pairs};
use crate::io::decode::raw_event::TextField;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::{log_meaning_of, meaning_of};
use crate::io::decode::split::lines;
use crate::io::decode::wire_time;
use crate::model::event::Kind;

/// Splunk's HTTP event collector.
pub static FORMAT: Format =
    Format { name: "splunk_hec", media_types: &[], subject_tokens: &[], recognise: |_| false, decode, split: lines::lines };

/// How the fields of a metric event begin: `metric_name:cpu.usr`.
const METRIC_FIELD: &str = "fields.metric_name:";

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    // The raw endpoint takes lines, which may come under the same name.
    if !matches!(payload.trim_ascii_start().first(), Some(b'{' | b'[')) {
        decode_lines(&payload, sink);
        return Ok(());
    }
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    let mut metrics = Vec::new();
    decode_all(&payload, &mut rows, &mut |rows, document, raw| {
        if document.text("event").as_deref() == Some("metric")
            && document.0.iter().any(|(key, _)| key.starts_with("fields.metric_name"))
        {
            metrics.push((rows.number, document));
            return Ok(());
        }
        event(rows, document, raw)
    });
    let mut rows = Rows::new(sink, Kind::Metric, meaning_of);
    for (number, document) in metrics {
        metric(&mut rows, number, document);
    }
    Ok(())
}

fn time(rows: &mut Rows<'_, '_, '_>, document: &FlatJson<'_>) {
    match document.get("time").and_then(wire_time::of) {
        Some(time) => rows.event.ts = Some(time),
        None => rows.time(None),
    }
}

fn event<'a>(rows: &mut Rows<'_, '_, 'a>, document: FlatJson<'a>, raw: &'a [u8]) -> Result<(), RejectReason> {
    time(rows, &document);
    let text = document.text("event");
    let has_event = text.is_some() || document.0.iter().any(|(key, _)| key.starts_with("event."));
    if !has_event {
        return Err(RejectReason::Field("an object has no `event`".into()));
    }
    let (own, about): (Vec<_>, Vec<_>) = document.0.into_iter().partition(|(key, _)| key.starts_with("event."));
    // What the event says itself takes precedence over where it was read.
    pairs(rows, FlatJson(own), "event.");
    pairs(rows, FlatJson(about), "fields.");
    match text {
        Some(text) => rows.set(TextField::Body, text),
        None if rows.event.text(TextField::Body).is_none() => rows.set(TextField::Body, String::from_utf8_lossy(raw)),
        None => {}
    }
    rows.take();
    Ok(())
}

fn metric<'a>(rows: &mut Rows<'_, '_, 'a>, number: usize, document: FlatJson<'a>) {
    let value_of = |document: &FlatJson<'a>| -> Vec<(String, f64)> {
        let single = document.text("fields.metric_name").zip(document.get("fields._value").and_then(|value| value.number()));
        let many =
            document.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(METRIC_FIELD)?.to_string(), value.number()?)));
        single.map(|(name, value)| (name.to_string(), value)).into_iter().chain(many).collect()
    };
    for (name, value) in value_of(&document) {
        rows.begin();
        rows.number = number;
        time(rows, &document);
        for (key, value) in &document.0 {
            let key = key.strip_prefix("fields.").unwrap_or(key);
            if let (false, Some(text)) = (key.starts_with("metric_name") || key == "_value" || key == "event", value.text()) {
                rows.pair(key.to_string().into(), text);
            }
        }
        rows.set(TextField::Name, name);
        rows.take_value(value);
    }
}
