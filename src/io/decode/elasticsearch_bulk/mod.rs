//! Bodies of Elasticsearch's and OpenSearch's `_bulk`, from Filebeat, Logstash, rsyslog, Vector and others: a line with the action, and a line
//! with the document. Each document is a log record; what is deleted is none.

use std::borrow::Cow;

use serde::Deserialize;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::{FlatJson, parse};
use crate::io::decode::format::Format;
use crate::io::decode::json_text::JsonText;
use crate::io::decode::log_documents;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::log_meaning_of;
use crate::io::decode::split::lines;
use crate::model::event::Kind;
use crate::model::limits::EVENT_BYTES_MAX;

/// Bulk bodies.
pub static FORMAT: Format = Format {
    name: "elasticsearch_bulk",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| lines::records(message, max, &|line| if has_document(line) { 2 } else { 1 }),
};

/// The line before a document; one of its keys is set.
#[derive(Debug, Default, Deserialize)]
struct Action<'a> {
    #[serde(borrow)]
    index: Option<Target<'a>>,
    #[serde(borrow)]
    create: Option<Target<'a>>,
    #[serde(borrow)]
    update: Option<Target<'a>>,
    #[serde(borrow)]
    delete: Option<Target<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct Target<'a> {
    #[serde(default, borrow, rename = "_index")]
    index: Option<JsonText<'a>>,
}

impl<'a> Action<'a> {
    fn read(line: &'a [u8]) -> Result<Self, RejectReason> {
        let action: Self = serde_json::from_slice(line).map_err(|error| RejectReason::Json(error.to_string()))?;
        if action.index.is_none() && action.create.is_none() && action.update.is_none() && action.delete.is_none() {
            return Err(RejectReason::Json("a line names no action: index, create, update or delete".into()));
        }
        Ok(action)
    }
}

/// Whether a line is an action that a document follows.
fn has_document(line: &[u8]) -> bool {
    Action::read(line.trim_ascii()).is_ok_and(|action| action.delete.is_none())
}

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    let mut action: Option<Action<'_>> = None;
    for (at, line) in payload.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        rows.begin();
        rows.number = at + 1;
        let read = match action.take() {
            None => Action::read(line).map(|read| action = Some(read).filter(|read| read.delete.is_none())),
            Some(action) => document(line, &action, &mut rows),
        };
        if let Err(reason) = read {
            rows.reject(line, reason);
        }
    }
    Ok(())
}

fn document<'a>(line: &'a [u8], action: &Action<'a>, rows: &mut Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    if line.len() > EVENT_BYTES_MAX {
        return Err(RejectReason::Size(line.len()));
    }
    let mut document = parse(line).map_err(RejectReason::Json)?;
    let target = action.index.as_ref().or(action.create.as_ref()).or(action.update.as_ref());
    if let Some(JsonText(index)) = target.and_then(|target| target.index.as_ref()) {
        rows.pair("_index".into(), index.clone());
    }
    if action.update.is_some() {
        document = updated(document);
    }
    log_documents::write(rows, document, line);
    Ok(())
}

/// The document of an update is within `doc`, or within `upsert`.
fn updated(document: FlatJson<'_>) -> FlatJson<'_> {
    let inner = |(key, value): (Cow<'_, str>, _)| {
        let key = key.strip_prefix("doc.").or_else(|| key.strip_prefix("upsert."))?.to_string();
        Some((Cow::Owned(key), value))
    };
    FlatJson(document.0.into_iter().filter_map(inner).collect())
}
