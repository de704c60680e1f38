//! Datadog's metrics as `/api/v1/series` takes them.

use std::borrow::Cow;

use serde::Deserialize;

use crate::io::decode::datadog::{tag, temporality};
use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::json_text::JsonText;
use crate::io::decode::raw_event::{Scalar, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::meaning_of;
use crate::io::decode::split::json;
use crate::io::decode::wire_time;
use crate::model::event::Kind;

/// Datadog's metrics, version 1.
pub static FORMAT: Format = Format {
    name: "datadog_series_v1",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| json::lists(message, max, &[&["series"]]),
};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    series: Vec<Series<'a>>,
}

#[derive(Deserialize)]
struct Series<'a> {
    #[serde(borrow)]
    metric: JsonText<'a>,
    #[serde(borrow)]
    points: Vec<(Scalar<'a>, Scalar<'a>)>,
    #[serde(default, borrow, rename = "type")]
    metric_type: JsonText<'a>,
    #[serde(default, borrow)]
    host: JsonText<'a>,
    #[serde(default, borrow)]
    tags: Option<Vec<JsonText<'a>>>,
}

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let body: Body<'_> = serde_json::from_slice(&payload).map_err(|error| RejectReason::Json(error.to_string()))?;
    let mut rows = Rows::new(sink, Kind::Metric, meaning_of);
    for series in body.series {
        rows.begin_shared();
        series.tags.unwrap_or_default().into_iter().for_each(|JsonText(text)| tag(&mut rows, text));
        if !series.host.0.is_empty() {
            rows.pair("host".into(), series.host.0);
        }
        rows.set(TextField::Name, series.metric.0);
        rows.set(TextField::Temporality, temporality(&series.metric_type.0));
        rows.end_shared();
        for (time, value) in series.points {
            rows.begin();
            rows.event.ts = wire_time::of(&time);
            if let Some(value) = value.number() {
                rows.take_value(value);
            }
        }
    }
    Ok(())
}
