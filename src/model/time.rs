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

/// Reads RFC 3339 with any offset, and what is commonly sent in its place: a space or a small `t` for the `T`, a small `z`, a comma before
/// the fraction, offsets as `+0200` and `+02`. `None` for any other text. Digits beyond milliseconds are cut off; a leap second is the
/// first second of the next minute.
pub fn parse_rfc3339(text: &str) -> Option<TimestampMs> {
    let (date_time, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', mi1, mi2, b':', s1, s2] = date_time
    else {
        return None;
    };
    let year = digits(&[*y1, *y2, *y3, *y4])?;
    let (month, day) = (digits(&[*mo1, *mo2])?, digits(&[*d1, *d2])?);
    let (hour, minute, second) = (digits(&[*h1, *h2])?, digits(&[*mi1, *mi2])?, digits(&[*s1, *s2])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ms, offset) = fraction(rest)?;
    let seconds = (days_since_epoch(year, month, day) * 24 + hour) * 3_600 + minute * 60 + second;
    Some(seconds * 1_000 + fraction_ms - offset_ms(offset)?)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// The fraction of a second in milliseconds, and the text after it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.' | b',', rest)) = text.split_first() else { return Some((0, text)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = rest.split_at(length);
    let scale = [0, 100, 10, 1][length.min(3)];
    (length > 0).then_some((digits(&fraction[..length.min(3)])? * scale, rest))
}

fn offset_ms(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match text {
        [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2] => (sign, [*h1, *h2], [b'0', b'0']),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let (hours, minutes) = (digits(&hours)?, digits(&minutes)?);
    let offset = hours * HOUR_MS + minutes * MINUTE_MS;
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar, counted in years that begin in March: the leap day is then the last day of a year.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The greatest common divisor of two lengths; 0 has all divisors.
pub fn common_divisor(a_ms: i64, b_ms: i64) -> i64 {
    if b_ms == 0 { a_ms } else { common_divisor(b_ms, a_ms % b_ms) }
}

/// The start of the pane or window of `width_ms` that `at_ms` falls into, aligned to the epoch.
pub fn align_down(at_ms: TimestampMs, width_ms: i64) -> TimestampMs {
    at_ms.div_euclid(width_ms) * width_ms
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_chrono(text: &str) -> Option<TimestampMs> {
        DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis())
    }

    proptest! {
        #[test]
        fn every_instant_is_read_as_it_was_written(ms in -62_135_596_800_000..=LATEST_MS, offset in -1439..=1439_i32, digits in 0..4_u8) {
            let zone = chrono::FixedOffset::east_opt(offset * 60).unwrap();
            let at = DateTime::<Utc>::from_timestamp_millis(ms).unwrap().with_timezone(&zone);
            let form = [SecondsFormat::Secs, SecondsFormat::Millis, SecondsFormat::Micros, SecondsFormat::Nanos][usize::from(digits)];
            let text = at.to_rfc3339_opts(form, true);
            // A year before 0 or after 9999 by its own zone has more than four digits.
            prop_assume!(text.len() >= 20 && text.as_bytes()[4] == b'-');
            let want = if form == SecondsFormat::Secs { ms.div_euclid(1_000) * 1_000 } else { ms };
            prop_assert_eq!(parse_rfc3339(&text), Some(want));
        }

        #[test]
        fn chrono_agrees_on_what_is_rfc_3339(text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,12})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])?.?") {
            prop_assert_eq!(parse_rfc3339(&text), by_chrono(&text), "{}", text);
        }
    }

    #[test]
    fn common_variants_are_read() {
        let noon = Some(1_773_489_600_000);
        for text in [
            "2026-03-14T12:00:00Z",
            "2026-03-14t12:00:00z",
            "2026-03-14 12:00:00Z",
            "2026-03-14 12:00:00+00",
            "2026-03-14T14:00:00+0200",
            "2026-03-14T17:30:00+05:30",
            "2026-03-14T12:00:00,000Z",
            "2026-03-14T11:59:60Z",
        ] {
            assert_eq!(parse_rfc3339(text), noon, "{text}");
        }
        for text in
            ["2026-03-14T12:00:00", "2026-03-14", "2026-02-29T12:00:00Z", "2026-03-14T24:00:00Z", "", "2026-03-14T12:00:00.Z"]
        {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
