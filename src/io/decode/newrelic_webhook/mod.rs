//! New Relic's issues as its workflows post them.

use std::borrow::Cow;

use crate::io::decode::alert_documents::{annotation, decode as decode_documents, label, text, time};
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::format::Format;
use crate::io::decode::raw_event::{RawEvent, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::semantic::Ranks;
use crate::io::decode::split;

/// New Relic's webhook.
pub static FORMAT: Format =
    Format { name: "newrelic_webhook", media_types: &[], subject_tokens: &[], recognise: |_| false, decode, split: split::whole };

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    decode_documents(&payload, sink, event_of);
    Ok(())
}

fn event_of<'a>(document: &FlatJson<'a>, sink: &EventSink<'_>) -> Result<RawEvent<'a>, RejectReason> {
    let mut event = RawEvent::default();
    let closed = document.text("state").is_some_and(|state| state.eq_ignore_ascii_case("closed"));
    event.set(TextField::Status, if closed { "resolved" } else { "firing" });
    time(&mut event, document, if closed { &["closedAt", "updatedAt"] } else { &["updatedAt", "createdAt"] }, sink);
    text(&mut event, TextField::AlertKey, document, &["id", "issueId"]);
    text(&mut event, TextField::Severity, document, &["priority"]);
    annotation(&mut event, "summary", document, &["title"]);
    annotation(&mut event, "runbook_url", document, &["runbookUrl", "issueUrl"]);
    let first = |field: &str| document.text(field).and_then(|list| first_of_list(&list));
    match first("alertConditionNames").or_else(|| document.text("title").map(Cow::into_owned)) {
        Some(name) => event.set(TextField::Name, name),
        None => return Err(RejectReason::Field("an issue has neither `alertConditionNames` nor `title`".into())),
    }
    let mut ranks = Ranks::default();
    // An issue names its entities, of which the first is where it began.
    if let Some(entity) = first("impactedEntities").or_else(|| first("entitiesData.names")) {
        label(&mut event, &mut ranks, "service".into(), entity.into());
    }
    for field in ["alertPolicyNames", "workflowName"] {
        if let Some(value) = document.text(field) {
            label(&mut event, &mut ranks, field.into(), first_of_list(&value).map_or(value, Into::into));
        }
    }
    Ok(event)
}

/// The first text of a list, which is written as JSON.
fn first_of_list(list: &str) -> Option<String> {
    let list: Vec<serde_json::Value> = serde_json::from_str(list).ok()?;
    list.first()?.as_str().filter(|text| !text.is_empty()).map(String::from)
}
