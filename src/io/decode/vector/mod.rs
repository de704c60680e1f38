//! Vector's events as JSON: metrics as its `native_json` codec and `metric_to_log` write them, and logs of any shape.

use std::borrow::Cow;

use serde::Deserialize;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::flat_json::FlatJson;
use crate::io::decode::format::Format;
use crate::io::decode::histogram::le;
use crate::io::decode::json_values::values;
use crate::io::decode::log_documents;
use crate::io::decode::raw_event::{Pairs, Scalar, Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::{log_meaning_of, meaning_of};
use crate::io::decode::split;
use crate::io::decode::syntax::Syntax;
use crate::io::decode::wire_time;
use crate::model::event::Kind;
use crate::model::limits::EVENT_BYTES_MAX;

/// Vector's events.
pub static FORMAT: Format = Format {
    name: "vector",
    media_types: &[],
    subject_tokens: &["vector"],
    // Squelch's own events have other keys.
    recognise: |payload| Syntax::Unnamed.is_json(payload) && !contains(payload, b"\"ts\""),
    decode,
    split: |message, max| split::json::lists(message, max, &[&[""]]).or_else(|_| split::lines::lines(message, max)),
};

fn contains(payload: &[u8], key: &[u8]) -> bool {
    payload[..payload.len().min(4_096)].windows(key.len()).any(|window| window == key)
}

/// A metric; logs have no `kind` beside a value.
#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    tags: Option<Pairs<'a>>,
    /// Where `metric_to_log` moves the host tag.
    #[serde(borrow)]
    host: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    timestamp: Option<Scalar<'a>>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    counter: Option<Value>,
    gauge: Option<Value>,
    set: Option<Set>,
    distribution: Option<Distribution>,
    aggregated_histogram: Option<Histogram>,
    aggregated_summary: Option<Summary>,
}

#[derive(Deserialize)]
struct Value {
    value: f64,
}

#[derive(Deserialize)]
struct Set {
    values: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Distribution {
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    value: f64,
    rate: f64,
}

#[derive(Deserialize)]
struct Histogram {
    buckets: Vec<Bucket>,
    count: f64,
    sum: f64,
}

#[derive(Deserialize)]
struct Bucket {
    upper_limit: Option<f64>,
    count: f64,
}

#[derive(Deserialize)]
struct Summary {
    quantiles: Vec<Quantile>,
    count: f64,
    sum: f64,
}

#[derive(Deserialize)]
struct Quantile {
    quantile: f64,
    value: f64,
}

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    for (at, place) in values(&payload).into_iter().enumerate() {
        let (number, raw) = (at + 1, &payload[place]);
        if raw.len() > EVENT_BYTES_MAX {
            sink.reject(number, raw, RejectReason::Size(raw.len()));
            continue;
        }
        if let Ok(metric) = serde_json::from_slice::<Metric<'_>>(raw) {
            let mut rows = Rows::new(sink, Kind::Metric, meaning_of);
            rows.number = number;
            write(metric, &mut rows);
            continue;
        }
        let mut rows = Rows::new(sink, Kind::Log, log_meaning_of);
        rows.begin();
        rows.number = number;
        match serde_json::from_slice::<FlatJson<'_>>(raw) {
            Ok(document) => log_documents::write(&mut rows, document, raw),
            Err(error) => rows.reject(raw, RejectReason::Json(error.to_string())),
        }
    }
    Ok(())
}

fn write<'a>(metric: Metric<'a>, rows: &mut Rows<'_, '_, 'a>) {
    let number = rows.number;
    let name = match &metric.namespace {
        Some(namespace) => format!("{namespace}_{}", metric.name),
        None => metric.name.to_string(),
    };
    rows.begin_shared();
    for (key, value) in metric.tags.unwrap_or_default().0.into_iter().chain(metric.host.map(|host| ("host".into(), host))) {
        rows.pair(key, value);
    }
    let counts = if metric.kind == "incremental" { "delta" } else { "cumulative" };
    rows.set(TextField::Temporality, if metric.gauge.is_some() || metric.set.is_some() { "gauge" } else { counts });
    rows.end_shared();
    let time = metric.timestamp.as_ref().and_then(wire_time::of);
    let mut row = |ending: &str, label: Option<(&'static str, String)>, value: f64| {
        rows.begin();
        rows.number = number;
        match &time {
            Some(time) => rows.event.ts = Some(time.clone()),
            None => rows.time(None),
        }
        if let Some((key, value)) = label {
            // A quantile may fall, whatever the counts beside it do.
            if key == "quantile" {
                rows.set(TextField::Temporality, "gauge");
            }
            rows.label(key, || Text::Owned(value));
        }
        rows.set(TextField::Name, format!("{name}{ending}"));
        rows.take_value(value);
    };
    if let Some(Value { value }) = metric.counter.or(metric.gauge) {
        row("", None, value);
    }
    if let Some(set) = metric.set {
        row("", None, set.values.len() as f64);
    }
    if let Some(distribution) = metric.distribution {
        row("_count", None, distribution.samples.iter().map(|sample| sample.rate).sum());
        row("_sum", None, distribution.samples.iter().map(|sample| sample.rate * sample.value).sum());
    }
    if let Some(Histogram { buckets, count, sum }) = metric.aggregated_histogram {
        row("_count", None, count);
        row("_sum", None, sum);
        let mut below = 0.0;
        for bucket in &buckets {
            below += bucket.count;
            row("_bucket", Some(("le", le(bucket.upper_limit.unwrap_or(f64::INFINITY)))), below);
        }
        if buckets.last().is_none_or(|last| last.upper_limit.is_some()) {
            row("_bucket", Some(("le", le(f64::INFINITY))), count);
        }
    }
    if let Some(Summary { quantiles, count, sum }) = metric.aggregated_summary {
        row("_count", None, count);
        row("_sum", None, sum);
        for Quantile { quantile, value } in quantiles {
            row("", Some(("quantile", quantile.to_string())), value);
        }
    }
}
