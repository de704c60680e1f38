//! The exponentially weighted moving average of a series and its variance, for each hour of its season.
//!
//! After West, "Updating mean and variance estimates: an improved method" (CACM 1979), with weights that halve with age: every value
//! has the same weight when it comes, however long the pause before it, and early values have no more.
//!
//! The state is part of snapshots as it is: a type of its own for them would repeat all of moments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::deviation::Season;
use crate::window::detector::baseline::{Baseline, season_slot};

/// The moments by hour of the season; under 0 without a season.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ewma {
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
    /// The number of periods that had a value.
    periods: usize,
    last_period: i64,
}

impl Ewma {
    pub(crate) fn new(half_life_ms: i64) -> Self {
        Self { half_life_ms, by_hour: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, season: Season, at: TimestampMs, value: f64) {
        let (period, hour) = season_slot(season, at);
        let moments = self.by_hour.entry(hour).or_default();
        let aged = (-((at - moments.last) as f64) / self.half_life_ms as f64).exp2();
        if moments.values == 0 || moments.last_period != period {
            moments.periods += 1;
            moments.last_period = period;
        }
        moments.weight = moments.weight * aged + 1.0;
        moments.squares *= aged;
        let distance = value - moments.mean;
        moments.mean += distance / moments.weight;
        moments.squares += distance * (value - moments.mean);
        moments.last = at;
        moments.values += 1;
    }

    /// The baseline at `at`; `None` where the hour had no value since `oldest`. Older moments are dropped.
    pub(crate) fn baseline(&mut self, season: Season, at: TimestampMs, oldest: TimestampMs) -> Option<Baseline> {
        let (period, hour) = season_slot(season, at);
        if self.by_hour.get(&hour)?.last < oldest {
            self.by_hour.remove(&hour);
            return None;
        }
        let moments = self.by_hour.get(&hour)?;
        let history = match season {
            Season::None => moments.values,
            _ => moments.periods - usize::from(moments.last_period == period),
        };
        Some(Baseline { history, expected: moments.mean, scale: (moments.squares / moments.weight).max(0.0).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::Ewma;
    use crate::rule::definition::detectors::deviation::Season;

    #[test]
    fn the_moments_are_those_of_the_weighted_values() {
        let series = [(0, 3.0), (10, 5.0), (15, -2.0), (40, 8.0), (41, 8.5)];
        let mut ewma = Ewma::new(10);
        series.iter().for_each(|(at, value)| ewma.add(Season::None, *at, *value));
        let weights: Vec<f64> = series.iter().map(|(at, _)| 0.5_f64.powf((41 - at) as f64 / 10.0)).collect();
        let sum: f64 = weights.iter().sum();
        let mean = series.iter().zip(&weights).map(|((_, value), weight)| value * weight).sum::<f64>() / sum;
        let variance = series.iter().zip(&weights).map(|((_, value), weight)| weight * (value - mean).powi(2)).sum::<f64>() / sum;
        let baseline = ewma.baseline(Season::None, 50, 0).unwrap();
        assert_eq!(baseline.history, 5);
        assert!((baseline.expected - mean).abs() < 1e-12, "{} {mean}", baseline.expected);
        assert!((baseline.scale - variance.sqrt()).abs() < 1e-12, "{} {}", baseline.scale, variance.sqrt());
    }

    #[test]
    fn moments_older_than_the_history_are_dropped() {
        let mut ewma = Ewma::new(10);
        ewma.add(Season::None, 5, 1.0);
        assert!(ewma.baseline(Season::None, 20, 5).is_some());
        assert!(ewma.baseline(Season::None, 20, 6).is_none());
        assert!(ewma.baseline(Season::None, 20, 0).is_none(), "it was dropped");
    }
}
