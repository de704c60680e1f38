//! `ts AT TIME ZONE 'Europe/Berlin'`, which is also `timezone('Europe/Berlin', ts)`, as PostgreSQL answers it: an instant becomes the local time
//! of the zone, and a local time becomes the instant at which the zone's clocks show it.
//!
//! An instant is a timestamp of UTC, as the column `ts` is; a local time is a timestamp without a zone. The zones are those of the
//! IANA time zone database, daylight saving time included.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMillisecondType};
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::model::diagnostic::nearest;
use crate::model::event::UTC;

/// The name that `AT TIME ZONE` is rewritten to.
pub const NAME: &str = "timezone";

static TIMEZONE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(TimeZoneFunction::new())));

/// The function.
pub fn timezone() -> Arc<ScalarUDF> {
    Arc::clone(&TIMEZONE)
}

/// The zone that a text names.
///
/// # Errors
///
/// It names none: what to write instead.
pub fn zone(name: &str) -> Result<Tz, String> {
    if let Some(zone) = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name)) {
        return Ok(*zone);
    }
    let is_offset = name.trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with(['+', '-']);
    if is_offset || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("an offset knows no daylight saving time, and its sign is read in two ways: name the zone, for example 'Europe/Berlin', \
             or add an INTERVAL '2 hours'"
            .into());
    }
    let names = || chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    let city = |known: &&str| known.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&name.replace(' ', "_")));
    match nearest(name, names()).or_else(|| names().find(city)) {
        Some(near) => Err(format!("did you mean '{near}'?")),
        None => Err("zones are named as in the IANA database: 'UTC', 'Europe/Berlin', 'Asia/Seoul'".into()),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeZoneFunction {
    signature: Signature,
}

impl TimeZoneFunction {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// A local time in milliseconds, an instant in milliseconds of UTC.
fn result_of(of: &DataType) -> DataType {
    match of {
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Millisecond, None),
        _ => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
    }
}

impl ScalarUDFImpl for TimeZoneFunction {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [_, of] = arguments else { return plan_err!("timezone() takes a zone and a time: timezone('Europe/Berlin', ts)") };
        let of = match of {
            DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
            DataType::Timestamp(_, None)
            | DataType::Date32
            | DataType::Date64
            | DataType::Utf8
            | DataType::Utf8View
            | DataType::LargeUtf8
            | DataType::Null => DataType::Timestamp(TimeUnit::Millisecond, None),
            _ => {
                return plan_err!("AT TIME ZONE takes a time: to make one of a number of seconds, write to_timestamp_seconds(…)");
            }
        };
        Ok(vec![DataType::Utf8, of])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(result_of(&arguments[1]))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let name = args.scalar_arguments.first().copied().flatten().and_then(|zone| zone.try_as_str().flatten());
        let Some(name) = name else {
            return plan_err!("the time zone is computed anew for each row: write it out as one text in quotes");
        };
        if let Err(hint) = zone(name) {
            return plan_err!("`{name}` is no time zone: {hint}");
        }
        Ok(Arc::new(Field::new(NAME, result_of(args.arg_fields[1].data_type()), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [ColumnarValue::Scalar(name), times] = args.args.as_slice() else {
            return exec_err!("the time zone is no constant");
        };
        let Some(Ok(zone)) = name.try_as_str().flatten().map(zone) else { return exec_err!("{name} is no time zone") };
        match times {
            ColumnarValue::Array(times) => Ok(ColumnarValue::Array(converted(times, zone)?)),
            ColumnarValue::Scalar(time) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&converted(&time.to_array()?, zone)?, 0)?))
            }
        }
    }
}

fn converted(times: &ArrayRef, zone: Tz) -> Result<ArrayRef> {
    let kind = result_of(times.data_type());
    let from = match times.data_type() {
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
        _ => DataType::Timestamp(TimeUnit::Millisecond, None),
    };
    let times = cast(times, &from)?;
    let times = times.as_primitive::<TimestampMillisecondType>();
    let mut clocks = Clocks { zone, known: None };
    let to_local = from != DataType::Timestamp(TimeUnit::Millisecond, None);
    let converted: PrimitiveArray<TimestampMillisecondType> =
        times.iter().map(|time| time.and_then(|time| if to_local { clocks.local(time) } else { instant(zone, time) })).collect();
    Ok(Arc::new(converted.with_data_type(kind)))
}

/// Clocks are changed at whole quarters of an hour: times in one quarter have one offset.
const QUARTER_MS: i64 = 15 * 60 * 1000;

struct Clocks {
    zone: Tz,
    /// The quarter that was looked up last, and its offset in milliseconds.
    known: Option<(i64, i64)>,
}

impl Clocks {
    fn local(&mut self, instant: i64) -> Option<i64> {
        let quarter = instant.div_euclid(QUARTER_MS);
        let offset = match self.known {
            Some((known, offset)) if known == quarter => offset,
            _ => {
                let utc = DateTime::from_timestamp_millis(quarter.checked_mul(QUARTER_MS)?)?.naive_utc();
                let offset = i64::from(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1000;
                self.known = Some((quarter, offset));
                offset
            }
        };
        instant.checked_add(offset)
    }
}

/// The instant of a local time. As in PostgreSQL, a time that clocks skip is read by the offset before, and one that they show twice is the
/// second.
fn instant(zone: Tz, local: i64) -> Option<i64> {
    let naive: NaiveDateTime = DateTime::from_timestamp_millis(local)?.naive_utc();
    let offset = match zone.offset_from_local_datetime(&naive) {
        MappedLocalTime::Single(offset) => offset,
        MappedLocalTime::Ambiguous(_, later) => later,
        MappedLocalTime::None => zone.offset_from_local_datetime(&naive.checked_sub_signed(TimeDelta::days(1))?).latest()?,
    };
    local.checked_sub(i64::from(offset.fix().local_minus_utc()) * 1000)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Europe::Berlin;

    use super::*;

    fn ms(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc().timestamp_millis()
    }

    #[test]
    fn clocks_change_twice_a_year() {
        let mut clocks = Clocks { zone: Berlin, known: None };
        for (utc, local) in [
            ("2026-03-29 00:59:59", "2026-03-29 01:59:59"),
            ("2026-03-29 01:00:00", "2026-03-29 03:00:00"),
            ("2026-10-25 00:59:59", "2026-10-25 02:59:59"),
            ("2026-10-25 01:00:00", "2026-10-25 02:00:00"),
        ] {
            assert_eq!(clocks.local(ms(utc)), Some(ms(local)), "{utc}");
        }
        for (local, utc) in [
            ("2026-03-29 01:59:59", "2026-03-29 00:59:59"),
            // Skipped.
            ("2026-03-29 02:30:00", "2026-03-29 01:30:00"),
            ("2026-03-29 03:00:00", "2026-03-29 01:00:00"),
            // Shown twice.
            ("2026-10-25 02:30:00", "2026-10-25 01:30:00"),
            ("2026-10-25 03:00:00", "2026-10-25 02:00:00"),
        ] {
            assert_eq!(instant(Berlin, ms(local)), Some(ms(utc)), "{local}");
        }
    }

    #[test]
    fn what_is_no_zone_gets_a_hint() {
        assert_eq!(zone("europe/berlin"), Ok(Berlin));
        assert_eq!(zone("Europe/Berlim"), Err("did you mean 'Europe/Berlin'?".into()));
        assert_eq!(zone("Seoul"), Err("did you mean 'Asia/Seoul'?".into()));
        for offset in ["+02:00", "-5", "UTC+2", "02:00"] {
            assert!(zone(offset).unwrap_err().contains("name the zone"), "{offset}");
        }
        assert!(zone("nowhere").unwrap_err().contains("IANA"));
    }
}
