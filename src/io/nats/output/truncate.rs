//! The stage that shortens revisions which are larger than the server accepts: a message that can never be stored would hold up all
//! messages after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::jetstream::context::Context;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::io::nats::client::publish::{HEADER_BYTES_MAX, body_bytes_max};
use crate::io::nats::output::results::RevisionMessage;
use crate::io::nats::output::stats::OutputStats;

/// Characters of a text: the first number that suffices is used.
const TEXT_CHARS: [usize; 3] = [1_000, 200, 50];
/// Entries of a list or a map, likewise.
const ENTRIES: [usize; 6] = [1_024, 256, 64, 16, 4, 1];

/// Shortens revisions to what the server accepts.
pub struct Truncate {
    context: Context,
    stats: Arc<OutputStats>,
}

impl Truncate {
    /// For the server of this context.
    pub fn new(context: Context, stats: Arc<OutputStats>) -> Self {
        Self { context, stats }
    }

    /// Shortens those that are too large.
    pub fn apply(&self, revisions: &mut [RevisionMessage]) {
        if revisions.is_empty() {
            return;
        }
        let room = body_bytes_max(&self.context, HEADER_BYTES_MAX);
        for message in revisions {
            for update in &mut message.alerts {
                if let Some(short) = revision(&update.body, room) {
                    let (id, whole, bytes) = (&update.message_id, update.body.len(), short.len());
                    tracing::warn!(id, whole, bytes, "an alert is larger than the server accepts (max_payload): it is shortened");
                    self.stats.truncated.fetch_add(1, Ordering::Relaxed);
                    update.body = short;
                }
            }
            if let Some(short) = revision(&message.body, room) {
                let (id, whole, bytes) = (&message.message_id, message.body.len(), short.len());
                tracing::warn!(id, whole, bytes, "a revision is larger than the server accepts (max_payload): it is shortened");
                self.stats.truncated.fetch_add(1, Ordering::Relaxed);
                message.body = short;
            }
        }
    }
}

/// A revision in at most `room` bytes; `None` if it fits as it is. Lists keep their first entries, texts their beginning; `left_out`
/// holds how many entries are missing from which list.
pub fn revision(body: &[u8], room: usize) -> Option<Bytes> {
    if body.len() <= room {
        return None;
    }
    let Ok(Value::Object(whole)) = serde_json::from_slice(body) else { return None };
    let sizes = TEXT_CHARS.into_iter().flat_map(|chars| ENTRIES.map(|entries| (chars, entries)));
    let mut smallest = None;
    for (chars, entries) in sizes {
        let short = shortened(&whole, chars, entries);
        let is_enough = short.len() <= room;
        smallest = Some(short);
        if is_enough {
            break;
        }
    }
    smallest
}

fn shortened(whole: &Map<String, Value>, chars: usize, entries: usize) -> Bytes {
    // The message may say already that it has no room for all.
    let mut left_out = whole.get("left_out").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut short: Map<String, Value> = whole
        .iter()
        .map(|(key, value)| {
            if let Value::Array(list) = value
                && list.len() > entries
            {
                let before = left_out.get(key).and_then(Value::as_u64).unwrap_or(0);
                left_out.insert(key.clone(), json!(before + (list.len() - entries) as u64));
            }
            (key.clone(), cut(value, chars, entries))
        })
        .collect();
    short.insert("left_out".into(), Value::Object(left_out));
    Bytes::from(Value::Object(short).to_string())
}

fn cut(value: &Value, chars: usize, entries: usize) -> Value {
    match value {
        Value::String(text) => Value::String(cut_text(text, chars)),
        Value::Array(list) => list.iter().take(entries).map(|value| cut(value, chars, entries)).collect(),
        // An alert has fewer keys than that, labels may have more.
        Value::Object(map) => {
            map.iter().take(entries.max(32)).map(|(key, value)| (cut_text(key, chars), cut(value, chars, entries))).collect()
        }
        other => other.clone(),
    }
}

fn cut_text(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(alerts: usize, text: usize) -> Vec<u8> {
        let alert = json!({"fingerprint": "f", "labels": {"service": "é".repeat(text)}, "summary": null, "value": 1.5});
        json!({"id": "inc-1", "revision": 3, "alerts": vec![alert; alerts], "links": [], "title": "é".repeat(text)})
            .to_string()
            .into()
    }

    #[test]
    fn a_revision_that_fits_stays_as_it_is() {
        let body = incident(10, 2_000);
        assert_eq!(revision(&body, body.len()), None);
    }

    #[test]
    fn a_shortened_revision_counts_what_is_left_out() {
        for (alerts, text, room) in [(1_000, 100, 65_536), (1, 1 << 20, 65_536), (5_000, 10, 200_000), (1_000, 1 << 10, 4_096)] {
            let body = incident(alerts, text);
            let short = revision(&body, room).unwrap();
            assert!(short.len() <= room, "{alerts} {text}: {} bytes", short.len());
            let short: Value = serde_json::from_slice(&short).unwrap();
            assert_eq!((&short["id"], &short["revision"]), (&json!("inc-1"), &json!(3)));
            let kept = short["alerts"].as_array().unwrap().len();
            assert!(kept >= 1);
            assert_eq!(short["left_out"]["alerts"].as_u64().unwrap_or(0) as usize, alerts - kept);
            assert_eq!(short["alerts"][0]["value"], json!(1.5));
        }
    }
}
