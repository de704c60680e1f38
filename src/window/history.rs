//! The past of each label set of a rule, and how far a value departs from it (see [`crate::rule::kinds::deviation`]).

use std::collections::{BTreeMap, VecDeque};

use crate::rule::kinds::deviation::{DeviationSpec, Direction};
use crate::rule::output::Breach;
use crate::words::labels::Labels;
use crate::words::limits::GROUPS_PER_TABLE_MAX;
use crate::words::time::TimestampMs;

/// Scales the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_SIGMA: f64 = 1.4826;

/// The remembered values of one rule.
#[derive(Clone, Debug)]
pub struct Histories {
    spec: DeviationSpec,
    /// One value is remembered a window, so that values do not overlap.
    step_ms: i64,
    of: BTreeMap<Labels, VecDeque<(TimestampMs, f64)>>,
    /// Rows whose label set found no room.
    refused: u64,
}

/// How a value stands to its history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Departure {
    /// The median of the history.
    pub expected: f64,
    /// The distance from it in robust standard deviations, positive in the direction that is bad.
    pub score: f64,
}

impl Histories {
    /// No memories. `window_ms` is the rule's window.
    pub fn new(spec: DeviationSpec, window_ms: i64) -> Self {
        Self { spec, step_ms: window_ms, of: BTreeMap::new(), refused: 0 }
    }

    /// Judges the rows of one evaluation by the past, keeps those that depart from it, and remembers all of them.
    pub fn judge(&mut self, at: TimestampMs, rows: Vec<Breach>) -> Vec<Breach> {
        let oldest = at - self.spec.over_ms;
        let mut departed = Vec::new();
        for row in rows {
            if self.of.len() >= GROUPS_PER_TABLE_MAX && !self.of.contains_key(&row.labels) {
                self.refused += 1;
                continue;
            }
            let history = self.of.entry(row.labels.clone()).or_default();
            while history.front().is_some_and(|(then, _)| *then < oldest) {
                history.pop_front();
            }
            let departure = departure(&self.spec, history, row.value);
            if history.back().is_none_or(|(last, _)| at - last >= self.step_ms) {
                history.push_back((at, row.value));
            }
            if let Some(departure) = departure.filter(|departure| departure.score >= self.spec.score) {
                let mut row = row;
                row.numbers.push(("expected".into(), departure.expected));
                row.numbers.push(("score".into(), departure.score));
                departed.push(row);
            }
        }
        self.of.retain(|_, history| history.back().is_some_and(|(last, _)| *last >= oldest));
        departed
    }

    /// Rows whose label set found no room among [`GROUPS_PER_TABLE_MAX`].
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

fn departure(spec: &DeviationSpec, history: &VecDeque<(TimestampMs, f64)>, value: f64) -> Option<Departure> {
    if history.len() < spec.min_history {
        return None;
    }
    let mut values: Vec<f64> = history.iter().map(|(_, value)| *value).collect();
    let expected = median(&mut values);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - expected).abs()).collect();
    let scale = (MAD_TO_SIGMA * median(&mut distances))
        .max(spec.floor_share * expected.abs())
        .max(spec.floor_value)
        .max(f64::MIN_POSITIVE);
    let score = (value - expected) / scale;
    let bad = match spec.direction {
        Direction::Up => score,
        Direction::Down => -score,
        Direction::Both => score.abs(),
    };
    // Against a scale of nearly nothing a score means no more than "very".
    Some(Departure { expected, score: bad.min(1000.0) })
}

/// The lower median. Sorts what it is given.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::{Departure, departure};
    use crate::rule::kinds::deviation::{DeviationSpec, Direction, Method, Season};

    fn spec() -> DeviationSpec {
        DeviationSpec {
            over_ms: 3_600_000,
            min_history: 5,
            score: 6.0,
            floor_share: 0.1,
            floor_value: 0.0,
            direction: Direction::Up,
            method: Method::Median,
            season: Season::None,
            settle_ms: 0,
        }
    }

    fn judge(spec: &DeviationSpec, past: &[f64], value: f64) -> Option<Departure> {
        departure(spec, &past.iter().enumerate().map(|(i, value)| (i as i64, *value)).collect(), value)
    }

    #[test]
    fn short_histories_say_nothing() {
        assert_eq!(judge(&spec(), &[1.0; 4], 1000.0), None);
    }

    #[test]
    fn the_floor_holds_for_a_series_that_never_moved() {
        assert_eq!(judge(&spec(), &[10.0; 8], 10.5), Some(Departure { expected: 10.0, score: 0.5 }));
        assert_eq!(judge(&spec(), &[10.0; 8], 20.0).map(|it| it.score), Some(10.0));
    }

    #[test]
    fn one_outlier_in_the_past_changes_little() {
        let quiet = judge(&spec(), &[9.0, 10.0, 11.0, 10.0, 9.0, 11.0, 10.0], 30.0).map(|it| it.score);
        let spiky = judge(&spec(), &[9.0, 10.0, 11.0, 10.0, 9.0, 11.0, 500.0], 30.0).map(|it| it.score);
        assert!(quiet > Some(10.0) && spiky > Some(10.0), "{quiet:?} {spiky:?}");
    }

    #[test]
    fn direction_decides_what_is_bad() {
        let down = DeviationSpec { direction: Direction::Down, ..spec() };
        assert!(judge(&down, &[10.0; 8], 20.0).is_some_and(|it| it.score < 0.0));
        assert!(judge(&down, &[10.0; 8], 0.0).is_some_and(|it| it.score >= 6.0));
    }
}
