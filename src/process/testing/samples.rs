//! Samples of a series in promtool's notation: `0+10x60`, `1x5`, `_`, `stale`. What is between two samples, and when they are, is for
//! others.

use serde_json::Value;

use crate::model::diagnostic::yaml_tree::Node;
use crate::model::limits::TEST_SAMPLES_MAX;

/// The notation as it is written: YAML takes `0x5` for a number in base sixteen.
pub(crate) fn as_written(node: &Node, text: &str) -> Option<String> {
    match node.scalar()? {
        Value::String(samples) => Some(samples.clone()),
        _ => text.get(node.span.clone()).map(|written| written.trim().to_string()),
    }
}

/// The samples in order; `None` where one is left out.
pub(crate) fn parse(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut samples = Vec::new();
    for item in text.split_whitespace() {
        push(item, &mut samples)?;
        if samples.len() > TEST_SAMPLES_MAX {
            return Err(format!("more than {TEST_SAMPLES_MAX} samples in one series"));
        }
    }
    Ok(samples)
}

fn push(item: &str, samples: &mut Vec<Option<f64>>) -> Result<(), String> {
    if item.starts_with("{{") {
        return Err("native histograms have no notation here: write their buckets as classic series with `le`".into());
    }
    let (body, times) = match item.split_once('x') {
        Some((body, times)) => {
            (body, times.parse::<usize>().map_err(|_| format!("`{item}`: {times:?} is no number of repeats"))?)
        }
        None => (item, 0),
    };
    if times >= TEST_SAMPLES_MAX {
        return Err(format!("`{item}`: more than {TEST_SAMPLES_MAX} samples in one series"));
    }
    if body == "_" {
        samples.extend(std::iter::repeat_n(None, times.max(1)));
        return Ok(());
    }
    if body == "stale" && times == 0 {
        samples.push(None);
        return Ok(());
    }
    let (first, step) = split_step(body);
    let first = number(item, first)?;
    let step = step.map_or(Ok(0.0), |step| number(item, step))?;
    // As in promtool, `1x5` are six samples: the first, and five more.
    samples.extend((0..=times).map(|i| Some(first + step * i as f64).filter(|value| !value.is_nan())));
    Ok(())
}

/// `0` and `+10` of `0+10`. A sign at the start or behind an `e` belongs to a number.
fn split_step(body: &str) -> (&str, Option<&str>) {
    let bytes = body.as_bytes();
    let at = (1..bytes.len()).find(|at| matches!(bytes[*at], b'+' | b'-') && !matches!(bytes[at - 1], b'e' | b'E'));
    at.map_or((body, None), |at| (&body[..at], Some(&body[at..])))
}

fn number(item: &str, text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{item}` is no sample"))?;
    if number.is_infinite() { Err(format!("`{item}`: an infinite value is rejected on its way in")) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn shown(text: &str) -> String {
        let show = |sample: Option<f64>| sample.map_or("_".to_string(), |value| value.to_string());
        parse(text).map_or_else(|error| error, |samples| samples.into_iter().map(show).collect::<Vec<_>>().join(" "))
    }

    /// The examples of promtool's own documentation are among them.
    #[test]
    fn samples_are_those_of_promtool() {
        for (text, want) in [
            ("1x5", "1 1 1 1 1 1"),
            ("-2+4x3", "-2 2 6 10"),
            ("1-2x4", "1 -1 -3 -5 -7"),
            ("1 _x3 5 stale", "1 _ _ _ 5 _"),
            ("0+10x2 0+10x1", "0 10 20 0 10"),
            ("1e3-1e2x2", "1000 900 800"),
            ("1e-1", "0.1"),
            ("NaN 1", "_ 1"),
            ("", ""),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_sample_is_named() {
        for (text, want) in [
            ("1 two", "`two` is no sample"),
            ("1xmany", "`1xmany`: \"many\" is no number of repeats"),
            ("Inf", "infinite"),
            ("{{schema:1}}", "native histograms"),
            ("0+1x99999999", "more than"),
        ] {
            assert!(shown(text).contains(want), "{text}: {}", shown(text));
        }
    }
}
