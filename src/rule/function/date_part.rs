//! `date_part('hour', ts)`, which is also `extract(hour FROM ts)`, as PostgreSQL answers it.
//!
//! DataFusion's answers the parts of a difference of two times from its whole seconds, and `second` without its fraction. Here a difference
//! has days, hours, minutes and seconds as PostgreSQL's interval has, `epoch` is exact, and `second` has its fraction. DataFusion's
//! function answers the rest.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions::datetime;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

static DATE_PART: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(DatePart::new())));

const PARTS: &str =
    "year, isoyear, quarter, month, week, day, doy, dow, isodow, hour, minute, second, millisecond, microsecond and epoch";

/// The function.
pub fn date_part() -> Arc<ScalarUDF> {
    Arc::clone(&DATE_PART)
}

/// Plans `extract(part FROM time)`.
#[derive(Debug)]
pub struct ExtractPlanner;

impl ExprPlanner for ExtractPlanner {
    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(DATE_PART.call(args)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    signature: Signature,
    aliases: Vec<String>,
    builtin: Arc<ScalarUDF>,
}

impl DatePart {
    fn new() -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { signature, aliases: vec!["datepart".into()], builtin: datetime::date_part() }
    }
}

/// The parts that this function answers itself, with the type of its answer.
fn own(part: &str, of: &DataType) -> Option<DataType> {
    match (part, of) {
        ("epoch" | "second", DataType::Duration(_)) => Some(DataType::Float64),
        ("day", DataType::Duration(_)) => Some(DataType::Int64),
        ("hour" | "minute" | "millisecond" | "microsecond", DataType::Duration(_)) => Some(DataType::Int32),
        ("epoch", DataType::Interval(_)) => Some(DataType::Float64),
        ("second", DataType::Timestamp(..)) => Some(DataType::Float64),
        _ => None,
    }
}

/// The part's name in one spelling: PostgreSQL takes `hours` and `HOUR` as well.
fn normalized(part: &str) -> String {
    let lower = part.trim_matches(['\'', '"']).to_lowercase();
    match lower.as_str() {
        "years" | "y" | "yr" | "yrs" => "year",
        "quarters" | "qtr" => "quarter",
        "months" | "mon" | "mons" => "month",
        "weeks" | "w" => "week",
        "days" | "d" => "day",
        "hours" | "h" | "hr" | "hrs" => "hour",
        "minutes" | "m" | "min" | "mins" => "minute",
        "seconds" | "s" | "sec" | "secs" => "second",
        "milliseconds" | "ms" | "msec" | "msecs" => "millisecond",
        "microseconds" | "us" | "usec" | "usecs" => "microsecond",
        "dayofweek" | "weekday" => "dow",
        "dayofyear" => "doy",
        other => other,
    }
    .to_string()
}

fn part_of(part: Option<&ScalarValue>) -> Result<String> {
    match part.and_then(|part| part.try_as_str().flatten()).map(normalized) {
        Some(part) if PARTS.split([',', ' ']).any(|known| known == part) => Ok(part),
        Some(part) => plan_err!("`{part}` is no part of a time that date_part() knows: the parts are {PARTS}"),
        None => plan_err!("date_part() takes the part as a text in quotes: the parts are {PARTS}"),
    }
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        "date_part"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [_, of] = arguments else { return plan_err!("date_part() takes a part and a time: date_part('hour', ts)") };
        let of = match of {
            DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Duration(_) => of.clone(),
            DataType::Interval(_) => DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
                DataType::Timestamp(TimeUnit::Nanosecond, None)
            }
            _ => return plan_err!("date_part() takes a time: to make one of a number of seconds, write to_timestamp_seconds(…)"),
        };
        Ok(vec![DataType::Utf8, of])
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        plan_err!("the type of date_part() depends on the part")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let part = part_of(args.scalar_arguments.first().copied().flatten())?;
        match args.arg_fields.get(1).and_then(|of| own(&part, of.data_type())) {
            Some(kind) => Ok(Arc::new(Field::new(self.name(), kind, true))),
            None => {
                let part = ScalarValue::from(part);
                let scalar_arguments = [Some(&part), args.scalar_arguments.get(1).copied().flatten()];
                self.builtin.return_field_from_args(ReturnFieldArgs { scalar_arguments: &scalar_arguments, ..args })
            }
        }
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let part = match &args.args[0] {
            ColumnarValue::Scalar(part) => part_of(Some(part))?,
            ColumnarValue::Array(_) => part_of(None)?,
        };
        if own(&part, &args.args[1].data_type()).is_none() {
            args.args[0] = ColumnarValue::Scalar(ScalarValue::from(part));
            return self.builtin.invoke_with_args(args);
        }
        match &args.args[1] {
            ColumnarValue::Array(times) => Ok(ColumnarValue::Array(answer(&part, times)?)),
            ColumnarValue::Scalar(time) => {
                let answer = answer(&part, &time.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?))
            }
        }
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn answer(part: &str, times: &ArrayRef) -> Result<ArrayRef> {
    let unit = match times.data_type() {
        DataType::Duration(unit) | DataType::Timestamp(unit, _) => per_second(*unit),
        DataType::Interval(_) => {
            let intervals = times.as_primitive::<IntervalMonthDayNanoType>();
            let seconds = |it: arrow::datatypes::IntervalMonthDayNano| {
                let days = f64::from(it.months / 12) * 365.25 + f64::from(it.months % 12 * 30) + f64::from(it.days);
                days * 86_400.0 + it.nanoseconds as f64 / 1e9
            };
            return Ok(Arc::new(intervals.iter().map(|it| it.map(seconds)).collect::<Float64Array>()));
        }
        other => return plan_err!("date_part() of {other}"),
    };
    let whole = cast(times, &DataType::Int64)?;
    let whole = whole.as_primitive::<Int64Type>();
    let fraction = |count: i64| count as f64 / unit as f64;
    let whole_part = |of: &dyn Fn(i64) -> i64| whole.iter().map(|count| count.map(of)).collect::<Int64Array>();
    let small = |of: &dyn Fn(i64) -> i64| -> Result<ArrayRef> {
        Ok(Arc::new(whole.iter().map(|count| count.map(|count| of(count) as i32)).collect::<Int32Array>()))
    };
    let is_time = matches!(times.data_type(), DataType::Timestamp(..));
    let minute = 60 * unit;
    match part {
        "epoch" => Ok(Arc::new(whole.iter().map(|count| count.map(fraction)).collect::<Float64Array>())),
        // Of a time before 1970 as well; a difference has the sign of the whole.
        "second" if is_time => Ok(Arc::new(
            whole.iter().map(|count| count.map(|count| fraction(count.rem_euclid(minute)))).collect::<Float64Array>(),
        )),
        "second" => Ok(Arc::new(whole.iter().map(|count| count.map(|count| fraction(count % minute))).collect::<Float64Array>())),
        "day" => Ok(Arc::new(whole_part(&|count| count / (86_400 * unit)))),
        "hour" => small(&|count| count / (3_600 * unit) % 24),
        "minute" => small(&|count| count / minute % 60),
        "millisecond" => small(&|count| (fraction(count % minute) * 1e3) as i64),
        _ => small(&|count| (fraction(count % minute) * 1e6) as i64),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::DurationMillisecondArray;
    use arrow::datatypes::{Float64Type, Int32Type};

    use super::*;

    #[test]
    fn parts_of_a_difference_are_those_of_an_interval() {
        let spans: ArrayRef = Arc::new(DurationMillisecondArray::from(vec![Some(950), Some(93_784_005), Some(-2_600), None]));
        let floats = |part: &str| answer(part, &spans).unwrap().as_primitive::<Float64Type>().iter().collect::<Vec<_>>();
        let whole = |part: &str| answer(part, &spans).unwrap().as_primitive::<Int32Type>().iter().collect::<Vec<_>>();
        assert_eq!(floats("epoch"), [Some(0.95), Some(93_784.005), Some(-2.6), None]);
        assert_eq!(floats("second"), [Some(0.95), Some(4.005), Some(-2.6), None]);
        assert_eq!(whole("hour"), [Some(0), Some(2), Some(0), None]);
        assert_eq!(whole("minute"), [Some(0), Some(3), Some(0), None]);
        assert_eq!(answer("day", &spans).unwrap().as_primitive::<Int64Type>().value(1), 1);
    }

    #[test]
    fn names_of_parts_have_many_spellings() {
        for (written, part) in [("HOURS", "hour"), ("epoch", "epoch"), ("sec", "second"), ("ISODOW", "isodow")] {
            assert_eq!(part_of(Some(&ScalarValue::from(written))).unwrap(), part);
        }
        let error = part_of(Some(&ScalarValue::from("century"))).unwrap_err().to_string();
        assert!(error.contains("the parts are year, isoyear"), "{error}");
    }
}
