//! `deviation:` in a rule's front matter: the rule breaches where a value departs from its own history.
//!
//! Fixed thresholds do not carry over between services. Here each label set is its own measure: the median of its past values and
//! their median absolute deviation (MAD), which outliers hardly move (Rousseeuw and Croux, "Alternatives to the Median Absolute
//! Deviation", JASA 1993). The score is the distance from the median in units of 1.4826 MAD, the standard deviation of a normal
//! distribution; a floor keeps a series that never moved from breaching at its first tremble.

use crate::words::diagnostic::nearest;
use crate::words::duration;

/// What an author set.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviationSpec {
    /// How much of its past a label set remembers, milliseconds of event time.
    pub over_ms: i64,
    /// Values that must be remembered before a score is given.
    pub min_history: usize,
    /// The score from which a value is a breach.
    pub score: f64,
    /// The smallest scale, as a share of the median.
    pub floor_share: f64,
    /// The smallest scale, in units of the value.
    pub floor_value: f64,
    /// Which way is bad.
    pub direction: Direction,
}

/// Which way of departing from history is a breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Above it.
    Up,
    /// Below it.
    Down,
    /// Either.
    Both,
}

/// The keys, in the order in which the docs explain them.
pub const KEYS: [&str; 6] = ["over", "min_history", "score", "floor", "floor_value", "direction"];

/// What is wrong, and how to mend it.
pub type Wrong = (String, Option<String>);

impl DeviationSpec {
    /// Reads the map below `deviation:`.
    pub fn parse(value: &serde_json::Value) -> Result<Self, Vec<Wrong>> {
        let serde_json::Value::Object(map) = value else {
            return Err(vec![(
                "`deviation` is no map".into(),
                Some("write for example `deviation: { over: 2h, score: 6 }`".into()),
            )]);
        };
        let mut wrong: Vec<Wrong> = Vec::new();
        for key in map.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let hint = nearest(key, KEYS)
                .map_or_else(|| format!("known keys are {}", KEYS.join(", ")), |near| format!("did you mean `{near}`?"));
            wrong.push((format!("unknown key `{key}` below `deviation`"), Some(hint)));
        }
        let mut read = Reader { map, wrong };
        let spec = Self {
            over_ms: read.duration("over"),
            min_history: read.number("min_history", 10.0, 3.0) as usize,
            score: read.number("score", 6.0, 1.0),
            floor_share: read.share("floor", 0.1),
            floor_value: read.number("floor_value", 0.0, 0.0),
            direction: read.direction(),
        };
        if read.wrong.is_empty() { Ok(spec) } else { Err(read.wrong) }
    }
}

struct Reader<'a> {
    map: &'a serde_json::Map<String, serde_json::Value>,
    wrong: Vec<Wrong>,
}

impl Reader<'_> {
    fn duration(&mut self, key: &str) -> i64 {
        let text = self.map.get(key).and_then(serde_json::Value::as_str);
        match text.map(duration::parse_ms) {
            Some(Ok(duration_ms)) if duration_ms > 0 => duration_ms,
            None if !self.map.contains_key(key) => 2 * 3_600_000,
            _ => {
                self.wrong.push((format!("`{key}` is no duration"), Some("write for example 2h or 1d".into())));
                1
            }
        }
    }

    fn number(&mut self, key: &str, otherwise: f64, least: f64) -> f64 {
        match self.map.get(key).map(serde_json::Value::as_f64) {
            None => otherwise,
            Some(Some(number)) if number >= least => number,
            Some(_) => {
                self.wrong.push((format!("`{key}` must be a number, {least} or more"), None));
                otherwise
            }
        }
    }

    fn share(&mut self, key: &str, otherwise: f64) -> f64 {
        let share = match self.map.get(key) {
            None => return otherwise,
            Some(serde_json::Value::String(text)) => {
                text.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok()).map(|percent| percent / 100.0)
            }
            Some(value) => value.as_f64(),
        };
        match share {
            Some(share) if share >= 0.0 => share,
            _ => {
                self.wrong.push((format!("`{key}` must be a share of the median"), Some("write for example 10% or 0.1".into())));
                otherwise
            }
        }
    }

    fn direction(&mut self) -> Direction {
        match self.map.get("direction").map(|value| value.as_str().unwrap_or_default()) {
            None | Some("up") => Direction::Up,
            Some("down") => Direction::Down,
            Some("both") => Direction::Both,
            Some(other) => {
                let near = nearest(other, ["up", "down", "both"]);
                self.wrong
                    .push(("`direction` must be up, down or both".into(), near.map(|near| format!("did you mean `{near}`?"))));
                Direction::Up
            }
        }
    }
}
