//! New Relic's log API: an object, or a list of `{"common","logs"}`.

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
use crate::io::decode::split::json;
use crate::model::event::Kind;

/// New Relic's logs.
pub static FORMAT: Format = Format {
    name: "newrelic_logs",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| json::lists(message, max, &[&[""], &["logs"]]),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
    for place in values(&payload) {
        let batch = &payload[place];
        rows.begin_shared();
        let mut common_time = None;
        let logs = match parts(batch) {
            Some((common, logs)) => {
                let common = match common.map(parse).transpose() {
                    Ok(common) => common.unwrap_or_default(),
                    Err(why) => {
                        rows.number += 1;
                        rows.reject(batch, RejectReason::Json(why));
                        continue;
                    }
                };
                common_time = common.get("timestamp").and_then(Scalar::text);
                log_documents::pairs(&mut rows, common, "attributes.");
                logs
            }
            None => vec![batch],
        };
        rows.end_shared();
        for raw in logs {
            rows.begin();
            match parse(raw) {
                Ok(mut document) => {
                    if let (None, Some(time)) = (document.get("timestamp"), &common_time) {
                        document.0.push(("timestamp".into(), Scalar::Text(time.clone())));
                    }
                    log_documents::write(&mut rows, without_attributes(document), raw);
                }
                Err(why) => rows.reject(raw, RejectReason::Json(why)),
            }
        }
    }
    Ok(())
}

/// What is common to the logs of a batch, and the logs.
type Batch<'a> = (Option<&'a [u8]>, Vec<&'a [u8]>);

/// What is common to a batch, and its logs; `None` where the object is a log itself.
fn parts(batch: &[u8]) -> Option<Batch<'_>> {
    let mut scan = Scan { bytes: batch, at: 0 };
    let (mut common, mut logs) = (None, None);
    scan.take(b'{').then_some(())?;
    loop {
        scan.space();
        let key = scan.value()?;
        scan.take(b':').then_some(())?;
        scan.space();
        match &batch[key] {
            b"\"common\"" => common = Some(&batch[scan.value()?]),
            b"\"logs\"" => logs = Some(scan.items()?.into_iter().map(|place| &batch[place]).collect()),
            _ => _ = scan.value()?,
        }
        if !scan.take(b',') {
            return Some((common, logs?));
        }
    }
}

fn without_attributes(document: FlatJson<'_>) -> FlatJson<'_> {
    let plain = |(key, value): (Cow<'_, str>, _)| match key.strip_prefix("attributes.") {
        Some(rest) => (Cow::Owned(rest.to_string()), value),
        None => (Cow::Owned(key.into_owned()), value),
    };
    FlatJson(document.0.into_iter().map(plain).collect())
}
