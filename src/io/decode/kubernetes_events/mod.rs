//! Events of Kubernetes, as its API has them: one object, a list, or a watch's `{"type","object"}`. Each is a log record about an object.

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::format::Format;
use crate::io::decode::json_values::member;
use crate::io::decode::log_documents;
use crate::io::decode::raw_event::{Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::log_meaning_of;
use crate::io::decode::split;
use crate::io::decode::wire_time;
use crate::model::event::Kind;

/// Events of Kubernetes.
pub static FORMAT: Format = Format {
    name: "kubernetes_events",
    media_types: &[],
    subject_tokens: &["kubernetes_events", "k8s_events"],
    recognise: |payload| payload.windows(b"nvolvedObject\"".len()).take(65_536).any(|window| window == b"nvolvedObject\""),
    decode,
    split: |message, max| split::json::lists(message, max, &[&["items", ""]]).or_else(|_| split::lines::lines(message, max)),
};

/// Fields of an event, and the label of each in OpenTelemetry's names.
const LABELS: [(&str, &str); 7] = [
    ("involvedObject.kind", "k8s.object.kind"),
    ("involvedObject.name", "k8s.object.name"),
    ("involvedObject.namespace", "k8s.namespace.name"),
    ("involvedObject.uid", "k8s.object.uid"),
    ("reason", "k8s.event.reason"),
    ("count", "k8s.event.count"),
    ("metadata.uid", "k8s.event.uid"),
];

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    // A list is `{"kind":"EventList","items":[…]}`.
    let items = member(&payload, "items").unwrap_or(&payload);
    log_documents::decode_all(items, &mut rows, &mut |rows, document, _| event(rows, document));
    Ok(())
}

fn event<'a>(rows: &mut Rows<'_, '_, 'a>, mut document: FlatJson<'a>) -> Result<(), RejectReason> {
    if document.get("object.involvedObject.kind").is_some() {
        let inner = |(key, value): (Text<'a>, _)| Some((Text::Owned(key.strip_prefix("object.")?.to_string()), value));
        document = FlatJson(document.0.into_iter().filter_map(inner).collect());
    }
    let Some(kind) = document.text("involvedObject.kind") else {
        return Err(RejectReason::Field("an event has no `involvedObject.kind`".into()));
    };
    let name = document.text("involvedObject.name").unwrap_or_default();
    for (field, label) in LABELS {
        if let Some(text) = document.text(field) {
            rows.pair(label.into(), text);
        }
    }
    let times = ["lastTimestamp", "series.lastObservedTime", "eventTime", "firstTimestamp", "metadata.creationTimestamp"];
    match times.iter().find_map(|field| document.get(field).and_then(wire_time::of)) {
        Some(time) => rows.event.ts = Some(time),
        None => rows.time(None),
    }
    let host = if kind == "Node" { Some(name.clone()) } else { document.first_text(&["source.host", "deprecatedSource.host"]) };
    if let Some(host) = host {
        rows.set(TextField::Host, host);
    }
    if kind != "Node" {
        rows.set(TextField::Service, workload_of(&kind, name));
    }
    rows.set(TextField::Severity, if document.text("type").as_deref() == Some("Normal") { "INFO" } else { "WARN" });
    let body = document.first_text(&["message", "note", "reason"]).unwrap_or_default();
    rows.set(TextField::Body, body);
    rows.take();
    Ok(())
}

/// The workload that an object belongs to, by the names that Kubernetes gives to pods and replica sets: `chat` for `chat-7d9f8b6c5-x2x4v`, and
/// `postgres` for `postgres-0`.
fn workload_of<'a>(kind: &str, name: Text<'a>) -> Text<'a> {
    let generated = |part: &str| part.len() >= 5 && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let hash = |part: &str| generated(part) && part.len() >= 8 && part.bytes().any(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.rsplitn(3, '-').collect();
    let end = match (kind, parts.as_slice()) {
        ("Pod", [pod, set, owner]) if pod.len() == 5 && generated(pod) && hash(set) => Some(owner.len()),
        ("Pod", [number, ..]) if parts.len() > 1 && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(name.len() - number.len() - 1)
        }
        ("Pod", [pod, ..]) if parts.len() > 1 && pod.len() == 5 && generated(pod) => Some(name.len() - pod.len() - 1),
        ("ReplicaSet", [set, ..]) if parts.len() > 1 && hash(set) => Some(name.len() - set.len() - 1),
        _ => None,
    };
    match (end, name) {
        (None, name) => name,
        (Some(end), Text::Borrowed(text)) => Text::Borrowed(&text[..end]),
        (Some(end), Text::Owned(text)) => Text::Owned(text[..end].to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_of_an_object() {
        for (kind, name, want) in [
            ("Pod", "chat-7d9f8b6c5-x2x4v", "chat"),
            ("Pod", "chat-api-7d9f8b6c5-x2x4v", "chat-api"),
            ("Pod", "postgres-0", "postgres"),
            ("Pod", "node-exporter-x2x4v", "node-exporter"),
            ("Pod", "single", "single"),
            ("ReplicaSet", "chat-7d9f8b6c5", "chat"),
            ("Deployment", "chat-7d9f8b6c5", "chat-7d9f8b6c5"),
        ] {
            assert_eq!(workload_of(kind, name.into()), want, "{kind} {name}");
        }
    }
}
