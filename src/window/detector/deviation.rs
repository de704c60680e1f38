//! Judges departure: a row breaches where its value is far from what is usual for its label set (see
//! [`crate::rule::definition::detectors::deviation`]).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::limits::VALUES_PER_HISTORY_MAX;
use crate::model::time::{HOUR_MS, TimestampMs};
use crate::rule::definition::detectors::deviation::{DeviationSpec, Direction, Method, Season};
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::ewma::Weighted;
use crate::window::detector::label_memory::{Memory, Remembered};

/// Scales the median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_SIGMA: f64 = 1.4826;

/// The remembered values of one rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deviation {
    spec: DeviationSpec,
    /// One value is remembered a step: a window, so that values do not overlap, or longer where there would be too many.
    step_ms: i64,
    of: Memory<Past>,
    #[serde(skip)]
    scratch: Vec<f64>,
}

/// The past of one label set.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Past {
    /// When a value was last remembered.
    last: TimestampMs,
    /// Since when values depart.
    departing_since: Option<TimestampMs>,
    history: History,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum History {
    Values(VecDeque<(TimestampMs, f64)>),
    Weighted(Weighted),
}

/// What is usual at some instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usual {
    /// Values behind it; with a season: earlier periods.
    pub(crate) history: usize,
    /// The middle.
    pub(crate) expected: f64,
    /// The usual distance from it.
    pub(crate) scale: f64,
}

/// How a value stands to its history.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Departure {
    expected: f64,
    /// The distance from it in usual distances, positive in the direction that is bad.
    score: f64,
}

impl Remembered for Past {
    fn last(&self) -> TimestampMs {
        self.last
    }
}

impl Deviation {
    /// No memories. `window_ms` is the rule's window.
    pub fn new(spec: DeviationSpec, window_ms: i64) -> Self {
        let evenly_ms = match spec.method {
            Method::Median => spec.over_ms / VALUES_PER_HISTORY_MAX as i64,
            Method::Ewma { .. } => 0,
        };
        Self { step_ms: window_ms.max(evenly_ms), of: Memory::new(spec.over_ms), scratch: Vec::new(), spec }
    }

    /// Judges the rows of one evaluation by the past, keeps those that depart from it, and remembers what is to be remembered.
    pub fn judge(&mut self, at: TimestampMs, rows: Vec<Breach>) -> Vec<Breach> {
        let mut departed = Vec::new();
        for mut row in rows {
            let Some((past, _)) = self.of.recall(&row.labels, at, || Past::new(at, self.step_ms, self.spec.method)) else {
                continue;
            };
            let usual = past.history.usual(&self.spec, at, &mut self.scratch);
            let departure = departure(&self.spec, usual, row.value).filter(|it| it.score >= self.spec.score);
            past.remember(&self.spec, self.step_ms, at, row.value, departure.is_some());
            if let Some(departure) = departure {
                row.numbers.push(("expected".into(), departure.expected));
                row.numbers.push(("score".into(), departure.score));
                departed.push(row);
            }
        }
        departed
    }

    /// Rows whose label set found no room so far.
    pub fn refused(&self) -> u64 {
        self.of.refused()
    }

    #[cfg(test)]
    pub(crate) fn with_room(self, room: usize) -> Self {
        Self { of: self.of.with_room(room), ..self }
    }
}

impl Past {
    fn new(at: TimestampMs, step_ms: i64, method: Method) -> Self {
        let history = match method {
            Method::Median => History::Values(VecDeque::new()),
            Method::Ewma { half_life_ms } => History::Weighted(Weighted::new(half_life_ms)),
        };
        Self { last: at - step_ms, departing_since: None, history }
    }

    /// A value that departs is remembered once values have departed for long enough: what is usual by then.
    fn remember(&mut self, spec: &DeviationSpec, step_ms: i64, at: TimestampMs, value: f64, departs: bool) {
        if departs {
            let since = *self.departing_since.get_or_insert(at);
            if at - since < spec.settle_ms {
                return;
            }
        } else {
            self.departing_since = None;
        }
        if at - self.last >= step_ms {
            self.last = at;
            match &mut self.history {
                History::Values(values) => values.push_back((at, value)),
                History::Weighted(weighted) => weighted.add(spec.season, at, value),
            }
        }
    }
}

impl History {
    fn usual(&mut self, spec: &DeviationSpec, at: TimestampMs, scratch: &mut Vec<f64>) -> Option<Usual> {
        let oldest = at - spec.over_ms;
        match self {
            History::Weighted(weighted) => weighted.usual(spec.season, at, oldest),
            History::Values(values) => {
                while values.front().is_some_and(|(then, _)| *then < oldest) {
                    values.pop_front();
                }
                let history = comparable(values, spec.season, at, scratch);
                (!scratch.is_empty()).then(|| {
                    let expected = median(scratch);
                    scratch.iter_mut().for_each(|value| *value = (*value - expected).abs());
                    Usual { history, expected, scale: MAD_TO_SIGMA * median(scratch) }
                })
            }
        }
    }
}

/// The values that one at `at` is compared with. Yields how many they are; with a season: from how many earlier periods.
fn comparable(values: &VecDeque<(TimestampMs, f64)>, season: Season, at: TimestampMs, into: &mut Vec<f64>) -> usize {
    into.clear();
    if season == Season::None {
        into.extend(values.iter().map(|(_, value)| *value));
        return into.len();
    }
    let (now, hour) = place_in(season, at);
    let (mut periods, mut last) = (0, None);
    for (then, value) in values {
        let (period, hour_then) = place_in(season, *then);
        if hour_then == hour {
            into.push(*value);
            if period != now && last != Some(period) {
                periods += 1;
                last = Some(period);
            }
        }
    }
    periods
}

/// Which period an evaluation's window ends in, and which hour of it; `(0, 0)` for no season.
pub(crate) fn place_in(season: Season, at: TimestampMs) -> (i64, u16) {
    let Some(period_ms) = season.period_ms() else { return (0, 0) };
    // A window that ends on the hour lies in the hour before.
    let last = at - 1;
    (last.div_euclid(period_ms), u16::try_from(last.rem_euclid(period_ms) / HOUR_MS).unwrap_or_default())
}

fn departure(spec: &DeviationSpec, usual: Option<Usual>, value: f64) -> Option<Departure> {
    let usual = usual.filter(|usual| usual.history >= spec.min_history)?;
    let expected = usual.expected;
    let scale = usual.scale.max(spec.floor_share * expected.abs()).max(spec.floor_value).max(f64::MIN_POSITIVE);
    let score = (value - expected) / scale;
    let bad = match spec.direction {
        Direction::Up => score,
        Direction::Down => -score,
        Direction::Both => score.abs(),
    };
    // Against a scale of nearly nothing a score means no more than "very".
    Some(Departure { expected, score: bad.min(1000.0) })
}

/// The lower median. Reorders what it is given, which is not empty.
fn median(values: &mut [f64]) -> f64 {
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::{Departure, Deviation, History, departure};
    use crate::model::time::{DAY_MS, HOUR_MS, MINUTE_MS};
    use crate::rule::definition::detectors::deviation::{DeviationSpec, Direction, Method, Season};
    use crate::window::detector::test_rows::row;

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

    fn judge(spec: &DeviationSpec, past: &[f64], value: f64) -> Option<Departure> {
        let mut history = History::Values(past.iter().enumerate().map(|(i, value)| (i as i64, *value)).collect());
        let usual = history.usual(spec, past.len() as i64, &mut Vec::new());
        departure(spec, usual, value)
    }

    /// Judges one value a `step`; the steps at which it departed.
    fn departed(spec: DeviationSpec, step_ms: i64, values: &[f64]) -> Vec<usize> {
        let mut judge = Deviation::new(spec, step_ms);
        let mut judge = |i: usize| judge.judge(i as i64 * step_ms, vec![row(i as i64 * step_ms, &[], values[i])]);
        (0..values.len()).filter(|i| !judge(*i).is_empty()).collect()
    }

    #[test]
    fn short_histories_say_nothing() {
        assert_eq!(judge(&spec(), &[1.0; 4], 1000.0), None);
        assert_eq!(judge(&spec(), &[], 1000.0), None);
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

    #[test]
    fn what_lasts_becomes_usual_only_after_it_has_settled() {
        let values: Vec<f64> = (0..100).map(|i| if i < 20 { 10.0 } else { 100.0 }).collect();
        let spec = DeviationSpec { over_ms: 20 * MINUTE_MS, ..spec() };
        let at_once = departed(spec.clone(), MINUTE_MS, &values);
        assert_eq!(at_once, (20..=30).collect::<Vec<_>>(), "half of the history is new by then");
        let settled = departed(DeviationSpec { settle_ms: 8 * MINUTE_MS, ..spec }, MINUTE_MS, &values);
        assert!(settled.len() > at_once.len() && settled.last() < Some(&45), "{settled:?}");
    }

    #[test]
    fn a_short_fault_leaves_no_trace_where_values_settle() {
        let mut values = vec![10.0; 60];
        values[30..38].fill(100.0);
        let spec = DeviationSpec { over_ms: 12 * MINUTE_MS, settle_ms: 10 * MINUTE_MS, ..spec() };
        let kept = DeviationSpec { settle_ms: 0, ..spec.clone() };
        assert_eq!(departed(spec, MINUTE_MS, &values), (30..38).collect::<Vec<_>>());
        assert!(departed(kept, MINUTE_MS, &values).len() < 8, "it became usual");
    }

    #[test]
    fn the_weighted_mean_finds_what_the_median_finds() {
        let values: Vec<f64> = (0..50).map(|i| if i == 40 { 100.0 } else { 10.0 + f64::from(i % 3) }).collect();
        for method in [Method::Median, Method::Ewma { half_life_ms: 10 * MINUTE_MS }] {
            assert_eq!(departed(DeviationSpec { method, ..spec() }, MINUTE_MS, &values), [40], "{method:?}");
        }
    }

    #[test]
    fn a_daily_peak_is_usual_at_its_hour_and_nowhere_else() {
        // Nine o'clock is busy every day; on the fifth day ten o'clock is as well.
        let hours = 5 * 24;
        let values: Vec<f64> = (0..hours).map(|i| if i % 24 == 10 || i == 4 * 24 + 11 { 100.0 } else { 10.0 }).collect();
        for method in [Method::Median, Method::Ewma { half_life_ms: 4 * DAY_MS }] {
            let season = DeviationSpec { season: Season::Day, over_ms: 14 * DAY_MS, min_history: 3, method, ..spec() };
            assert_eq!(departed(season, HOUR_MS, &values), [4 * 24 + 11], "{method:?}");
        }
        assert_eq!(departed(DeviationSpec { over_ms: 14 * DAY_MS, ..spec() }, HOUR_MS, &values).len(), 6, "without a season");
    }

    #[test]
    fn a_season_needs_earlier_days_not_many_values() {
        let season = DeviationSpec { season: Season::Day, over_ms: 14 * DAY_MS, min_history: 3, ..spec() };
        let minutes = 3 * 24 * 60 + 30;
        let mut values = vec![10.0; minutes];
        values[50] = 100.0;
        values[2 * 24 * 60 + 20] = 100.0;
        values[3 * 24 * 60 + 20] = 100.0;
        assert_eq!(departed(season, MINUTE_MS, &values), [3 * 24 * 60 + 20], "on the fourth day");
    }

    #[test]
    fn a_history_has_a_bound_however_long_it_is() {
        let week = DeviationSpec { over_ms: 7 * DAY_MS, ..spec() };
        let mut judge = Deviation::new(week, 10_000);
        for at in (0..9 * DAY_MS).step_by(151_200) {
            judge.judge(at, vec![row(at, &[], 1.0)]);
        }
        let lengths: Vec<usize> =
            judge.of.iter().map(|(_, past)| if let History::Values(it) = &past.history { it.len() } else { 0 }).collect();
        assert!(lengths[0] <= 2_001 && lengths[0] > 1_900, "{lengths:?}");
    }

    #[test]
    fn label_sets_that_find_no_room_are_counted() {
        let mut judge = Deviation::new(spec(), MINUTE_MS).with_room(1);
        judge.judge(0, vec![row(0, &[("host", "a")], 1.0), row(0, &[("host", "b")], 1.0)]);
        assert_eq!(judge.refused(), 1);
    }
}
