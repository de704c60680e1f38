//! What is usual for a series, and where an instant lies in its season.

use crate::model::local_time::Zone;
use crate::model::time::{DAY_MS, HOUR_MS, TimestampMs};
use crate::rule::definition::detectors::deviation::Season;

/// What is usual at some instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Baseline {
    /// The number of values behind it; with a season, of earlier periods.
    pub(crate) history: usize,
    /// The usual value.
    pub(crate) expected: f64,
    /// The usual distance from it.
    pub(crate) scale: f64,
}

/// 1970-01-01 was a Thursday: weeks are counted from the Monday before it.
const MONDAY_BEFORE_EPOCH_DAYS: i64 = 3;

/// The period in which an evaluation's window ends, and the hour within the period; `(0, 0)` without a season.
pub(crate) fn season_slot(season: Season, at: TimestampMs) -> (i64, u16) {
    let Some(period_ms) = season.period_ms() else { return (0, 0) };
    // A window that ends on the hour belongs to the hour before.
    let last = at - 1;
    if let Season::LocalDay(zone) | Season::LocalWeek(zone) = season {
        return local_slot(zone, season, last);
    }
    (last.div_euclid(period_ms), u16::try_from(last.rem_euclid(period_ms) / HOUR_MS).unwrap_or_default())
}

/// The same by the clocks of a zone. A day on which they are changed has 23 or 25 hours; the hour that comes twice is one.
fn local_slot(zone: Zone, season: Season, last: TimestampMs) -> (i64, u16) {
    let local = zone.local(last).and_utc().timestamp_millis();
    let (day, hour) = (local.div_euclid(DAY_MS), local.rem_euclid(DAY_MS) / HOUR_MS);
    let (period, slot) = match season {
        Season::LocalWeek(_) => {
            let days = day + MONDAY_BEFORE_EPOCH_DAYS;
            (days.div_euclid(7), days.rem_euclid(7) * 24 + hour)
        }
        _ => (day, hour),
    };
    (period, u16::try_from(slot).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::parse_rfc3339;

    #[test]
    fn the_hour_of_a_season_follows_the_clocks() {
        let berlin = Zone(chrono_tz::Europe::Berlin);
        let slot = |season, time: &str| season_slot(season, parse_rfc3339(time).unwrap() + 1);
        let day = |time| slot(Season::LocalDay(berlin), time);
        // Nine in the morning, before and after the clocks are put forward on 2026-03-29.
        assert_eq!((day("2026-03-28T08:30:00Z").1, day("2026-03-29T07:30:00Z").1), (9, 9));
        assert_eq!(day("2026-03-29T07:30:00Z").0, day("2026-03-28T08:30:00Z").0 + 1);
        // Half past two comes twice on 2026-10-25.
        assert_eq!(day("2026-10-25T00:30:00Z"), day("2026-10-25T01:30:00Z"));
        // Monday, nine o'clock: the same week as the Sunday after it, not as the Sunday before.
        let week = |time| slot(Season::LocalWeek(berlin), time);
        assert_eq!(week("2026-03-30T07:30:00Z").1, 9);
        assert_eq!(week("2026-03-30T07:30:00Z").0, week("2026-04-05T21:30:00Z").0);
        assert_eq!(week("2026-03-30T07:30:00Z").0, week("2026-03-29T21:30:00Z").0 + 1);
    }
}
