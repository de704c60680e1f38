//! Instants as Unix milliseconds. Time is always passed in: nothing on floors 0 to 3 reads a clock.

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds since 1970-01-01T00:00:00Z, in event time unless a name says otherwise.
pub type TimestampMs = i64;

/// A minute.
pub const MINUTE_MS: i64 = 60_000;
/// An hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A day of 24 hours.
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// A week.
pub const WEEK_MS: i64 = 7 * DAY_MS;

/// The earliest instant an event may carry: 1973-03-03, a hundred thousand million milliseconds. What lies before it are seconds.
pub const EARLIEST_MS: TimestampMs = 100_000_000_000;
/// The latest instant an event may carry: the year 9999, the last that RFC 3339 can write.
pub const LATEST_MS: TimestampMs = 253_402_300_799_999;

/// Writes an instant as RFC 3339 in UTC: `2026-03-14T02:47:10Z`, with milliseconds only where there are some.
pub fn format_rfc3339(at_ms: TimestampMs) -> String {
    let clamped = at_ms.clamp(0, LATEST_MS);
    let form = if clamped % 1000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    DateTime::<Utc>::from_timestamp_millis(clamped).unwrap_or_default().to_rfc3339_opts(form, true)
}

/// Writes the time of day: `02:47:10`.
pub fn format_clock(at_ms: TimestampMs) -> String {
    DateTime::<Utc>::from_timestamp_millis(at_ms).unwrap_or_default().format("%H:%M:%S").to_string()
}

/// Writes an instant for somebody who reads it at `now_ms`: the time of day, with the date only where that is another day.
pub fn format_near(at_ms: TimestampMs, now_ms: TimestampMs) -> String {
    let same_day = align_down(at_ms, DAY_MS) == align_down(now_ms, DAY_MS);
    let form = if same_day { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    DateTime::<Utc>::from_timestamp_millis(at_ms).unwrap_or_default().format(form).to_string()
}

/// Reads RFC 3339 with any offset. `None` where the text is something else.
pub fn parse_rfc3339(text: &str) -> Option<TimestampMs> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis())
}

/// The greatest common divisor of two lengths; 0 has all divisors.
pub fn common_divisor(a_ms: i64, b_ms: i64) -> i64 {
    if b_ms == 0 { a_ms } else { common_divisor(b_ms, a_ms % b_ms) }
}

/// The start of the pane or window of `width_ms` that `at_ms` falls into, aligned to the epoch.
pub fn align_down(at_ms: TimestampMs, width_ms: i64) -> TimestampMs {
    at_ms.div_euclid(width_ms) * width_ms
}
