//! The JSON form of `ExportMetricsServiceRequest`.

use serde::Deserialize;

use crate::io::decode::histogram::Exponential;
use crate::io::decode::json_text::JsonText;
use crate::io::decode::otlp::attributes::{JsonResource, of_json, share};
use crate::io::decode::otlp::json_numbers::{Double, Unsigned};
use crate::io::decode::otlp_metrics::points::{Base, JsonBuckets, JsonPoint, Metric, Points, temporality};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(default, borrow)]
    resource_metrics: Vec<ResourceMetrics<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics<'a> {
    #[serde(default, borrow)]
    resource: JsonResource<'a>,
    #[serde(default, borrow)]
    scope_metrics: Vec<ScopeMetrics<'a>>,
}

#[derive(Deserialize)]
struct ScopeMetrics<'a> {
    #[serde(default, borrow)]
    metrics: Vec<JsonMetric<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonMetric<'a> {
    #[serde(default, borrow)]
    name: JsonText<'a>,
    #[serde(borrow)]
    gauge: Option<Data<'a>>,
    #[serde(borrow)]
    sum: Option<Data<'a>>,
    #[serde(borrow)]
    histogram: Option<Data<'a>>,
    #[serde(borrow)]
    exponential_histogram: Option<Data<'a>>,
    #[serde(borrow)]
    summary: Option<Data<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(default, borrow)]
    data_points: Vec<JsonPoint<'a>>,
    #[serde(default)]
    aggregation_temporality: u64,
    #[serde(default)]
    is_monotonic: bool,
}

/// Reads a request.
pub(super) fn read<'a>(payload: &'a [u8], mut rows: Rows<'_, '_, 'a>) -> Result<(), RejectReason> {
    let request: Request<'a> = serde_json::from_slice(payload).map_err(|error| RejectReason::Json(error.to_string()))?;
    for resource in request.resource_metrics {
        share(&mut rows, of_json(resource.resource.attributes))?;
        for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            write(metric, &mut Points { rows: &mut rows });
        }
    }
    Ok(())
}

fn write<'a>(metric: JsonMetric<'a>, points: &mut Points<'_, '_, '_, 'a>) {
    let JsonMetric { name: JsonText(name), gauge, sum, histogram, exponential_histogram, summary } = metric;
    let kinds = [(5, gauge), (7, sum), (9, histogram), (10, exponential_histogram), (11, summary)];
    for (kind, data) in kinds {
        let Some(data) = data else { continue };
        let temporality = match kind {
            5 => Some("gauge"),
            11 => Some("cumulative"),
            _ => temporality(data.aggregation_temporality, kind != 7 || data.is_monotonic),
        };
        let metric = Metric { name: name.clone(), temporality };
        for point in data.data_points {
            if let Err(reason) = write_point(kind, &metric, point, points) {
                points.rows.reject(metric.name.as_bytes(), reason);
            }
        }
    }
}

fn write_point<'a>(
    kind: u32,
    metric: &Metric<'a>,
    point: JsonPoint<'a>,
    points: &mut Points<'_, '_, '_, 'a>,
) -> Result<(), RejectReason> {
    let mut base = Base { attributes: of_json(point.attributes), time: point.time_unix_nano.0, flags: point.flags };
    let count = point.count.map_or(0, |count| count.0);
    let sum = point.sum.map(|sum| sum.0);
    match kind {
        5 | 7 => {
            let value = point.as_double.map(|value| value.0).or(point.as_int.map(|value| value.0 as f64));
            Ok(points.number(metric, &mut base, value)?)
        }
        9 => {
            let bounds: Vec<f64> = point.explicit_bounds.iter().map(|Double(bound)| *bound).collect();
            let counts: Vec<u64> = point.bucket_counts.iter().map(|Unsigned(count)| *count).collect();
            points.histogram(metric, &mut base, (count, sum), (&bounds, &counts))
        }
        10 => {
            let histogram = Exponential {
                scale: point.scale,
                zero_threshold: point.zero_threshold.0,
                zero_count: point.zero_count.0 as f64,
                positive: buckets(&point.positive),
                negative: buckets(&point.negative),
            };
            points.exponential(metric, &mut base, (count, sum), &histogram)
        }
        _ => {
            let quantiles: Vec<(f64, f64)> = point.quantile_values.iter().map(|both| (both.quantile.0, both.value.0)).collect();
            points.summary(metric, &mut base, (count, sum.unwrap_or_default()), &quantiles)
        }
    }
}

fn buckets(buckets: &JsonBuckets) -> Vec<(i32, f64)> {
    let counts = buckets.bucket_counts.iter().enumerate();
    counts.map(|(at, count)| (buckets.offset.saturating_add(at as i32), count.0 as f64)).collect()
}
