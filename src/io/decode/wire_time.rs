//! Times as collectors write them: RFC 3339, or numbers since 1970 whose unit their size tells.

use crate::io::decode::raw_event::Scalar;
use crate::model::time::{TimestampMs, parse_rfc3339};

/// Numbers below are seconds: those of the year 5138, as milliseconds those of March 1973, the earliest that is accepted.
const SECONDS_BELOW: f64 = 1e11;
/// Below milliseconds, and below a thousand times that microseconds; the others are nanoseconds.
const MILLISECONDS_BELOW: f64 = 1e14;

/// A time since 1970 in the unit that its size tells.
pub(crate) fn of_number(number: f64) -> TimestampMs {
    let size = number.abs();
    let ms = match size {
        _ if size < SECONDS_BELOW => number * 1e3,
        _ if size < MILLISECONDS_BELOW => number,
        _ if size < MILLISECONDS_BELOW * 1e3 => number / 1e3,
        _ => number / 1e6,
    };
    // Seconds with a fraction are not exact: 1795836002.753 must not become 752 ms.
    (ms + 1e-3).floor() as TimestampMs
}

/// The time of a value; null is none.
pub(crate) fn of(value: &Scalar<'_>) -> Option<Result<TimestampMs, String>> {
    let malformed = || Err(format!("a time is {value}: it must be RFC 3339 with a zone, or a number since 1970"));
    Some(match value {
        Scalar::Null => return None,
        Scalar::Text(text) if text.trim().is_empty() => return None,
        Scalar::Whole(whole) if whole.unsigned_abs() < SECONDS_BELOW as u64 => Ok(whole * 1_000),
        Scalar::Whole(whole) if whole.unsigned_abs() < MILLISECONDS_BELOW as u64 => Ok(*whole),
        Scalar::Whole(whole) if whole.unsigned_abs() < 1_000 * MILLISECONDS_BELOW as u64 => Ok(whole.div_euclid(1_000)),
        Scalar::Whole(whole) => Ok(whole.div_euclid(1_000_000)),
        Scalar::Number(number) if number.is_finite() => Ok(of_number(*number)),
        Scalar::Text(text) => match parse_rfc3339(text.trim()) {
            Some(ts) => Ok(ts),
            None => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(of_number(number)),
                _ => malformed(),
            },
        },
        _ => malformed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_number_tells_its_unit() {
        let ms = 1_773_456_430_123;
        for value in
            [Scalar::Whole(ms), Scalar::Whole(ms * 1_000), Scalar::Whole(ms * 1_000_000), Scalar::Number(1_773_456_430.123)]
        {
            assert_eq!(of(&value), Some(Ok(ms)), "{value}");
        }
        assert_eq!(of(&Scalar::Whole(1_773_456_430)), Some(Ok(1_773_456_430_000)));
        assert_eq!(of(&Scalar::Text("2026-03-14T02:47:10.123Z".into())), Some(Ok(ms)));
        assert_eq!(of(&Scalar::Text("1773456430.123".into())), Some(Ok(ms)));
        assert!(of(&Scalar::Text("yesterday".into())).unwrap().is_err());
        assert!(of(&Scalar::Bool(true)).unwrap().is_err());
        assert_eq!(of(&Scalar::Null), None);
    }
}
