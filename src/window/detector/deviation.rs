//! Detects deviations: a row is a breach where its value is far from what is usual for its label set (see
//! [`crate::rule::definition::detectors::deviation`]).
//!
//! The state is part of snapshots as it is: a type of its own for them would repeat all of it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::limits::VALUES_PER_HISTORY_MAX;
use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::deviation::{DeviationSpec, Direction, Method, Season};
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::baseline::{Baseline, season_slot};
use crate::window::detector::ewma::Ewma;
use crate::window::detector::label_states::{LabelStates, LastUpdated};

/// Scales the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_SIGMA: f64 = 1.4826;
/// The share of distances that `method: tail` looks at, in percent.
const TAIL_PERCENT: usize = 99;
/// So many standard deviations a normal distribution has in one direction at that share.
const TAIL_TO_SIGMA: f64 = 2.3263;

/// The past values of one rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviationDetector {
    spec: DeviationSpec,
    /// One value is recorded for each step: a window, so that values do not overlap, or longer where there would be too many values.
    step_ms: i64,
    pasts: LabelStates<Past>,
    #[serde(skip)]
    scratch: Vec<f64>,
}

/// The past of one label set.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Past {
    /// When a value was last recorded.
    last: TimestampMs,
    /// Since when values have deviated.
    deviating_since: Option<TimestampMs>,
    history: History,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum History {
    Values(VecDeque<(TimestampMs, f64)>),
    Ewma(Ewma),
}

/// How far a value is from its baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Deviation {
    expected: f64,
    /// The distance in usual distances, positive in the direction that is bad.
    score: f64,
}

impl LastUpdated for Past {
    fn last_updated(&self) -> TimestampMs {
        self.last
    }
}

impl DeviationDetector {
    /// A detector that has seen nothing. `window_ms` is the length of the rule's window.
    pub fn new(spec: DeviationSpec, window_ms: i64) -> Self {
        let evenly_ms = match spec.method {
            Method::Median | Method::Tail => spec.over_ms / VALUES_PER_HISTORY_MAX as i64,
            Method::Ewma { .. } => 0,
        };
        Self { step_ms: window_ms.max(evenly_ms), pasts: LabelStates::new(spec.over_ms), scratch: Vec::new(), spec }
    }

    /// Returns the rows that deviate from the past, with the expected value and the score, and records the values of all rows.
    pub fn detect(&mut self, at: TimestampMs, rows: Vec<Breach>) -> Vec<Breach> {
        let mut deviating = Vec::new();
        for mut row in rows {
            let new = || Past::new(at, self.step_ms, self.spec.method);
            let Some((past, _)) = self.pasts.get_or_insert(&row.labels, at, new) else { continue };
            let baseline = past.history.baseline(&self.spec, at, &mut self.scratch);
            let deviation = deviation(&self.spec, baseline, row.value).filter(|it| it.score >= self.spec.score);
            past.record(&self.spec, self.step_ms, at, row.value, deviation.is_some());
            if let Some(deviation) = deviation {
                row.numbers.push(("expected".into(), deviation.expected));
                row.numbers.push(("score".into(), deviation.score));
                deviating.push(row);
            }
        }
        deviating
    }

    /// Rows whose label set found no room so far.
    pub fn overflow(&self) -> u64 {
        self.pasts.overflow()
    }

    #[cfg(test)]
    pub(crate) fn with_capacity(self, capacity: usize) -> Self {
        Self { pasts: self.pasts.with_capacity(capacity), ..self }
    }
}

impl Past {
    fn new(at: TimestampMs, step_ms: i64, method: Method) -> Self {
        let history = match method {
            Method::Median | Method::Tail => History::Values(VecDeque::new()),
            Method::Ewma { half_life_ms } => History::Ewma(Ewma::new(half_life_ms)),
        };
        Self { last: at - step_ms, deviating_since: None, history }
    }

    /// A value that deviates is recorded only once values have deviated for `settle`: they are usual by then.
    fn record(&mut self, spec: &DeviationSpec, step_ms: i64, at: TimestampMs, value: f64, deviates: bool) {
        if deviates {
            let since = *self.deviating_since.get_or_insert(at);
            if at - since < spec.settle_ms {
                return;
            }
        } else {
            self.deviating_since = None;
        }
        if at - self.last >= step_ms {
            self.last = at;
            match &mut self.history {
                History::Values(values) => values.push_back((at, value)),
                History::Ewma(ewma) => ewma.add(spec.season, at, value),
            }
        }
    }
}

impl History {
    fn baseline(&mut self, spec: &DeviationSpec, at: TimestampMs, scratch: &mut Vec<f64>) -> Option<Baseline> {
        let oldest = at - spec.over_ms;
        match self {
            History::Ewma(ewma) => ewma.baseline(spec.season, at, oldest),
            History::Values(values) => {
                while values.front().is_some_and(|(then, _)| *then < oldest) {
                    values.pop_front();
                }
                let history = comparable_values(values, spec.season, at, scratch);
                (!scratch.is_empty()).then(|| {
                    let expected = median(scratch);
                    scratch.iter_mut().for_each(|value| *value = (*value - expected).abs());
                    let scale = MAD_TO_SIGMA * median(scratch);
                    let scale = if spec.method == Method::Tail { scale.max(tail(scratch) / TAIL_TO_SIGMA) } else { scale };
                    Baseline { history, expected, scale }
                })
            }
        }
    }
}

/// Collects the values that one at `at` is compared with. Returns their number; with a season, the number of earlier periods they
/// are from.
fn comparable_values(values: &VecDeque<(TimestampMs, f64)>, season: Season, at: TimestampMs, into: &mut Vec<f64>) -> usize {
    into.clear();
    if season == Season::None {
        into.extend(values.iter().map(|(_, value)| *value));
        return into.len();
    }
    let (current_period, hour) = season_slot(season, at);
    let (mut periods, mut last) = (0, None);
    for (then, value) in values {
        let (period, hour_then) = season_slot(season, *then);
        if hour_then == hour {
            into.push(*value);
            if period != current_period && last != Some(period) {
                periods += 1;
                last = Some(period);
            }
        }
    }
    periods
}

fn deviation(spec: &DeviationSpec, baseline: Option<Baseline>, value: f64) -> Option<Deviation> {
    let baseline = baseline.filter(|baseline| baseline.history >= spec.min_history)?;
    let expected = baseline.expected;
    let scale = baseline.scale.max(spec.floor_share * expected.abs()).max(spec.floor_value).max(f64::MIN_POSITIVE);
    let score = (value - expected) / scale;
    let bad = match spec.direction {
        Direction::Up => score,
        Direction::Down => -score,
        Direction::Both => score.abs(),
    };
    // Where the scale is nearly zero, a higher score tells nothing more.
    Some(Deviation { expected, score: bad.min(1000.0) })
}

/// The lower median of values, of which there is at least one. Reorders them.
fn median(values: &mut [f64]) -> f64 {
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The distance that all but one of a hundred are below; of fewer, the largest. Reorders them.
fn tail(distances: &mut [f64]) -> f64 {
    let at = (distances.len() * TAIL_PERCENT).div_ceil(100).clamp(1, distances.len()) - 1;
    *distances.select_nth_unstable_by(at, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::{Deviation, DeviationDetector, History, deviation};
    use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS};
    use crate::rule::definition::detectors::deviation::{DeviationSpec, Direction, Method, Season};
    use crate::window::detector::tests::row;

    fn spec() -> DeviationSpec {
        DeviationSpec {
            over_ms: HOUR_MS,
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

    #[test]
    fn the_tail_of_a_series_is_no_departure_of_it() {
        // A p99 of 10 that leaps to 30 once in fifty values, and never moves else.
        let past: Vec<f64> = (0..200).map(|i| if i % 50 == 49 { 30.0 } else { 10.0 + f64::from(i % 3) }).collect();
        let score = |method, value| deviation_from(&DeviationSpec { method, ..spec() }, &past, value).unwrap().score;
        assert!(score(Method::Median, 30.0) > 10.0);
        assert!(score(Method::Tail, 30.0) < 3.0);
        assert!(score(Method::Tail, 300.0) > 30.0);
        // Without rare values both are the same.
        let calm: Vec<f64> = (0..200).map(|i| f64::from(i % 9)).collect();
        let scores =
            [Method::Median, Method::Tail].map(|method| deviation_from(&DeviationSpec { method, ..spec() }, &calm, 90.0));
        assert_eq!(scores[0], scores[1]);
        // Of few values the largest counts.
        let few = DeviationSpec { method: Method::Tail, ..spec() };
        assert!(deviation_from(&few, &[10.0, 10.0, 10.0, 10.0, 40.0], 40.0).unwrap().score < 3.0);
    }

    fn deviation_from(spec: &DeviationSpec, past: &[f64], value: f64) -> Option<Deviation> {
        let mut history = History::Values(past.iter().enumerate().map(|(i, value)| (i as i64, *value)).collect());
        let baseline = history.baseline(spec, past.len() as i64, &mut Vec::new());
        deviation(spec, baseline, value)
    }

    /// The steps at which the value deviated.
    fn deviating_steps(spec: DeviationSpec, step_ms: i64, values: &[f64]) -> Vec<usize> {
        let mut detector = DeviationDetector::new(spec, step_ms);
        let mut detect = |i: usize| detector.detect(i as i64 * step_ms, vec![row(i as i64 * step_ms, &[], values[i])]);
        (0..values.len()).filter(|i| !detect(*i).is_empty()).collect()
    }

    #[test]
    fn a_short_history_finds_no_deviation() {
        assert_eq!(deviation_from(&spec(), &[1.0; 4], 1000.0), None);
        assert_eq!(deviation_from(&spec(), &[], 1000.0), None);
    }

    #[test]
    fn the_floor_holds_for_a_series_that_never_moved() {
        assert_eq!(deviation_from(&spec(), &[10.0; 8], 10.5), Some(Deviation { expected: 10.0, score: 0.5 }));
        assert_eq!(deviation_from(&spec(), &[10.0; 8], 20.0).map(|it| it.score), Some(10.0));
    }

    #[test]
    fn one_outlier_in_the_past_changes_little() {
        let quiet = deviation_from(&spec(), &[9.0, 10.0, 11.0, 10.0, 9.0, 11.0, 10.0], 30.0).map(|it| it.score);
        let spiky = deviation_from(&spec(), &[9.0, 10.0, 11.0, 10.0, 9.0, 11.0, 500.0], 30.0).map(|it| it.score);
        assert!(quiet > Some(10.0) && spiky > Some(10.0), "{quiet:?} {spiky:?}");
    }

    #[test]
    fn direction_decides_what_is_bad() {
        let down = DeviationSpec { direction: Direction::Down, ..spec() };
        assert!(deviation_from(&down, &[10.0; 8], 20.0).is_some_and(|it| it.score < 0.0));
        assert!(deviation_from(&down, &[10.0; 8], 0.0).is_some_and(|it| it.score >= 6.0));
    }

    #[test]
    fn what_lasts_becomes_usual_only_after_it_has_settled() {
        let values: Vec<f64> = (0..100).map(|i| if i < 20 { 10.0 } else { 100.0 }).collect();
        let spec = DeviationSpec { over_ms: 20 * MINUTE_MS, ..spec() };
        let at_once = deviating_steps(spec.clone(), MINUTE_MS, &values);
        assert_eq!(at_once, (20..=30).collect::<Vec<_>>(), "half of the history is new by then");
        let settled = deviating_steps(DeviationSpec { settle_ms: 8 * MINUTE_MS, ..spec }, MINUTE_MS, &values);
        assert!(settled.len() > at_once.len() && settled.last() < Some(&45), "{settled:?}");
    }

    #[test]
    fn a_short_fault_leaves_no_trace_where_values_settle() {
        let mut values = vec![10.0; 60];
        values[30..38].fill(100.0);
        let spec = DeviationSpec { over_ms: 12 * MINUTE_MS, settle_ms: 10 * MINUTE_MS, ..spec() };
        let kept = DeviationSpec { settle_ms: 0, ..spec.clone() };
        assert_eq!(deviating_steps(spec, MINUTE_MS, &values), (30..38).collect::<Vec<_>>());
        assert!(deviating_steps(kept, MINUTE_MS, &values).len() < 8, "it became usual");
    }

    #[test]
    fn ewma_and_median_find_the_same_outlier() {
        let values: Vec<f64> = (0..50).map(|i| if i == 40 { 100.0 } else { 10.0 + f64::from(i % 3) }).collect();
        for method in [Method::Median, Method::Ewma { half_life_ms: 10 * MINUTE_MS }] {
            assert_eq!(deviating_steps(DeviationSpec { method, ..spec() }, MINUTE_MS, &values), [40], "{method:?}");
        }
    }

    #[test]
    fn a_daily_peak_is_usual_at_its_hour_and_nowhere_else() {
        // Nine o'clock is busy every day; on the fifth day ten o'clock is as well.
        let hours = 5 * 24;
        let values: Vec<f64> = (0..hours).map(|i| if i % 24 == 10 || i == 4 * 24 + 11 { 100.0 } else { 10.0 }).collect();
        for method in [Method::Median, Method::Ewma { half_life_ms: 4 * DAY_MS }] {
            let season = DeviationSpec { season: Season::Day, over_ms: 14 * DAY_MS, min_history: 3, method, ..spec() };
            assert_eq!(deviating_steps(season, HOUR_MS, &values), [4 * 24 + 11], "{method:?}");
        }
        assert_eq!(
            deviating_steps(DeviationSpec { over_ms: 14 * DAY_MS, ..spec() }, HOUR_MS, &values).len(),
            6,
            "without a season"
        );
    }

    #[test]
    fn a_season_needs_earlier_days_not_many_values() {
        let season = DeviationSpec { season: Season::Day, over_ms: 14 * DAY_MS, min_history: 3, ..spec() };
        let minutes = 3 * 24 * 60 + 30;
        let mut values = vec![10.0; minutes];
        values[50] = 100.0;
        values[2 * 24 * 60 + 20] = 100.0;
        values[3 * 24 * 60 + 20] = 100.0;
        assert_eq!(deviating_steps(season, MINUTE_MS, &values), [3 * 24 * 60 + 20], "on the fourth day");
    }

    #[test]
    fn the_values_of_a_long_history_are_bounded() {
        let week = DeviationSpec { over_ms: 7 * DAY_MS, ..spec() };
        let mut detector = DeviationDetector::new(week, 10_000);
        for at in (0..9 * DAY_MS).step_by(151_200) {
            detector.detect(at, vec![row(at, &[], 1.0)]);
        }
        let lengths: Vec<usize> =
            detector.pasts.iter().map(|(_, past)| if let History::Values(it) = &past.history { it.len() } else { 0 }).collect();
        assert!(lengths[0] <= 2_001 && lengths[0] > 1_900, "{lengths:?}");
    }

    #[test]
    fn label_sets_over_the_capacity_are_counted() {
        let mut detector = DeviationDetector::new(spec(), MINUTE_MS).with_capacity(1);
        detector.detect(0, vec![row(0, &[("host", "a")], 1.0), row(0, &[("host", "b")], 1.0)]);
        assert_eq!(detector.overflow(), 1);
    }
}
