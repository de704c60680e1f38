//! Hours of the day and days of the week in a time zone: for routes, quiet hours, and rules.

use chrono::{DateTime, Datelike, Duration, LocalResult, NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::time::{MINUTE_MS, TimestampMs};

/// A time zone by its IANA name; UTC where none is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(pub Tz);

impl Zone {
    /// What the clocks of the zone show at an instant.
    pub fn local(self, at_ms: TimestampMs) -> NaiveDateTime {
        DateTime::<Utc>::from_timestamp_millis(at_ms).unwrap_or_default().with_timezone(&self.0).naive_local()
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

/// Hours of certain days. One that ends before it begins ends on the next day: `22:00` to `07:00`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Hours {
    /// Days on which it begins; all, where none is named.
    pub days: Vec<Day>,
    /// From this time of day; midnight where it is not set.
    pub from: Option<Clock>,
    /// To this time of day, exclusively; midnight where it is not set.
    pub to: Option<Clock>,
}

/// A day of the week: `mon`, `Monday`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub Weekday);

/// A time of day: `07:30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(pub NaiveTime);

impl Hours {
    /// Whether the instant lies in these hours.
    pub fn contains(&self, at_ms: TimestampMs, zone: Zone) -> bool {
        let local = zone.local(at_ms);
        let (from, to) = self.bounds();
        let time = local.time();
        let on = |day: Weekday| self.days.is_empty() || self.days.contains(&Day(day));
        if from < to {
            return on(local.weekday()) && from <= time && time < to;
        }
        // The part before midnight belongs to this day, the part after it to the day before.
        (time >= from && on(local.weekday())) || (time < to && on(local.weekday().pred()))
    }

    /// The first instant from `at_ms` on that lies outside of these hours, to the minute; `None` where they never end.
    pub fn end_after(&self, at_ms: TimestampMs, zone: Zone) -> Option<TimestampMs> {
        if !self.contains(at_ms, zone) {
            return Some(at_ms);
        }
        let (_, to) = self.bounds();
        let today = zone.local(at_ms).date();
        let ends = (0..=DAYS_MAX).filter_map(|day| instant(today.checked_add_signed(Duration::days(day))?.and_time(to), zone));
        ends.filter(|end| *end > at_ms).find(|end| !self.contains(*end, zone))
    }

    fn bounds(&self) -> (NaiveTime, NaiveTime) {
        let bound = |clock: Option<Clock>| clock.map_or(NaiveTime::MIN, |clock| clock.0);
        (bound(self.from), bound(self.to))
    }
}

/// Hours that last for longer than a week never end.
const DAYS_MAX: i64 = 8;

/// Of a time that the clocks show twice the first; of one that they skip, the next one that they show.
fn instant(mut local: NaiveDateTime, zone: Zone) -> Option<TimestampMs> {
    for _ in 0..=SKIPPED_MINUTES_MAX {
        match zone.0.from_local_datetime(&local) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => return Some(at.timestamp_millis()),
            LocalResult::None => local += Duration::milliseconds(MINUTE_MS),
        }
    }
    None
}

/// No clock skips more than a day.
const SKIPPED_MINUTES_MAX: usize = 24 * 60;

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Zone).map_err(|_| {
            serde::de::Error::custom(format!("{text:?} is no time zone: write an IANA name, for example Asia/Seoul or UTC"))
        })
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Day)
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is no day: write mon, tue, wed, thu, fri, sat or sun")))
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let end_of_day = text == "24:00";
        let time = if end_of_day { Ok(NaiveTime::MIN) } else { NaiveTime::parse_from_str(&text, "%H:%M") };
        time.map(Clock).map_err(|_| serde::de::Error::custom(format!("{text:?} is no time of day: write \"07:30\", in quotes")))
    }
}

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::parse_rfc3339;

    fn hours(from: &str, to: &str, days: &[Weekday]) -> Hours {
        let clock = |text: &str| Some(Clock(NaiveTime::parse_from_str(text, "%H:%M").unwrap()));
        Hours { days: days.iter().copied().map(Day).collect(), from: clock(from), to: clock(to) }
    }

    fn at(text: &str) -> TimestampMs {
        parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let seoul = Zone(chrono_tz::Asia::Seoul);
        let friday_night = hours("22:00", "07:00", &[Weekday::Fri]);
        // 2026-03-13 is a Friday; Seoul is nine hours ahead.
        for (time, inside) in [
            ("2026-03-13T12:59:00Z", false),
            ("2026-03-13T13:00:00Z", true),
            ("2026-03-13T21:59:00Z", true),
            ("2026-03-13T22:00:00Z", false),
            ("2026-03-14T13:00:00Z", false),
        ] {
            assert_eq!(friday_night.contains(at(time), seoul), inside, "{time}");
        }
        assert_eq!(friday_night.end_after(at("2026-03-13T13:00:00Z"), seoul), Some(at("2026-03-13T22:00:00Z")));
    }

    #[test]
    fn clocks_that_are_put_forward_end_the_night_all_the_same() {
        // In Berlin, 02:00 to 03:00 is skipped on 2026-03-29.
        let berlin = Zone(chrono_tz::Europe::Berlin);
        let night = hours("23:00", "02:30", &[]);
        assert_eq!(night.end_after(at("2026-03-28T23:00:00Z"), berlin), Some(at("2026-03-29T01:00:00Z")));
        // 02:00 to 03:00 comes twice on 2026-10-25: the night ends with the first 02:30.
        assert_eq!(night.end_after(at("2026-10-24T22:00:00Z"), berlin), Some(at("2026-10-25T00:30:00Z")));
    }

    #[test]
    fn hours_without_an_end_have_none() {
        assert_eq!(Hours::default().end_after(at("2026-03-13T13:00:00Z"), Zone::default()), None);
        assert!(Hours::default().contains(at("2026-03-13T13:00:00Z"), Zone::default()));
    }
}
