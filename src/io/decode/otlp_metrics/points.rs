//! The points of a metric as rows.

use std::borrow::Cow;

use serde::Deserialize;

use crate::io::decode::histogram::{Cumulative, Exponential, explicit, le};
use crate::io::decode::otlp::attributes::{self, Attributes, JsonAttribute};
use crate::io::decode::otlp::json_numbers::{Double, Signed, Unsigned};
use crate::io::decode::protobuf::ProtobufError;
use crate::io::decode::raw_event::{Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

/// The flag of a point that says that there is no value: the series ended.
const NO_VALUE: u32 = 1;

/// What all points of a metric share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metric<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) temporality: Option<&'static str>,
}

/// The temporality of a sum or histogram, by its number. A sum that also falls is a gauge to rules: its increases mean nothing.
pub(crate) fn temporality(number: u64, is_monotonic: bool) -> Option<&'static str> {
    match number {
        1 => Some("delta"),
        2 if is_monotonic => Some("cumulative"),
        2 => Some("gauge"),
        _ => None,
    }
}

/// What all kinds of points have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Base<'a> {
    pub(crate) attributes: Attributes<'a>,
    pub(crate) time: u64,
    pub(crate) flags: u32,
}

/// The fields of a point in JSON, whatever its kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct JsonPoint<'a> {
    #[serde(borrow)]
    pub(crate) attributes: Vec<JsonAttribute<'a>>,
    pub(crate) time_unix_nano: Unsigned,
    pub(crate) flags: u32,
    pub(crate) as_double: Option<Double>,
    pub(crate) as_int: Option<Signed>,
    pub(crate) count: Option<Unsigned>,
    pub(crate) sum: Option<Double>,
    pub(crate) bucket_counts: Vec<Unsigned>,
    pub(crate) explicit_bounds: Vec<Double>,
    pub(crate) scale: i32,
    pub(crate) zero_count: Unsigned,
    pub(crate) zero_threshold: Double,
    pub(crate) positive: JsonBuckets,
    pub(crate) negative: JsonBuckets,
    pub(crate) quantile_values: Vec<JsonQuantile>,
}

/// Exponential buckets in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct JsonBuckets {
    pub(crate) offset: i32,
    pub(crate) bucket_counts: Vec<Unsigned>,
}

/// A quantile in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct JsonQuantile {
    pub(crate) quantile: Double,
    pub(crate) value: Double,
}

/// Writes points.
pub(crate) struct Points<'r, 's, 'm, 'a> {
    pub(crate) rows: &'r mut Rows<'s, 'm, 'a>,
}

impl<'a> Points<'_, '_, '_, 'a> {
    /// Sets what the rows of a point share. `false`: the point has no value.
    fn begin(&mut self, metric: &Metric<'a>, base: &mut Base<'a>) -> Result<bool, ProtobufError> {
        self.rows.begin();
        if base.flags & NO_VALUE != 0 {
            return Ok(false);
        }
        attributes::write(self.rows, base.attributes.drain(..))?;
        self.rows.nanoseconds(base.time);
        if let Some(temporality) = metric.temporality {
            self.rows.set(TextField::Temporality, temporality);
        }
        Ok(true)
    }

    fn row(&mut self, name: Text<'a>, value: f64) {
        self.rows.set(TextField::Name, name);
        self.rows.take_value(value);
    }

    /// A point of a gauge or a sum.
    #[inline]
    pub(crate) fn number(&mut self, metric: &Metric<'a>, base: &mut Base<'a>, value: Option<f64>) -> Result<(), ProtobufError> {
        let has_value = self.begin(metric, base)?;
        if let Some(value) = value.filter(|_| has_value) {
            self.row(metric.name.clone(), value);
        }
        Ok(())
    }

    /// A point of a histogram with explicit bounds.
    pub(crate) fn histogram(
        &mut self,
        metric: &Metric<'a>,
        base: &mut Base<'a>,
        (count, sum): (u64, Option<f64>),
        (bounds, counts): (&[f64], &[u64]),
    ) -> Result<(), RejectReason> {
        if self.begin(metric, base)? {
            let buckets = explicit(bounds, counts).map_err(RejectReason::Field)?;
            self.buckets(metric, count, sum, &buckets);
        }
        Ok(())
    }

    /// A point of an exponential histogram.
    pub(crate) fn exponential(
        &mut self,
        metric: &Metric<'a>,
        base: &mut Base<'a>,
        (count, sum): (u64, Option<f64>),
        histogram: &Exponential,
    ) -> Result<(), RejectReason> {
        if self.begin(metric, base)? {
            let buckets = histogram.cumulative().map_err(RejectReason::Field)?;
            self.buckets(metric, count, sum, &buckets);
        }
        Ok(())
    }

    /// A point of a summary: its quantiles have the metric's name and the label `quantile`.
    pub(crate) fn summary(
        &mut self,
        metric: &Metric<'a>,
        base: &mut Base<'a>,
        (count, sum): (u64, f64),
        quantiles: &[(f64, f64)],
    ) -> Result<(), RejectReason> {
        if self.begin(metric, base)? {
            self.totals(metric, count, Some(sum));
            self.rows.set(TextField::Temporality, "gauge");
            for (quantile, value) in quantiles {
                self.labelled("quantile", || quantile.to_string(), metric.name.clone(), *value);
            }
        }
        Ok(())
    }

    fn buckets(&mut self, metric: &Metric<'a>, count: u64, sum: Option<f64>, buckets: &Cumulative) {
        self.totals(metric, count, sum);
        let name: Text<'a> = Cow::Owned(format!("{}_bucket", metric.name));
        for (bound, count) in buckets {
            self.labelled("le", || le(*bound), name.clone(), *count);
        }
    }

    fn totals(&mut self, metric: &Metric<'a>, count: u64, sum: Option<f64>) {
        self.row(Cow::Owned(format!("{}_count", metric.name)), count as f64);
        if let Some(sum) = sum {
            self.row(Cow::Owned(format!("{}_sum", metric.name)), sum);
        }
    }

    fn labelled(&mut self, key: &'static str, label: impl FnOnce() -> String, name: Text<'a>, value: f64) {
        let labels = self.rows.event.labels.0.len();
        self.rows.label(key, || label().into());
        self.row(name, value);
        self.rows.event.labels.0.truncate(labels);
    }
}
