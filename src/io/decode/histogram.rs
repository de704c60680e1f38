//! Histograms as classic Prometheus has them: cumulative counts of what is at most `le`. OpenTelemetry's explicit and exponential histograms
//! and Prometheus' native ones become the same rows, so that one rule reads all.
//!
//! Exponential buckets finer than [`SCALE_MAX`] are merged in pairs until they are not: their bounds are then the same at whatever scale a
//! sender happens to be, and a bound is off by a fifth at most.

use std::collections::BTreeMap;

use crate::model::limits::HISTOGRAM_BUCKETS_MAX;

/// Four buckets to a doubling.
pub const SCALE_MAX: i32 = 2;
/// The coarsest scale of OpenTelemetry: one bucket for all that a double can be.
const SCALE_MIN: i32 = -10;

/// Buckets whose bounds grow by a factor of 2^(2^-scale).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exponential {
    /// See above.
    pub scale: i32,
    /// The largest absolute value in the zero bucket.
    pub zero_threshold: f64,
    /// What the zero bucket counts.
    pub zero_count: f64,
    /// Counts by index: bucket `i` has the values above factor^i, up to factor^(i+1).
    pub positive: Vec<(i32, f64)>,
    /// The same for negative values.
    pub negative: Vec<(i32, f64)>,
}

/// A bound and the count of values up to it.
pub type Cumulative = Vec<(f64, f64)>;

impl Exponential {
    /// Its buckets, the last of them without bound.
    pub fn cumulative(&self) -> Result<Cumulative, String> {
        if !(SCALE_MIN..=20).contains(&self.scale) {
            return Err(format!("the scale of a histogram is {}, it must be between {SCALE_MIN} and 20", self.scale));
        }
        let shift = (self.scale - SCALE_MAX).max(0);
        let scale = self.scale - shift;
        let merged = |buckets: &[(i32, f64)]| {
            let mut merged = BTreeMap::new();
            buckets
                .iter()
                .filter(|(_, count)| *count != 0.0)
                .for_each(|(at, count)| *merged.entry(at >> shift).or_default() += count);
            merged
        };
        let (positive, negative): (BTreeMap<i32, f64>, BTreeMap<i32, f64>) = (merged(&self.positive), merged(&self.negative));
        let bound = |index: i32| (f64::from(index) * (-f64::from(scale)).exp2()).exp2();
        let (mut all, mut sum) = (Vec::new(), 0.0);
        for at in span(&negative)?.rev() {
            sum += negative.get(&at).copied().unwrap_or_default();
            all.push((-bound(at), sum));
        }
        if self.zero_count != 0.0 {
            sum += self.zero_count;
            all.push((self.zero_threshold, sum));
        }
        for at in span(&positive)? {
            sum += positive.get(&at).copied().unwrap_or_default();
            all.push((bound(at + 1), sum));
        }
        all.retain(|(bound, _)| bound.is_finite());
        all.push((f64::INFINITY, sum));
        Ok(all)
    }
}

/// All indices from the first bucket to the last: an empty one between them has a bound too.
fn span(buckets: &BTreeMap<i32, f64>) -> Result<std::ops::RangeInclusive<i32>, String> {
    let (Some((first, _)), Some((last, _))) = (buckets.first_key_value(), buckets.last_key_value()) else {
        return Ok(std::ops::RangeInclusive::new(1, 0));
    };
    if i64::from(*last) - i64::from(*first) >= HISTOGRAM_BUCKETS_MAX as i64 {
        return Err(too_many());
    }
    Ok(*first..=*last)
}

fn too_many() -> String {
    format!("a histogram has more than {HISTOGRAM_BUCKETS_MAX} buckets")
}

/// The buckets of explicit bounds, each with its own count; there is one count more than bounds, or none at all.
pub fn explicit(bounds: &[f64], counts: &[u64]) -> Result<Cumulative, String> {
    if counts.is_empty() && bounds.is_empty() {
        return Ok(Vec::new());
    }
    if counts.len() != bounds.len() + 1 {
        return Err(format!("a histogram has {} bounds and {} counts: there must be one count more", bounds.len(), counts.len()));
    }
    if counts.len() > HISTOGRAM_BUCKETS_MAX {
        return Err(too_many());
    }
    let mut sum = 0_u64;
    let cumulative = bounds.iter().copied().chain([f64::INFINITY]).zip(counts).map(|(bound, count)| {
        sum = sum.saturating_add(*count);
        (bound, sum as f64)
    });
    Ok(cumulative.collect())
}

/// A bound as the text of the label `le`.
pub fn le(bound: f64) -> String {
    match bound.abs() {
        f64::INFINITY => "+Inf".into(),
        size if size != 0.0 && !(1e-5..1e21).contains(&size) => format!("{bound:e}"),
        _ => bound.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_buckets_have_the_same_bounds_at_every_fine_scale() {
        let at = |scale: i32, index: i32| Exponential { scale, positive: vec![(index, 2.0)], ..Exponential::default() };
        // 2^(8/4) = 4 is the upper bound of index 7 at scale 2, and of indices 14 and 15 at scale 3.
        for histogram in [at(2, 7), at(3, 14), at(3, 15), at(4, 31)] {
            assert_eq!(histogram.cumulative().unwrap(), [(4.0, 2.0), (f64::INFINITY, 2.0)], "{histogram:?}");
        }
        let coarse = Exponential {
            scale: 0,
            zero_threshold: 0.5,
            zero_count: 1.0,
            positive: vec![(0, 1.0), (2, 3.0)],
            negative: vec![(1, 4.0)],
        };
        let want = [(-2.0, 4.0), (0.5, 5.0), (2.0, 6.0), (4.0, 6.0), (8.0, 9.0), (f64::INFINITY, 9.0)];
        assert_eq!(coarse.cumulative().unwrap(), want);
        assert_eq!(Exponential::default().cumulative().unwrap(), [(f64::INFINITY, 0.0)]);
        let wide = Exponential { positive: vec![(i32::MIN, 1.0), (i32::MAX, 1.0)], ..Exponential::default() };
        assert!(wide.cumulative().unwrap_err().contains("buckets"));
        assert!(at(21, 0).cumulative().unwrap_err().contains("scale"));
        // Beyond all doubles.
        assert_eq!(at(-10, 5).cumulative().unwrap(), [(f64::INFINITY, 2.0)]);
    }

    #[test]
    fn explicit_buckets_add_up() {
        assert_eq!(explicit(&[0.1, 1.0], &[1, 2, 3]).unwrap(), [(0.1, 1.0), (1.0, 3.0), (f64::INFINITY, 6.0)]);
        assert_eq!(explicit(&[], &[]).unwrap(), []);
        assert!(explicit(&[0.1], &[1]).is_err());
        assert_eq!((le(0.1), le(1.0), le(f64::INFINITY), le(1e-128)), ("0.1".into(), "1".into(), "+Inf".into(), "1e-128".into()));
    }
}
