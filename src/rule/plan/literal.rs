//! Texts in a rule that stand for a time, a number or a truth value: `ts >= '2026-03-14 05:00'`. One that cannot be read is an error of the
//! rule. As null, which a label would be that cannot be read, it would make a condition that no event ever fulfils.

use std::sync::LazyLock;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;
use regex::Regex;

/// As PostgreSQL takes it: without seconds, and with months and days of one digit.
static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(\d{4})-(\d{1,2})-(\d{1,2})(?:[ Tt](\d{1,2}):(\d{2})(:\d{2}(?:\.\d+)?)?)?\s*([Zz]|[+-]\d{2}(?::?\d{2})?)?$")
        .ok()
});

/// What the text stands for, where it must be written in another way for the planner to read it.
///
/// # Errors
///
/// It stands for nothing.
pub(super) fn read(expr: &Expr, to: &DataType) -> Result<Option<ScalarValue>> {
    let Expr::Literal(value, _) = expr else { return Ok(None) };
    let Some(Some(text)) = value.try_as_str() else { return Ok(None) };
    let (what, example) = match to {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => ("a time", "'2026-03-14 05:00:00'"),
        DataType::Interval(_) | DataType::Duration(_) => ("a duration", "INTERVAL '5 minutes'"),
        DataType::Boolean => ("a truth value", "true or false"),
        kind if kind.is_numeric() => ("a number", "it without quotes"),
        _ => return Ok(None),
    };
    // Not a number is no number, and null.
    if text.trim().trim_start_matches(['+', '-']).eq_ignore_ascii_case("nan") || value.cast_to(to).is_ok() {
        return Ok(None);
    }
    match postgres_time(text).and_then(|text| ScalarValue::from(text).cast_to(to).ok()) {
        Some(value) if what == "a time" => Ok(Some(value)),
        _ => plan_err!("`{text}` cannot be read as {what}: write {example}"),
    }
}

fn postgres_time(text: &str) -> Option<String> {
    let found = TIME.as_ref()?.captures(text.trim())?;
    let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
    let clock = |at: usize| if part(at).is_empty() { "00" } else { part(at) };
    let seconds = if part(6).is_empty() { ":00" } else { part(6) };
    Some(format!("{}-{:0>2}-{:0>2} {:0>2}:{}{seconds}{}", part(1), part(2), part(3), clock(4), clock(5), part(7)))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;
    use datafusion::logical_expr::lit;

    use super::*;

    #[test]
    fn times_are_read_as_postgresql_reads_them() {
        let to = DataType::Timestamp(TimeUnit::Millisecond, None);
        let as_seconds = |text: &str| read(&lit(text), &to).map(|value| value.map(|value| value.to_string()));
        let written = |text: &str| ScalarValue::from(text).cast_to(&to).map(|value| Some(value.to_string()));
        for (text, plain) in [
            ("2026-03-14 05:00", "2026-03-14 05:00:00"),
            ("2026-3-1", "2026-03-01 00:00:00"),
            ("2026-03-14T5:00", "2026-03-14 05:00:00"),
            ("2026-03-14 05:00+02", "2026-03-14 03:00:00"),
        ] {
            assert_eq!(as_seconds(text).unwrap(), written(plain).unwrap(), "{text}");
        }
        // What the planner reads by itself stays as it is.
        assert_eq!(as_seconds("2026-03-14 05:00:00").unwrap(), None);
        for wrong in ["tomorrow", "2026-13-14 05:00:00", "2026-02-30", "", "2026-03-14 25:00"] {
            let error = as_seconds(wrong).unwrap_err().strip_backtrace();
            assert!(error.contains(&format!("`{wrong}` cannot be read as a time")), "{error}");
        }
    }

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(read(&lit("12.5"), &DataType::Float64).unwrap(), None);
        assert_eq!(read(&lit("NaN"), &DataType::Float64).unwrap(), None);
        assert!(read(&lit("high"), &DataType::Float64).is_err());
        assert!(read(&lit("12.5"), &DataType::Int64).is_err());
        assert!(read(&lit("maybe"), &DataType::Boolean).is_err());
    }
}
