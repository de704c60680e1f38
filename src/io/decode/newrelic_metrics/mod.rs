//! New Relic's metric API: lists of metrics, with what they have in common.

use std::borrow::Cow;

use serde::Deserialize;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::format::Format;
use crate::io::decode::json_text::JsonText;
use crate::io::decode::raw_event::{Pairs, Scalar, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::meaning_of;
use crate::io::decode::split::json;
use crate::io::decode::wire_time;
use crate::model::event::Kind;

/// New Relic's metrics.
pub static FORMAT: Format = Format {
    name: "newrelic_metrics",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| json::lists(message, max, &[&[""], &["metrics"]]),
};

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(default, borrow)]
    common: Common<'a>,
    #[serde(borrow)]
    metrics: Vec<Metric<'a>>,
}

#[derive(Default, Deserialize)]
struct Common<'a> {
    #[serde(default, borrow)]
    timestamp: Option<Scalar<'a>>,
    #[serde(default, borrow)]
    attributes: Option<Pairs<'a>>,
}

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(borrow)]
    name: JsonText<'a>,
    #[serde(default, borrow, rename = "type")]
    metric_type: JsonText<'a>,
    #[serde(borrow)]
    value: Value<'a>,
    #[serde(default, borrow)]
    timestamp: Option<Scalar<'a>>,
    #[serde(default, borrow)]
    attributes: Option<Pairs<'a>>,
}

/// A number, or the parts of a summary.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value<'a> {
    Number(f64),
    #[serde(borrow)]
    Parts(FlatJson<'a>),
}

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let batches: Vec<Batch<'_>> = serde_json::from_slice(&payload).map_err(|error| RejectReason::Json(error.to_string()))?;
    let mut rows = Rows::new(sink, Kind::Metric, meaning_of);
    for Batch { common, metrics } in batches {
        rows.begin_shared();
        common.attributes.unwrap_or_default().0.into_iter().for_each(|(key, value)| rows.pair(key, value));
        rows.end_shared();
        let common_time = common.timestamp.as_ref().and_then(wire_time::of);
        for metric in metrics {
            let parts: Vec<(String, f64)> = match metric.value {
                Value::Number(value) => vec![(String::new(), value)],
                // A summary is of an interval: its count and sum add up.
                Value::Parts(parts) => {
                    parts.0.iter().filter_map(|(part, value)| Some((format!("_{part}"), value.number()?))).collect()
                }
            };
            rows.begin();
            let number = rows.number;
            for (ending, value) in parts {
                rows.begin();
                rows.number = number;
                for (key, value) in metric.attributes.iter().flat_map(|attributes| &attributes.0) {
                    rows.pair(key.clone(), value.clone());
                }
                match metric.timestamp.as_ref().and_then(wire_time::of).or_else(|| common_time.clone()) {
                    Some(time) => rows.event.ts = Some(time),
                    None => rows.time(None),
                }
                let counts = metric.metric_type.0 == "count" || matches!(ending.as_str(), "_count" | "_sum");
                rows.set(TextField::Temporality, if counts { "delta" } else { "gauge" });
                rows.set(TextField::Name, format!("{}{ending}", metric.name.0));
                rows.take_value(value);
            }
        }
    }
    Ok(())
}
