//! The exponentially weighted mean and variance of a series, one for each hour of its season.
//!
//! After West, "Updating mean and variance estimates: an improved method" (CACM 1979), with weights that halve with age: every
//! value counts the same when it comes, however long the pause before it, and early values are not favoured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::deviation::Season;
use crate::window::detector::deviation::{Usual, place_in};

/// The series by hour of its season; under 0 where it has none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Weighted {
    half_life_ms: i64,
    by_hour: BTreeMap<u16, Moments>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Moments {
    weight: f64,
    mean: f64,
    /// The weighted sum of squared distances from the mean.
    squares: f64,
    last: TimestampMs,
    values: usize,
    /// Periods that had a value, and the latest of them.
    periods: usize,
    period: i64,
}

impl Weighted {
    pub(crate) fn new(half_life_ms: i64) -> Self {
        Self { half_life_ms, by_hour: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, season: Season, at: TimestampMs, value: f64) {
        let (period, hour) = place_in(season, at);
        let it = self.by_hour.entry(hour).or_default();
        let aged = (-((at - it.last) as f64) / self.half_life_ms as f64).exp2();
        if it.values == 0 || it.period != period {
            it.periods += 1;
            it.period = period;
        }
        it.weight = it.weight * aged + 1.0;
        it.squares *= aged;
        let distance = value - it.mean;
        it.mean += distance / it.weight;
        it.squares += distance * (value - it.mean);
        it.last = at;
        it.values += 1;
    }

    /// What is usual at `at`, where the hour had a value since `oldest`. What is older is forgotten.
    pub(crate) fn usual(&mut self, season: Season, at: TimestampMs, oldest: TimestampMs) -> Option<Usual> {
        let (period, hour) = place_in(season, at);
        if self.by_hour.get(&hour)?.last < oldest {
            self.by_hour.remove(&hour);
            return None;
        }
        let it = self.by_hour.get(&hour)?;
        let history = match season {
            Season::None => it.values,
            Season::Day | Season::Week => it.periods - usize::from(it.period == period),
        };
        Some(Usual { history, expected: it.mean, scale: (it.squares / it.weight).max(0.0).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::Weighted;
    use crate::rule::definition::detectors::deviation::Season;

    #[test]
    fn the_moments_are_those_of_the_weighted_values() {
        let series = [(0, 3.0), (10, 5.0), (15, -2.0), (40, 8.0), (41, 8.5)];
        let mut weighted = Weighted::new(10);
        series.iter().for_each(|(at, value)| weighted.add(Season::None, *at, *value));
        let weights: Vec<f64> = series.iter().map(|(at, _)| 0.5_f64.powf((41 - at) as f64 / 10.0)).collect();
        let sum: f64 = weights.iter().sum();
        let mean = series.iter().zip(&weights).map(|((_, value), weight)| value * weight).sum::<f64>() / sum;
        let variance = series.iter().zip(&weights).map(|((_, value), weight)| weight * (value - mean).powi(2)).sum::<f64>() / sum;
        let usual = weighted.usual(Season::None, 50, 0).unwrap();
        assert_eq!(usual.history, 5);
        assert!((usual.expected - mean).abs() < 1e-12, "{} {mean}", usual.expected);
        assert!((usual.scale - variance.sqrt()).abs() < 1e-12, "{} {}", usual.scale, variance.sqrt());
    }

    #[test]
    fn what_is_older_than_the_history_is_forgotten() {
        let mut weighted = Weighted::new(10);
        weighted.add(Season::None, 5, 1.0);
        assert!(weighted.usual(Season::None, 20, 5).is_some());
        assert!(weighted.usual(Season::None, 20, 6).is_none());
        assert!(weighted.usual(Season::None, 20, 0).is_none(), "for good");
    }
}
