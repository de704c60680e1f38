//! Prometheus' native histograms, with integer or float counts, exponential or custom buckets.

use crate::io::decode::histogram::{Cumulative, Exponential};
use crate::io::decode::protobuf::{Fields, ProtobufError, Value, push_doubles, push_varints, zigzag};
use crate::model::limits::HISTOGRAM_BUCKETS_MAX;

/// The schema of custom buckets: their bounds are in the message.
const CUSTOM_BUCKETS: i32 = -53;
/// The reset hint of a histogram that may fall.
const GAUGE: u64 = 3;

/// The message `Histogram`.
#[derive(Clone, Debug, Default)]
pub(crate) struct NativeHistogram {
    pub(crate) ts: i64,
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) is_gauge: bool,
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    positive: Buckets,
    negative: Buckets,
    custom_bounds: Vec<f64>,
}

#[derive(Clone, Debug, Default)]
struct Buckets {
    spans: Vec<(i32, u32)>,
    deltas: Vec<u64>,
    counts: Vec<f64>,
}

impl NativeHistogram {
    /// Reads the message.
    pub(crate) fn read(message: &[u8]) -> Result<Self, ProtobufError> {
        let mut histogram = Self::default();
        for field in Fields::new(message) {
            match field? {
                (1, value) => histogram.count = value.unsigned(1)? as f64,
                (2, value) => histogram.count = value.double(2)?,
                (3, value) => histogram.sum = value.double(3)?,
                (4, value) => histogram.schema = value.zigzag(4)? as i32,
                (5, value) => histogram.zero_threshold = value.double(5)?,
                (6, value) => histogram.zero_count = value.unsigned(6)? as f64,
                (7, value) => histogram.zero_count = value.double(7)?,
                (number @ 8..=10, value) => histogram.negative.read(number - 8, value)?,
                (number @ 11..=13, value) => histogram.positive.read(number - 11, value)?,
                (14, value) => histogram.is_gauge = value.unsigned(14)? == GAUGE,
                (15, value) => histogram.ts = value.signed(15)?,
                (16, value) => push_doubles(value, 16, &mut histogram.custom_bounds)?,
                _ => {}
            }
        }
        Ok(histogram)
    }

    /// Its buckets, the last of them without bound.
    pub(crate) fn cumulative(&self) -> Result<Cumulative, String> {
        let positive = self.positive.by_index()?;
        if self.schema == CUSTOM_BUCKETS {
            return self.custom(&positive);
        }
        // Prometheus counts a bucket by its upper bound, OpenTelemetry by its lower one.
        let lower = |buckets: Vec<(i32, f64)>| buckets.into_iter().map(|(at, count)| (at.saturating_sub(1), count)).collect();
        let exponential = Exponential {
            scale: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            positive: lower(positive),
            negative: lower(self.negative.by_index()?),
        };
        exponential.cumulative()
    }

    fn custom(&self, counts: &[(i32, f64)]) -> Result<Cumulative, String> {
        if self.custom_bounds.len() >= HISTOGRAM_BUCKETS_MAX {
            return Err(format!("a histogram has more than {HISTOGRAM_BUCKETS_MAX} buckets"));
        }
        let mut sum = 0.0;
        let bounds = self.custom_bounds.iter().copied().chain([f64::INFINITY]).enumerate();
        Ok(bounds
            .map(|(at, bound)| {
                sum += counts.iter().filter(|(index, _)| *index == at as i32).map(|(_, count)| count).sum::<f64>();
                (bound, sum)
            })
            .collect())
    }
}

impl Buckets {
    /// Reads one of its fields: spans, deltas or counts.
    fn read(&mut self, which: u32, value: Value<'_>) -> Result<(), ProtobufError> {
        match which {
            0 => {
                let (mut offset, mut length) = (0, 0);
                for field in Fields::new(value.message(which)?) {
                    match field? {
                        (1, value) => offset = value.zigzag(1)? as i32,
                        (2, value) => length = value.unsigned(2)? as u32,
                        _ => {}
                    }
                }
                self.spans.push((offset, length));
                Ok(())
            }
            1 => push_varints(value, which, &mut self.deltas),
            _ => push_doubles(value, which, &mut self.counts),
        }
    }

    /// Counts by index: spans give the indices, the first from 0, each other from the end of the one before it.
    fn by_index(&self) -> Result<Vec<(i32, f64)>, String> {
        let wanted: u64 = self.spans.iter().map(|(_, length)| u64::from(*length)).sum();
        if wanted > HISTOGRAM_BUCKETS_MAX as u64 {
            return Err(format!("a histogram has more than {HISTOGRAM_BUCKETS_MAX} buckets"));
        }
        let mut absolute = 0_i64;
        let counts: Vec<f64> = if self.counts.is_empty() {
            let add = |delta: &u64| {
                absolute = absolute.wrapping_add(zigzag(*delta));
                absolute as f64
            };
            self.deltas.iter().map(add).collect()
        } else {
            self.counts.clone()
        };
        if counts.len() as u64 != wanted {
            return Err(format!("the spans of a histogram have {wanted} buckets, and there are {} counts", counts.len()));
        }
        let mut next = 0_i32;
        let mut indices = Vec::with_capacity(counts.len());
        for (offset, length) in &self.spans {
            next = next.saturating_add(*offset);
            for _ in 0..*length {
                indices.push(next);
                next = next.saturating_add(1);
            }
        }
        Ok(indices.into_iter().zip(counts).collect())
    }
}
