//! `deviation:` in a rule's front matter: the rule breaches where a value departs from its own history.
//!
//! Fixed thresholds do not carry over between services. Here each label set is its own measure: the median of its past values and
//! their median absolute deviation (MAD), which outliers hardly move (Rousseeuw and Croux, "Alternatives to the Median Absolute
//! Deviation", JASA 1993). The score is the distance from the median in units of 1.4826 MAD, the standard deviation of a normal
//! distribution; a floor keeps a series that never moved from breaching at its first tremble.
//!
//! The MAD does not see rare large values: a p99 that leaps every hour would breach each time. So `method: tail` looks at the series' own
//! extremes as well: what one value of a hundred does by itself is no departure.

use serde::{Deserialize, Serialize};

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::duration::format_ms;
use crate::model::local_time::Zone;
use crate::model::time::{DAY_MS, HOUR_MS, WEEK_MS};
use crate::rule::definition::detectors::map_reader::MapReader;

/// What an author set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviationSpec {
    /// How much of its past a label set remembers, milliseconds of event time.
    pub over_ms: i64,
    /// Values that must be remembered before a score is given; with a season: earlier days or weeks.
    pub min_history: usize,
    /// The score from which a value is a breach.
    pub score: f64,
    /// The smallest scale, as a share of the expected value.
    pub floor_share: f64,
    /// The smallest scale, in units of the value.
    pub floor_value: f64,
    /// Which way is bad.
    pub direction: Direction,
    /// How the usual value and its scale are found.
    pub method: Method,
    /// Which past values a value is compared with.
    pub season: Season,
    /// How long a value must have departed before it is remembered.
    pub settle_ms: i64,
}

/// Which way of departing from history is a breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Above it.
    Up,
    /// Below it.
    Down,
    /// Either.
    Both,
}

/// How the usual value and its scale are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// The median and 1.4826 times the median absolute deviation.
    Median,
    /// The mean and the standard deviation, both exponentially weighted by age.
    Ewma {
        /// The age at which a value weighs half.
        half_life_ms: i64,
    },
    /// The median, and the larger of the scale of [`Method::Median`] and that of the largest distances.
    Tail,
}

/// Which past values a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Season {
    /// All.
    None,
    /// Those of the same hour of the day, UTC.
    Day,
    /// Those of the same hour of the week, UTC.
    Week,
    /// Those of the same hour of the day in a time zone.
    LocalDay(Zone),
    /// Those of the same hour of the week in a time zone.
    LocalWeek(Zone),
}

impl Season {
    /// The same in a time zone.
    pub fn in_zone(self, zone: Zone) -> Self {
        match self {
            Season::Day if zone != Zone::default() => Season::LocalDay(zone),
            Season::Week if zone != Zone::default() => Season::LocalWeek(zone),
            other => other,
        }
    }

    /// After how long it repeats; `None` for no season.
    pub fn period_ms(self) -> Option<i64> {
        match self {
            Season::None => None,
            Season::Day | Season::LocalDay(_) => Some(DAY_MS),
            Season::Week | Season::LocalWeek(_) => Some(WEEK_MS),
        }
    }
}

/// The keys, in the order in which the docs explain them.
pub const KEYS: [&str; 10] =
    ["over", "min_history", "score", "floor", "floor_value", "direction", "method", "half_life", "season", "settle"];

impl DeviationSpec {
    /// Reads the map below `deviation:`.
    pub fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let mut read = MapReader::open("deviation", node, None, "deviation: { over: 2h, score: 6 }", &KEYS)?;
        let season = [Season::None, Season::Day, Season::Week][read.choice("season", &["none", "day", "week"])];
        let (usual_over_ms, usual_history) = match season {
            Season::None => (2 * HOUR_MS, 10),
            Season::Day | Season::LocalDay(_) => (14 * DAY_MS, 3),
            Season::Week | Season::LocalWeek(_) => (8 * WEEK_MS, 3),
        };
        let over_ms = read.duration("over", usual_over_ms);
        let method = read.choice("method", &["median", "ewma", "tail"]);
        let ewma = method == 1;
        let half_life_ms = read.duration("half_life", (over_ms / 4).max(1));
        if read.has("half_life") && !ewma {
            read.error_at(
                "half_life",
                "`half_life` without `method: ewma`".into(),
                Some("the median weighs all values alike".into()),
            );
        }
        let settle_ms = read.duration("settle", 0);
        if settle_ms >= over_ms {
            let message = format!("`settle` is {}, the whole history or more", format_ms(settle_ms));
            read.error_at("settle", message, Some(format!("use less than `over`, {}", format_ms(over_ms))));
        }
        if let Some(period_ms) = season.period_ms()
            && over_ms < period_ms
        {
            let message = format!("`over` is {}, less than one season", format_ms(over_ms));
            read.error_at("over", message, Some(format!("use several times {}", format_ms(period_ms))));
        }
        let spec = Self {
            over_ms,
            // Values are three at least: of two, the median absolute deviation says nothing.
            min_history: read.count("min_history", usual_history, 3),
            score: read.number("score", 6.0, 1.0),
            floor_share: read.share("floor", 0.1, "the expected value"),
            floor_value: read.number("floor_value", 0.0, 0.0),
            direction: [Direction::Up, Direction::Down, Direction::Both][read.choice("direction", &["up", "down", "both"])],
            method: [Method::Median, Method::Ewma { half_life_ms }, Method::Tail][method],
            season,
            settle_ms,
        };
        read.finish(spec)
    }
}
