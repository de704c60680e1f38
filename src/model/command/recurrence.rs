//! Times that come again: a cron pattern in a time zone, and how long each time lasts. Reads no clock: every question names an instant.

use chrono::DateTime;
use chrono_tz::Tz;
use croner::Cron;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::time::TimestampMs;

/// When something holds again and again.
#[derive(Clone, Debug)]
pub struct Recurrence {
    text: String,
    cron: Cron,
    zone: Tz,
    duration_ms: i64,
}

/// The texts name no times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecurrence {
    /// The pattern cannot be read.
    #[error("{text:?} is no cron pattern: {why}; write for example \"0 2 * * SUN\"")]
    Cron {
        /// The pattern.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// Nobody knows the zone.
    #[error("{0:?} is no time zone: write for example UTC or Asia/Seoul")]
    Zone(String),
    /// It would never hold.
    #[error("the duration of a recurring silence must be more than 0")]
    Duration,
}

impl Recurrence {
    /// Times that begin as `cron` says in `zone`, each `duration_ms` long.
    pub fn new(cron: &str, zone: &str, duration_ms: i64) -> Result<Self, BadRecurrence> {
        let bad = |error: croner::errors::CronError| BadRecurrence::Cron { text: cron.to_string(), why: error.to_string() };
        let parsed = cron.parse::<Cron>().map_err(bad)?;
        let zone = zone.parse::<Tz>().map_err(|_| BadRecurrence::Zone(zone.to_string()))?;
        if duration_ms <= 0 {
            return Err(BadRecurrence::Duration);
        }
        Ok(Self { text: cron.to_string(), cron: parsed, zone, duration_ms })
    }

    /// The pattern as it was written.
    pub fn cron(&self) -> &str {
        &self.text
    }

    /// The time zone's name.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// How long each time lasts.
    pub fn duration_ms(&self) -> i64 {
        self.duration_ms
    }

    /// The beginning and end of the time that holds at `at`, if one does.
    pub fn current(&self, at: TimestampMs) -> Option<(TimestampMs, TimestampMs)> {
        let start = self.cron.find_previous_occurrence(&self.local(at)?, true).ok()?.timestamp_millis();
        let end = start.saturating_add(self.duration_ms);
        (at < end).then_some((start, end))
    }

    /// The next beginning after `at`.
    pub fn next(&self, at: TimestampMs) -> Option<TimestampMs> {
        Some(self.cron.find_next_occurrence(&self.local(at)?, false).ok()?.timestamp_millis())
    }

    fn local(&self, at: TimestampMs) -> Option<DateTime<Tz>> {
        Some(DateTime::from_timestamp_millis(at)?.with_timezone(&self.zone))
    }
}

impl PartialEq for Recurrence {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.zone, self.duration_ms) == (&other.text, other.zone, other.duration_ms)
    }
}

impl Serialize for Recurrence {
    /// A pattern, a zone and a duration.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.text, self.zone(), self.duration_ms).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recurrence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (cron, zone, duration_ms) = <(String, String, i64)>::deserialize(deserializer)?;
        Recurrence::new(&cron, &zone, duration_ms).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::{HOUR_MS, MINUTE_MS, format_rfc3339, parse_rfc3339};

    fn at(text: &str) -> TimestampMs {
        parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_night_in_seoul_is_an_evening_in_utc() {
        let nightly = Recurrence::new("0 2 * * *", "Asia/Seoul", 2 * HOUR_MS).unwrap();
        let evening = at("2026-03-14T17:00:00Z");
        assert_eq!(nightly.current(evening - 1), None);
        assert_eq!(nightly.current(evening), Some((evening, evening + 2 * HOUR_MS)));
        assert_eq!(nightly.current(evening + 2 * HOUR_MS), None);
        assert_eq!(nightly.next(evening).map(format_rfc3339).as_deref(), Some("2026-03-15T17:00:00Z"));
    }

    #[test]
    fn the_clock_of_the_zone_counts_when_summer_begins() {
        let daily = Recurrence::new("0 9 * * *", "Europe/Berlin", 30 * MINUTE_MS).unwrap();
        assert!(daily.current(at("2026-03-28T08:10:00Z")).is_some());
        assert!(daily.current(at("2026-03-29T07:10:00Z")).is_some());
    }

    #[test]
    fn what_cannot_come_is_refused_or_never_comes() {
        assert!(matches!(Recurrence::new("61 * * * *", "UTC", 1), Err(BadRecurrence::Cron { .. })));
        assert!(matches!(Recurrence::new("0 2 * * *", "Mars/Olympus", 1), Err(BadRecurrence::Zone(_))));
        assert!(matches!(Recurrence::new("0 2 * * *", "UTC", 0), Err(BadRecurrence::Duration)));
        let never = Recurrence::new("0 0 30 2 *", "UTC", MINUTE_MS).unwrap();
        assert_eq!((never.next(at("2026-03-14T00:00:00Z")), never.current(at("2026-03-14T00:00:00Z"))), (None, None));
    }
}
