//! Events as PagerDuty's Events API v2 takes them: what pages somebody else can be sent here too. `dedup_key` is the identity: an event that
//! resolves has nothing else.

use std::borrow::Cow;

use crate::io::decode::alert_documents::{annotation, decode as decode_documents, label, text, time};
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::format::Format;
use crate::io::decode::raw_event::{RawEvent, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::semantic::Ranks;
use crate::io::decode::split;
use crate::model::event::Kind;

/// PagerDuty's events.
pub static FORMAT: Format =
    Format { name: "pagerduty_events", media_types: &[], subject_tokens: &[], recognise: |_| false, decode, split: split::whole };

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    decode_documents(&payload, sink, event_of);
    Ok(())
}

fn event_of<'a>(document: &FlatJson<'a>, sink: &EventSink<'_>) -> Result<RawEvent<'a>, RejectReason> {
    let mut event = RawEvent { kind: Some(Kind::Alert.to_string().into()), ..RawEvent::default() };
    let status = match document.text("event_action").as_deref() {
        // Who acknowledges somewhere else has seen it there: it still fires.
        Some("trigger" | "acknowledge") => "firing",
        Some("resolve") => "resolved",
        action => {
            let action = action.unwrap_or_default();
            return Err(RejectReason::Field(format!("`event_action` is {action:?}: it must be trigger, acknowledge or resolve")));
        }
    };
    event.set(TextField::Status, status);
    time(&mut event, document, &["payload.timestamp"], sink);
    text(&mut event, TextField::AlertKey, document, &["dedup_key"]);
    text(&mut event, TextField::Severity, document, &["payload.severity"]);
    text(&mut event, TextField::Name, document, &["payload.class", "payload.summary", "dedup_key"]);
    annotation(&mut event, "summary", document, &["payload.summary"]);
    annotation(&mut event, "runbook_url", document, &["client_url"]);
    let mut ranks = Ranks::default();
    for (key, value) in &document.0 {
        let Some(value) = value.text() else { continue };
        match key.as_ref() {
            "payload.source" => label(&mut event, &mut ranks, "host".into(), value),
            "payload.component" => label(&mut event, &mut ranks, "service".into(), value),
            "payload.group" => label(&mut event, &mut ranks, "group".into(), value),
            "payload.class" => label(&mut event, &mut ranks, "class".into(), value),
            key => {
                if let Some(detail) = key.strip_prefix("payload.custom_details.") {
                    label(&mut event, &mut ranks, detail.to_string().into(), value);
                }
            }
        }
    }
    Ok(event)
}
