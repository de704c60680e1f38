//! What is usual for a series, and where an instant lies in its season.

use crate::model::time::{HOUR_MS, TimestampMs};
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

/// The period in which an evaluation's window ends, and the hour within the period; `(0, 0)` without a season.
pub(crate) fn season_slot(season: Season, at: TimestampMs) -> (i64, u16) {
    let Some(period_ms) = season.period_ms() else { return (0, 0) };
    // A window that ends on the hour belongs to the hour before.
    let last = at - 1;
    (last.div_euclid(period_ms), u16::try_from(last.rem_euclid(period_ms) / HOUR_MS).unwrap_or_default())
}
