//! Filters of templates that write numbers for people, as those of Prometheus's templates do: `humanize`, `humanize_1024`,
//! `humanize_duration`, `humanize_percentage`.

use minijinja::{Environment, Error, ErrorKind, Value};

/// Adds the filters.
pub(crate) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("humanize", |value: Value| number(&value).map(humanize));
    environment.add_filter("humanize_1024", |value: Value| number(&value).map(humanize_1024));
    environment.add_filter("humanize_duration", |value: Value| number(&value).map(humanize_duration));
    environment
        .add_filter("humanize_percentage", |value: Value| number(&value).map(|share| format!("{}%", four_digits(share * 100.0))));
}

/// A number, or a label that holds one.
fn number(value: &Value) -> Result<f64, Error> {
    let read = f64::try_from(value.clone()).ok().or_else(|| value.as_str()?.trim().parse().ok());
    read.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "only a number can be written for people"))
}

/// Four significant digits, as C's `%.4g`.
fn four_digits(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let exponent = format!("{number:.3e}").split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    if !(-4..4).contains(&exponent) {
        let text = format!("{number:.3e}");
        let (digits, _) = text.split_once('e').unwrap_or((&text, ""));
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(digits), exponent.abs());
    }
    without_zeros(&format!("{number:.*}", (3 - exponent).max(0) as usize)).to_string()
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn scaled(number: f64, base: f64, above: &[&str], below: &[&str]) -> String {
    let (mut scaled, mut prefix) = (number, "");
    if number.abs() >= 1.0 {
        for step in above {
            if scaled.abs() < base {
                break;
            }
            (scaled, prefix) = (scaled / base, *step);
        }
    } else {
        for step in below {
            if scaled.abs() >= 1.0 {
                break;
            }
            (scaled, prefix) = (scaled * base, *step);
        }
    }
    format!("{}{prefix}", four_digits(scaled))
}

fn humanize(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return four_digits(number);
    }
    scaled(number, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"], &["m", "u", "n", "p", "f", "a", "z", "y"])
}

fn humanize_1024(number: f64) -> String {
    if number.abs() <= 1.0 || !number.is_finite() {
        return four_digits(number);
    }
    scaled(number, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"], &[])
}

fn humanize_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return seconds.to_string();
    }
    if seconds == 0.0 {
        return "0s".into();
    }
    if seconds.abs() < 1.0 {
        return format!("{}s", scaled(seconds, 1000.0, &[], &["m", "u", "n", "p", "f", "a", "z", "y"]));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let whole = seconds.abs() as u64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (1.., ..) => format!("{sign}{days}d {hours}h {minutes}m {rest}s"),
        (0, 1.., _) => format!("{sign}{hours}h {minutes}m {rest}s"),
        (0, 0, 1..) => format!("{sign}{minutes}m {rest}s"),
        _ => format!("{sign}{}s", four_digits(seconds.abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected texts are those of Prometheus's own documentation and tests.
    #[test]
    fn numbers_read_as_in_prometheus() {
        for (number, want) in [
            (0.0, "0"),
            (1.0, "1"),
            (1234567.0, "1.235M"),
            (0.12, "120m"),
            (1e-6, "1u"),
            (1048576.0, "1.049M"),
            (999.0, "999"),
            (-1500.0, "-1.5k"),
        ] {
            assert_eq!(humanize(number), want);
        }
        for (number, want) in [(0.0, "0"), (1.0, "1"), (1048576.0, "1Mi"), (0.12, "0.12"), (1500.0, "1.465ki")] {
            assert_eq!(humanize_1024(number), want);
        }
        for (seconds, want) in [
            (0.0, "0s"),
            (1.0, "1s"),
            (60.0, "1m 0s"),
            (3600.0, "1h 0m 0s"),
            (86_400.0, "1d 0h 0m 0s"),
            (0.1, "100ms"),
            (12.34, "12.34s"),
            (-75.0, "-1m 15s"),
        ] {
            assert_eq!(humanize_duration(seconds), want);
        }
        assert_eq!(four_digits(0.1234567 * 100.0), "12.35");
        assert_eq!(four_digits(123456.0), "1.235e+05");
    }
}
