//! Telegraf's JSON: `{"name","tags","fields","timestamp"}`, alone, one a line, or in `{"metrics":[…]}`.

use serde::Deserialize;

use crate::io::decode::json_values::{Scan, values};
use crate::io::decode::raw_event::{Pairs, Scalar, Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::wire_time;

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    tags: Pairs<'a>,
    #[serde(borrow)]
    fields: Fields<'a>,
    #[serde(default, borrow)]
    timestamp: Option<Scalar<'a>>,
}

/// Fields keep the type of their values.
#[derive(Default)]
struct Fields<'a>(Vec<(Text<'a>, Scalar<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::io::decode::flat_json::FlatJson::deserialize(deserializer).map(|flat| Self(flat.0))
    }
}

/// Whether the object looks like Telegraf's, and not like squelch's own.
pub(super) fn recognise(payload: &[u8]) -> bool {
    let head = &payload[..payload.len().min(4_096)];
    [&b"\"fields\""[..], b"\"metrics\""].iter().any(|key| head.windows(key.len()).any(|window| window == *key))
}

/// Reads metrics.
pub(super) fn read<'a>(payload: &'a [u8], rows: &mut Rows<'_, '_, 'a>) {
    let mut number = 0;
    for place in values(payload) {
        let document = &payload[place];
        let batch = batch(document);
        let metrics = batch.unwrap_or_else(|| std::iter::once(0..document.len()).collect());
        for place in metrics {
            number += 1;
            rows.number = number;
            let raw = &document[place];
            if let Err(reason) = metric(raw, rows) {
                rows.number = number;
                rows.reject(raw, reason);
            }
        }
    }
}

/// The places of the metrics of `{"metrics":[…]}`.
fn batch(document: &[u8]) -> Option<Vec<std::ops::Range<usize>>> {
    let mut scan = Scan { bytes: document, at: 0 };
    scan.take(b'{').then_some(())?;
    scan.space();
    let key = scan.value()?;
    if document.get(key)? != b"\"metrics\"" || !scan.take(b':') {
        return None;
    }
    scan.space();
    scan.items()
}

fn metric<'a>(raw: &'a [u8], rows: &mut Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    let number = rows.number;
    let Metric { name, tags, fields, timestamp } =
        serde_json::from_slice(raw).map_err(|error| RejectReason::Json(error.to_string()))?;
    rows.begin_shared();
    tags.0.into_iter().for_each(|(key, value)| rows.pair(key, value));
    rows.end_shared();
    for (field, value) in fields.0 {
        let (Scalar::Whole(_) | Scalar::Number(_), Some(value)) = (&value, value.number()) else { continue };
        rows.begin();
        rows.number = number;
        match timestamp.as_ref().and_then(wire_time::of) {
            Some(time) => rows.event.ts = Some(time),
            None => rows.time(None),
        }
        let metric: Text<'a> = if field == "value" { name.clone() } else { format!("{name}_{field}").into() };
        rows.set(TextField::Name, metric);
        rows.take_value(value);
    }
    Ok(())
}
