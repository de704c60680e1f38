//! The samples of one series over a stretch of time, as far as functions of counters and gauges ask for them: first and last sample, what was
//! lost at resets, and how many samples there were.
//!
//! Segments that follow each other join to one without loss. Prometheus computes an increase over all samples of a range in the same way:
//! last value less first, plus the value before each reset.

use datafusion::common::{Result, exec_err};

use crate::model::time::TimestampMs;
use crate::rule::aggregate::double_double::DoubleDouble;
use crate::rule::aggregate::series::accumulator::{Question, Sample, SeriesKey, SeriesPart, sum_of};
use crate::rule::aggregate::series::bytes::{Reader, write_float, write_signed, write_varint};
use crate::rule::aggregate::series::extrapolation::{Sampled, extrapolated};
use crate::rule::aggregate::series::function::Window;
use crate::rule::aggregate::series::histogram;

/// What is asked of a group's series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Asked {
    /// By how much they rose.
    Increase,
    /// The same, a second.
    Rate,
    /// Last value less first.
    Delta,
    /// How often they began anew.
    Resets,
    /// The last value.
    Last,
    /// A quantile of the histogram whose buckets they count.
    Quantile(f64),
}

/// The question, and whether Prometheus's figure is the answer.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// What is asked.
    pub asked: Asked,
    /// Whether differences are extrapolated to the bounds of the window.
    pub extrapolated: bool,
}

/// Samples of one series, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// The time of the first sample.
    pub first_ts: TimestampMs,
    /// The time of the last sample.
    pub last_ts: TimestampMs,
    /// The first value.
    pub first: f64,
    /// The last value.
    pub last: f64,
    /// Of a running total, the sum of the values before its resets; of deltas, the sum of all values.
    pub sum: DoubleDouble,
    /// How often a value was less than the one before it.
    pub resets: u64,
    /// How many samples there are.
    pub samples: u64,
    /// Whether a value is the increase since the last sample, and no running total.
    pub delta: bool,
}

impl Segment {
    /// By how much the counter rose. The first sample of a running total tells nothing about what was before it.
    fn increase(&self) -> Option<f64> {
        if self.delta {
            return Some(self.sum.value());
        }
        (self.samples > 1).then(|| (DoubleDouble::from(self.last) - self.first.into() + self.sum).value())
    }

    fn difference(&self) -> Option<f64> {
        if self.delta { self.increase() } else { (self.samples > 1).then_some(self.last - self.first) }
    }

    fn sampled(&self, difference: f64) -> Sampled {
        let Self { first_ts, last_ts, first, samples, .. } = *self;
        Sampled { first_ts, last_ts, first, samples, difference }
    }

    /// Whether it is one sample of a running total: then the next one at the same time replaces it.
    fn is_sample_at(&self, ts: TimestampMs) -> bool {
        self.samples == 1 && !self.delta && self.first_ts == ts
    }
}

impl SeriesPart for Segment {
    const NEEDS_ORDER: bool = true;

    fn of_sample(sample: &Sample) -> Self {
        let Sample { ts, value, key, .. } = *sample;
        let sum = if key.delta { value.into() } else { DoubleDouble::default() };
        Self { first_ts: ts, last_ts: ts, first: value, last: value, sum, resets: 0, samples: 1, delta: key.delta }
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.first_ts.cmp(&other.first_ts).then(self.first.total_cmp(&other.first))
    }

    fn is_replaced_by(&self, next: &Self) -> bool {
        next.is_sample_at(self.first_ts) && self.is_sample_at(next.first_ts)
    }

    fn join(&mut self, later: &Self) {
        self.sum = self.sum + later.sum;
        // Segments overlap only where the panes of a worker did, for a while after a change of rules: no reset is made up there.
        let follows = later.first_ts > self.last_ts;
        if !self.delta && follows && later.first < self.last {
            self.sum = self.sum + self.last;
            self.resets = self.resets.saturating_add(1);
        }
        self.resets = self.resets.saturating_add(later.resets);
        self.samples = self.samples.saturating_add(later.samples);
        if follows || later.last_ts > self.last_ts {
            (self.last_ts, self.last) = (later.last_ts, later.last);
        }
    }

    fn write(&self, before: &mut TimestampMs, bytes: &mut Vec<u8>) {
        write_varint(self.samples, bytes);
        write_signed(self.first_ts.wrapping_sub(*before), bytes);
        write_float(self.first, bytes);
        if self.samples > 1 {
            write_signed(self.last_ts.wrapping_sub(self.first_ts), bytes);
            write_float(self.last, bytes);
            write_varint(self.resets, bytes);
            if self.resets > 0 || self.delta {
                write_float(self.sum.high, bytes);
                write_float(self.sum.low, bytes);
            }
        }
        *before = self.last_ts;
    }

    fn read(key: &SeriesKey, before: &mut TimestampMs, reader: &mut Reader<'_>) -> Option<Self> {
        let samples = reader.varint()?;
        let first_ts = before.wrapping_add(reader.signed()?);
        let value = reader.float()?;
        let mut segment = Self::of_sample(&Sample { group: 0, key: *key, ts: first_ts, value });
        if samples > 1 {
            segment.samples = samples;
            segment.last_ts = first_ts.wrapping_add(reader.signed()?);
            segment.last = reader.float()?;
            segment.resets = reader.varint()?;
            if segment.resets > 0 || key.delta {
                segment.sum = DoubleDouble { high: reader.float()?, low: reader.float()? };
            }
        }
        *before = segment.last_ts;
        Some(segment)
    }
}

impl Question for Figure {
    type Part = Segment;

    fn has_bounds(self) -> bool {
        matches!(self.asked, Asked::Quantile(_))
    }

    fn answer(self, series: &[(SeriesKey, Segment)], window: Window<'_>) -> Result<Option<f64>> {
        let each = series.iter().map(|(_, segment)| segment);
        let over = |counter: bool| {
            let Some(window) = window else {
                return exec_err!("rows without a window have no extrapolated increase and no rate");
            };
            let seconds = (window.end - window.start) as f64 / 1000.0;
            let plain = |segment: &Segment| if counter { segment.increase() } else { segment.difference() };
            let rate = self.asked == Asked::Rate;
            let of_one = |segment: &Segment| match self.extrapolated && !segment.delta {
                true => extrapolated(&segment.sampled(plain(segment)?), window, counter, rate),
                false => plain(segment).map(|rise| if rate { rise / seconds } else { rise }),
            };
            Ok(sum_of(each.clone().map(of_one)))
        };
        match self.asked {
            Asked::Rate => over(true),
            Asked::Increase if self.extrapolated => over(true),
            Asked::Delta if self.extrapolated => over(false),
            Asked::Increase => Ok(sum_of(each.map(Segment::increase))),
            Asked::Delta => Ok(sum_of(each.map(Segment::difference))),
            Asked::Resets => Ok(sum_of(each.map(|segment| Some(segment.resets as f64)))),
            Asked::Last => Ok(sum_of(each.map(|segment| Some(segment.last)))),
            Asked::Quantile(quantile) => {
                let buckets = series.chunk_by(|(a, _), (b, _)| a.bound == b.bound).filter_map(|bucket| {
                    let count = sum_of(bucket.iter().map(|(_, segment)| segment.increase()))?;
                    Some(histogram::Bucket { bound: bucket[0].0.bound(), count })
                });
                Ok(histogram::quantile(quantile, buckets.collect()))
            }
        }
    }
}
