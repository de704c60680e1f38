//! The body that squelch's template gives to webhooks whose body the user writes: Datadog, OpenSearch and Kibana. The templates are in
//! `docs/formats.md`; they differ in what the sender fills in.

use crate::io::decode::alert_documents::{annotation, label, text, time};
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::raw_event::{RawEvent, Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::semantic::Ranks;

/// Fields of the template that are no labels.
const OWN_FIELDS: [&str; 9] = ["name", "status", "severity", "key", "time", "summary", "link", "tags", "labels"];

/// What a sender calls firing and resolved, and how it counts severities.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    /// Its words for an alert that is over, in small letters.
    pub(crate) resolved: &'static [&'static str],
    /// Severities by word or number, in small letters.
    pub(crate) severities: &'static [(&'static str, &'static str)],
}

/// The event of a body.
pub(crate) fn event_of<'a>(document: &FlatJson<'a>, sink: &EventSink<'_>, words: Words) -> Result<RawEvent<'a>, RejectReason> {
    let mut event = RawEvent::default();
    let status = document.text("status").unwrap_or_default().trim().to_ascii_lowercase();
    event.set(TextField::Status, if words.resolved.contains(&status.as_str()) { "resolved" } else { "firing" });
    time(&mut event, document, &["time"], sink);
    text(&mut event, TextField::AlertKey, document, &["key"]);
    text(&mut event, TextField::Name, document, &["name"]);
    // Where there is no severity, the status may be one: a warning of Datadog's.
    let severity = document.first_text(&["severity"]).map_or(status, |severity| severity.trim().to_ascii_lowercase());
    match words.severities.iter().find(|(word, _)| *word == severity) {
        Some((_, known)) => event.set(TextField::Severity, *known),
        None => text(&mut event, TextField::Severity, document, &["severity"]),
    }
    annotation(&mut event, "summary", document, &["summary"]);
    annotation(&mut event, "runbook_url", document, &["link"]);
    let mut ranks = Ranks::default();
    // `env:prod,service:chat`
    for tag in document.text("tags").unwrap_or_default().split(',').filter_map(|tag| tag.trim().split_once(':')) {
        let (key, value): (Text<'a>, Text<'a>) = (tag.0.to_string().into(), tag.1.to_string().into());
        label(&mut event, &mut ranks, key, value);
    }
    for (key, value) in &document.0 {
        if let Some(value) = value.text().filter(|value| !OWN_FIELDS.contains(&key.as_ref()) && !value.is_empty()) {
            let key = key.strip_prefix("labels.").map_or_else(|| key.clone(), |key| key.to_string().into());
            label(&mut event, &mut ranks, key, value);
        }
    }
    Ok(event)
}
