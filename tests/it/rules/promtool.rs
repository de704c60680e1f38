//! Functions over series beside Prometheus's: `promtool test rules` computes the same figures of the same samples, to the last digit.

use std::fmt::Write;

use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::rule::check::from_texts;
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

#[test]
fn figures_are_prometheus_own() {
    let mut rng = Rng(11);
    let all: Vec<(&str, Vec<Option<i64>>)> = SERIES.into_iter().map(|name| (name, series(&mut rng, name))).collect();
    let columns: String = FIGURES.iter().enumerate().map(|(at, (ours, _))| format!(", {ours} AS f{at}")).collect();
    let rule = format!(
        "/*---\nrule: figures\nseverity: info\nwindow: {WINDOW_S}s\nevery: 1s\n---*/\n\
         SELECT labels['of'] AS of, 1 AS value{columns} FROM metrics WHERE name = 'm' GROUP BY labels['of']"
    );
    let book = from_texts(vec![("figures.sql".into(), rule.into())]).unwrap_or_else(|report| panic!("{report}"));
    let mut decoder = Decoder::new(&book.label_keys, i64::MAX);
    for (name, samples) in &all {
        for (at, value) in samples.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?))) {
            let ts = START_MS + at as i64 * INTERVAL_S * 1000;
            let line = format!(r#"{{"kind":"metric","ts":{ts},"name":"m","value":{value},"labels":{{"of":"{name}"}}}}"#);
            decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        }
    }
    let batch = decoder.take();
    let rules = book.rules.into_iter().map(std::sync::Arc::new).collect();
    let mut evaluator = Evaluator::new(rules, WindowLimits::default(), || 0).unwrap();
    evaluator.start(START_MS);
    evaluator.ingest(&batch, [0; squelch::model::event::TABLES], std::array::from_fn(|kind| batch.tables[kind].num_rows()));
    let mut test = format!("rule_files: []\nevaluation_interval: 1s\ntests:\n- interval: {INTERVAL_S}s\n  input_series:\n");
    for (name, samples) in &all {
        let values: Vec<String> = samples.iter().map(|value| value.map_or("_".into(), |value| value.to_string())).collect();
        writeln!(test, "  - {{series: 'm{{of=\"{name}\"}}', values: '{}'}}", values.join(" ")).unwrap();
    }
    test.push_str("  promql_expr_test:\n");
    let mut compared = 0;
    while let Some(at) = evaluator.next_tick().filter(|at| *at <= START_MS + 1_200_000) {
        evaluator.take_due(at);
        let second = (at - START_MS) / 1000;
        // Where a sample lies on a bound of the window, Prometheus takes one that is not in it here.
        if second % 97 != 3 || second % INTERVAL_S == 0 {
            continue;
        }
        let breaches = evaluator.evaluate(0, at, i64::MIN).unwrap();
        for (figure, (_, promql)) in FIGURES.iter().enumerate() {
            writeln!(test, "  - expr: '{promql}'\n    eval_time: {second}s\n    exp_samples:").unwrap();
            for breach in &breaches {
                let Some((_, value)) = breach.numbers.iter().find(|(name, _)| *name == format!("f{figure}")) else { continue };
                let name = if promql.starts_with("last") { "m" } else { "" };
                let of = breach.labels.get("of").unwrap();
                writeln!(test, "    - {{labels: '{name}{{of=\"{of}\"}}', value: {value:?}}}").unwrap();
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared} figures are compared");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("figures.yaml");
    std::fs::write(&path, test).unwrap();
    let output = program("promtool").args(["test", "rules"]).arg(&path).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", report.chars().take(4000).collect::<String>());
}
