//! The JSON form.

use serde::Deserialize;

use crate::io::decode::datadog::{tag, temporality_of_number};
use crate::io::decode::json_text::JsonText;
use crate::io::decode::raw_event::{Scalar, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::wire_time;

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
    points: Vec<Point<'a>>,
    #[serde(default, rename = "type")]
    metric_type: u64,
    #[serde(default, borrow)]
    resources: Vec<Resource<'a>>,
    #[serde(default, borrow)]
    tags: Option<Vec<JsonText<'a>>>,
}

#[derive(Deserialize)]
struct Point<'a> {
    #[serde(borrow)]
    timestamp: Scalar<'a>,
    #[serde(borrow)]
    value: Scalar<'a>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(default, borrow, rename = "type")]
    resource_type: JsonText<'a>,
    #[serde(default, borrow)]
    name: JsonText<'a>,
}

/// Reads a body.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    let body: Body<'a> = serde_json::from_slice(payload).map_err(|error| RejectReason::Json(error.to_string()))?;
    for series in body.series {
        rows.begin_shared();
        series.tags.unwrap_or_default().into_iter().for_each(|JsonText(text)| tag(&mut rows, text));
        for resource in series.resources {
            rows.pair(resource.resource_type.0, resource.name.0);
        }
        rows.set(TextField::Name, series.metric.0);
        rows.set(TextField::Temporality, temporality_of_number(series.metric_type));
        rows.end_shared();
        for point in series.points {
            rows.begin();
            rows.event.ts = wire_time::of(&point.timestamp);
            if let Some(value) = point.value.number() {
                rows.take_value(value);
            }
        }
    }
    Ok(())
}
