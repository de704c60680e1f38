//! The samples of a series as rows. A series with a staleness mark has ended, and a value that is no number is no value: neither is a row.

use crate::io::decode::histogram::le;
use crate::io::decode::prometheus::native_histogram::NativeHistogram;
use crate::io::decode::protobuf::{Fields, ProtobufError};
use crate::io::decode::raw_event::{Text, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::rows::Rows;

/// A row's value and time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) value: f64,
    pub(crate) ts: i64,
}

impl Sample {
    /// Reads the message `Sample`.
    #[inline]
    pub(crate) fn read(message: &[u8]) -> Result<Self, ProtobufError> {
        let mut sample = Self::default();
        for field in Fields::new(message) {
            match field? {
                (1, value) => sample.value = value.double(1)?,
                (2, value) => sample.ts = value.signed(2)?,
                _ => {}
            }
        }
        Ok(sample)
    }
}

/// The temporality that a name states, where no metadata does: counters end in `_total`, and buckets are counters.
pub(crate) fn temporality_of_name(name: &str) -> Option<&'static str> {
    (name.ends_with("_total") || name.ends_with("_bucket")).then_some("cumulative")
}

/// Begins a series: what is written until [`Rows::end_shared`] holds for all of its samples. `label` is one of its labels.
#[inline]
pub(crate) fn label<'a>(rows: &mut Rows<'_, '_, 'a>, key: &'a str, value: &'a str) {
    if key == "__name__" {
        rows.set(TextField::Name, value);
    } else {
        rows.pair(key.into(), value.into());
    }
}

/// Writes a sample.
#[inline]
pub(crate) fn sample(rows: &mut Rows<'_, '_, '_>, sample: Sample) {
    rows.begin();
    rows.time(Some(sample.ts));
    rows.take_value(sample.value);
}

/// Writes a native histogram as the rows that a classic one would have had.
pub(crate) fn histogram<'a>(rows: &mut Rows<'_, '_, 'a>, message: &[u8]) -> Result<(), RejectReason> {
    rows.begin();
    let histogram = NativeHistogram::read(message)?;
    rows.time(Some(histogram.ts));
    // The sum of a stale histogram is the mark; its counts are zero.
    if histogram.sum.is_nan() && histogram.count == 0.0 {
        return Ok(());
    }
    let buckets = histogram.cumulative().map_err(RejectReason::Field)?;
    let name = rows.event.text(TextField::Name).unwrap_or_default().to_string();
    rows.set(TextField::Temporality, if histogram.is_gauge { "gauge" } else { "cumulative" });
    let named = |rows: &mut Rows<'_, '_, 'a>, ending: &str, value: f64| {
        rows.set(TextField::Name, Text::from(format!("{name}{ending}")));
        rows.take_value(value);
    };
    named(rows, "_count", histogram.count);
    named(rows, "_sum", histogram.sum);
    for (bound, count) in buckets {
        let labels = rows.event.labels.0.len();
        rows.label("le", || le(bound).into());
        named(rows, "_bucket", count);
        rows.event.labels.0.truncate(labels);
    }
    Ok(())
}
