//! Fluent Bit's records: a chunk is a list of `[time, record]`, or of records that hold their time in `date`.

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::{FlatJson, parse};
use crate::io::decode::format::Format;
use crate::io::decode::json_values::{Scan, values};
use crate::io::decode::log_documents;
use crate::io::decode::raw_event::Scalar;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::log_meaning_of;
use crate::io::decode::split;
use crate::model::event::Kind;
use crate::model::limits::EVENT_BYTES_MAX;

/// Fluent Bit's records.
pub static FORMAT: Format = Format {
    name: "fluent_bit",
    media_types: &[],
    subject_tokens: &["fluent_bit", "fluentbit", "fluent-bit"],
    recognise: |payload| payload.trim_ascii_start().first() == Some(&b'['),
    decode,
    split: |message, max| split::json::lists(message, max, &[&[""]]).or_else(|_| split::lines::lines(message, max)),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    for place in values(&payload) {
        let raw = &payload[place];
        rows.begin();
        let written = if raw.len() > EVENT_BYTES_MAX {
            Err(RejectReason::Size(raw.len()))
        } else {
            record(raw).map(|document| log_documents::write(&mut rows, document, raw))
        };
        if let Err(reason) = written {
            rows.reject(raw, reason);
        }
    }
    Ok(())
}

/// The record of an item. Its time stands before it, alone or with metadata: `[time, {…}]`, `[[time, {…}], {…}]`.
fn record(item: &[u8]) -> Result<FlatJson<'_>, RejectReason> {
    if item.first() != Some(&b'[') {
        return parse(item).map_err(RejectReason::Json);
    }
    let items = |bytes| Scan { bytes, at: 0 }.items();
    let pair = items(item).filter(|parts| parts.len() == 2);
    let pair = pair.ok_or_else(|| RejectReason::Json("a record is no list of a time and an object".into()))?;
    let (mut time, document) = (&item[pair[0].clone()], &item[pair[1].clone()]);
    if let Some(first) = items(time).and_then(|parts| parts.first().cloned()) {
        time = &time[first];
    }
    let mut document = parse(document).map_err(RejectReason::Json)?;
    let time: Scalar<'_> = serde_json::from_slice(time).map_err(|error| RejectReason::Json(error.to_string()))?;
    document.0.push(("@timestamp".into(), time));
    Ok(document)
}
