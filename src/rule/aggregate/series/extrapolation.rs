//! An increase or difference extrapolated to the bounds of its window, as Prometheus's `increase`, `rate` and `delta` do: operation for
//! operation as `extrapolatedRate` in its `promql/functions.go`, so that the figures agree to the last digit.

use std::ops::Range;

use crate::model::time::TimestampMs;

/// What is known of a series' samples in a window.
pub(super) struct Sampled {
    /// The time of the first sample.
    pub(super) first_ts: TimestampMs,
    /// The time of the last sample.
    pub(super) last_ts: TimestampMs,
    /// The first value.
    pub(super) first: f64,
    /// How many samples there are.
    pub(super) samples: u64,
    /// The increase or difference from the first to the last.
    pub(super) difference: f64,
}

/// The difference extrapolated to the window. `counter`: it cannot be below zero; `rate`: a second.
pub(super) fn extrapolated(segment: &Sampled, window: &Range<TimestampMs>, counter: bool, rate: bool) -> Option<f64> {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let plain = segment.difference;
    let sampled = seconds(segment.last_ts.saturating_sub(segment.first_ts));
    if segment.samples < 2 || sampled <= 0.0 {
        return None;
    }
    let between = sampled / (segment.samples - 1) as f64;
    let mut to_start = seconds(segment.first_ts.saturating_sub(window.start));
    let to_end = seconds(window.end.saturating_sub(segment.last_ts));
    // A counter cannot have been below zero: it is extrapolated to where it would have been zero, and no further.
    if counter && plain > 0.0 && segment.first >= 0.0 {
        to_start = to_start.min(sampled * (segment.first / plain));
    }
    let threshold = between * 1.1;
    let reaching = |distance: f64| if distance < threshold { distance } else { between / 2.0 };
    let mut factor = (sampled + reaching(to_start) + reaching(to_end)) / sampled;
    if rate {
        factor /= seconds(window.end - window.start);
    }
    Some(plain * factor)
}
