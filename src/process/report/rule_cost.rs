//! What a rule has done and cost in a process that runs, read from that process's metrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The section of `explain` about `rule`; `None` where the metrics know no such rule. `metrics` is the text of `/metrics`.
pub(crate) fn so_far(metrics: &str, rule: &str) -> Option<String> {
    let samples: Vec<Sample<'_>> = metrics.lines().filter_map(Sample::read).collect();
    let mine: Vec<&Sample<'_>> = samples.iter().filter(|sample| sample.labels.get("rule") == Some(&rule)).collect();
    let of = |name: &str| mine.iter().find(|sample| sample.name == name).map(|sample| sample.value);
    let rows = of("squelch_rule_rows_total")?;
    let (ticks, seconds) = (of("squelch_rule_evaluations_total")?, of("squelch_rule_cpu_seconds_total")?);
    let all: f64 =
        samples.iter().filter(|sample| sample.name == "squelch_rule_cpu_seconds_total").map(|sample| sample.value).sum();
    let mut text = String::from("\nso far, as the running process says:\n");
    let mut line = |name: &str, value: String| writeln!(text, "  {name:<12} {value}").is_ok();
    line("rows", format!("{rows} passed its filters"));
    line("evaluations", format!("{ticks}, {} of them failed", of("squelch_rule_errors_total").unwrap_or(0.0)));
    line("breaches", of("squelch_rule_breaches_total").unwrap_or(0.0).to_string());
    let mut cost = format!("{seconds:.3} s of a core");
    if all > 0.0 {
        write!(cost, ", {:.1}% of what all rules took", seconds / all * 100.0).ok()?;
    }
    if ticks > 0.0 {
        write!(cost, "; {:.3} ms an evaluation, with the rows before it", seconds / ticks * 1000.0).ok()?;
    }
    line("cost", cost);
    for sample in mine.iter().filter(|sample| sample.name == "squelch_rule_dropped_total" && sample.value > 0.0) {
        line("dropped", format!("{} for {}", sample.value, sample.labels.get("reason").unwrap_or(&"no reason")));
    }
    if let Some(rests) = mine.iter().find(|sample| sample.name == "squelch_rule_quarantined" && sample.value > 0.0) {
        line("rests", format!("it broke a limit: {}", rests.labels.get("reason").unwrap_or(&"")));
    }
    Some(text)
}

/// A sample of the text format. Rule names are plain words, so that no value of interest holds an escape.
struct Sample<'a> {
    name: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    value: f64,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (name, rest) = line.split_once('{')?;
        let (labels, value) = rest.rsplit_once("} ")?;
        let labels = labels.split("\",").filter_map(|label| label.trim_end_matches('"').split_once("=\""));
        Some(Self { name, labels: labels.collect(), value: value.split(' ').next()?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::so_far;

    const METRICS: &str = "# TYPE squelch_rule_rows counter\n\
        squelch_rule_rows_total{rule=\"a\"} 10\nsquelch_rule_rows_total{rule=\"b\"} 7\n\
        squelch_rule_evaluations_total{rule=\"a\"} 4\nsquelch_rule_evaluations_total{rule=\"b\"} 0\n\
        squelch_rule_cpu_seconds_total{rule=\"a\"} 0.02\nsquelch_rule_cpu_seconds_total{rule=\"b\"} 0.06\n\
        squelch_rule_dropped_total{rule=\"a\",reason=\"late\"} 3\nsquelch_rule_dropped_total{rule=\"a\",reason=\"overflow\"} 0\n\
        squelch_rule_quarantined{rule=\"b\",reason=\"limits.cpu_share, really\"} 1\n# EOF\n";

    #[test]
    fn a_rule_is_told_by_its_own_samples() {
        let a = so_far(METRICS, "a").unwrap();
        assert!(
            a.contains("rows         10 passed") && a.contains("0.020 s of a core, 25.0% of what all rules took; 5.000 ms"),
            "{a}"
        );
        assert!(a.contains("dropped      3 for late") && !a.contains("overflow") && !a.contains("rests"), "{a}");
        let b = so_far(METRICS, "b").unwrap();
        assert!(b.contains("rests        it broke a limit: limits.cpu_share, really") && !b.contains("ms an"), "{b}");
        assert_eq!(so_far(METRICS, "c"), None);
    }
}
