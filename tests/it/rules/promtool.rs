//! Functions over series beside Prometheus's: `promtool test rules` computes the same figures of the same samples, to the last digit.

use std::fmt::Write;

use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::rule::check::from_texts;
use squelch::rule::definition::output_columns::Breach;
use squelch::window::evaluator::Evaluator;
use squelch::window::limits::WindowLimits;

use crate::support::Rng;
use crate::support::tools::program;

const START_MS: i64 = 1_773_446_400_000;
const INTERVAL_S: i64 = 15;
const WINDOW_S: i64 = 300;

/// A column of the query, and the same in PromQL. The sums are of one series each, as PromQL adds in another order.
const FIGURES: [(&str, &str); 9] = [
    ("increase(value, 'prometheus')", "increase(m[5m])"),
    ("rate(value, 'prometheus')", "rate(m[5m])"),
    ("delta(value, 'prometheus')", "delta(m[5m])"),
    ("resets(value)", "resets(m[5m])"),
    ("last(value)", "last_over_time(m[5m])"),
    ("count(*)", "count_over_time(m[5m])"),
    ("max(value)", "max_over_time(m[5m])"),
    ("round(deriv(value) * 1e6)", "round(deriv(m[5m]) * 1e6)"),
    ("round(predict(value, 3600) * 1e3)", "round(predict_linear(m[5m], 3600) * 1e3)"),
];

/// The samples of one series, with gaps: `None` where a sample is missing.
fn series(rng: &mut Rng, name: &str) -> Vec<Option<i64>> {
    let mut value = rng.below(1000) as i64;
    let mut samples: Vec<Option<i64>> = (0..80)
        .map(|_| {
            match rng.below(20) {
                0 => value = rng.below(5) as i64,
                1 => return None,
                _ => value += rng.below(40) as i64,
            }
            Some(value)
        })
        .collect();
    match name {
        "late" => samples[..35].fill(None),
        "gone" => samples[45..].fill(None),
        "from_zero" => (samples[30], samples[31]) = (Some(0), Some(1)),
        "rare" => samples.iter_mut().enumerate().filter(|(at, _)| at % 6 != 0).for_each(|(_, sample)| *sample = None),
        _ => {}
    }
    samples
}

const SERIES: [&str; 6] = ["plain", "late", "gone", "from_zero", "rare", "other"];

/// What a rule answers at some instants beside what promtool expects of it.
struct Comparison {
    decoder: Decoder,
    evaluator: Evaluator,
    test: String,
}

impl Comparison {
    fn new(query: &str) -> Self {
        let rule = format!("/*---\nrule: figures\nseverity: info\nwindow: {WINDOW_S}s\nevery: 1s\n---*/\n{query}");
        let book = from_texts(vec![("figures.sql".into(), rule.into())]).unwrap_or_else(|report| panic!("{report}"));
        let decoder = Decoder::new(&book.label_keys, i64::MAX);
        let rules = book.rules.into_iter().map(std::sync::Arc::new).collect();
        let mut evaluator = Evaluator::new(rules, WindowLimits::default(), || 0).unwrap();
        evaluator.start(START_MS);
        let test = format!("rule_files: []\nevaluation_interval: 1s\ntests:\n- interval: {INTERVAL_S}s\n  input_series:\n");
        Self { decoder, evaluator, test }
    }

    /// Adds a series of both: the metric, its labels, its samples.
    fn add(&mut self, metric: &str, labels: &[(&str, &str)], samples: &[Option<i64>]) {
        let json: Vec<String> = labels.iter().map(|(key, value)| format!(r#""{key}":"{value}""#)).collect();
        for (at, value) in samples.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?))) {
            let (ts, labels) = (START_MS + at as i64 * INTERVAL_S * 1000, json.join(","));
            let line = format!(r#"{{"kind":"metric","ts":{ts},"name":"{metric}","value":{value},"labels":{{{labels}}}}}"#);
            self.decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        }
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let values: Vec<String> = samples.iter().map(|value| value.map_or("_".into(), |value| value.to_string())).collect();
        writeln!(self.test, "  - {{series: '{metric}{{{}}}', values: '{}'}}", labels.join(","), values.join(" ")).unwrap();
    }

    /// The breaches at some instants, each with its second after the start. Where a sample lies on a bound of the window, Prometheus takes
    /// one that is not in it here.
    fn evaluated(&mut self) -> Vec<(i64, Vec<Breach>)> {
        let batch = self.decoder.take();
        self.evaluator.ingest(
            &batch,
            [0; squelch::model::event::TABLES],
            std::array::from_fn(|kind| batch.tables[kind].num_rows()),
        );
        self.test.push_str("  promql_expr_test:\n");
        let mut all = Vec::new();
        while let Some(at) = self.evaluator.next_tick().filter(|at| *at <= START_MS + 1_200_000) {
            self.evaluator.take_due(at);
            let second = (at - START_MS) / 1000;
            if second % 97 == 3 && second % INTERVAL_S != 0 {
                all.push((second, self.evaluator.evaluate(0, at, i64::MIN).unwrap()));
            }
        }
        all
    }

    fn expect(&mut self, promql: &str, second: i64, samples: &[(String, f64)]) {
        writeln!(self.test, "  - expr: '{promql}'\n    eval_time: {second}s\n    exp_samples:").unwrap();
        for (labels, value) in samples {
            writeln!(self.test, "    - {{labels: '{labels}', value: {value:?}}}").unwrap();
        }
    }

    fn passes(&self) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("figures.yaml");
        std::fs::write(&path, &self.test).unwrap();
        let output = program("promtool").args(["test", "rules"]).arg(&path).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}", report.chars().take(4000).collect::<String>());
    }
}

#[test]
fn quantiles_of_histograms_are_prometheus_own() {
    const BOUNDS: [&str; 5] = ["0.1", "0.25", "0.5", "1", "+Inf"];
    let mut comparison = Comparison::new(
        "SELECT round(histogram_quantile(0.9, labels['le'], value) * 1e9) AS p90, round(histogram_quantile(0.3, labels['le'], value) * 1e9) AS p30, \
         1 AS value FROM metrics WHERE name = 'b'",
    );
    let mut rng = Rng(5);
    for pod in ["x", "y"] {
        let mut counts = [10_000_i64; BOUNDS.len()];
        let samples: Vec<[i64; BOUNDS.len()]> = (0..80)
            .map(|_| {
                let mut below = 0;
                for count in &mut counts {
                    below += rng.below(12) as i64;
                    *count += below;
                }
                counts
            })
            .collect();
        for (at, bound) in BOUNDS.into_iter().enumerate() {
            let column: Vec<Option<i64>> = samples.iter().map(|row| Some(row[at])).collect();
            comparison.add("b", &[("le", bound), ("pod", pod)], &column);
        }
    }
    let mut compared = 0;
    for (second, breaches) in comparison.evaluated() {
        for (column, quantile) in [("p90", 0.9), ("p30", 0.3)] {
            let numbers = breaches.iter().flat_map(|breach| &breach.numbers);
            let answers: Vec<(String, f64)> =
                numbers.filter(|(name, _)| name == column).map(|(_, it)| ("{}".into(), *it)).collect();
            compared += answers.len();
            let promql = format!("round(histogram_quantile({quantile}, sum by (le) (increase(b[5m]))) * 1e9)");
            comparison.expect(&promql, second, &answers);
        }
    }
    assert!(compared > 15, "{compared} figures are compared");
    comparison.passes();
}

#[test]
fn figures_are_prometheus_own() {
    let mut rng = Rng(11);
    let columns: String = FIGURES.iter().enumerate().map(|(at, (ours, _))| format!(", {ours} AS f{at}")).collect();
    let mut comparison = Comparison::new(&format!(
        "SELECT labels['of'] AS of, 1 AS value{columns} FROM metrics WHERE name = 'm' GROUP BY labels['of']"
    ));
    for name in SERIES {
        comparison.add("m", &[("of", name)], &series(&mut rng, name));
    }
    let mut compared = 0;
    for (second, breaches) in comparison.evaluated() {
        for (figure, (_, promql)) in FIGURES.iter().enumerate() {
            let name = if promql.starts_with("last") { "m" } else { "" };
            let column = format!("f{figure}");
            let answer = |breach: &Breach| {
                let (_, value) = breach.numbers.iter().find(|(name, _)| *name == column)?;
                Some((format!("{name}{{of=\"{}\"}}", breach.labels.get("of")?), *value))
            };
            let answers: Vec<(String, f64)> = breaches.iter().filter_map(answer).collect();
            compared += answers.len();
            comparison.expect(promql, second, &answers);
        }
    }
    assert!(compared > 300, "{compared} figures are compared");
    comparison.passes();
}
