//! What rules answer beside what DuckDB answers: the idioms of `fixtures/sql` over the same rows. Every difference has its reason.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::rule::check::from_texts;
use squelch::window::evaluator::Evaluator;
use squelch::window::limits::WindowLimits;

use crate::support::tools::python;
use crate::support::{Rng, root};

const START_MS: i64 = 1_773_446_400_000;

/// One idiom: as a rule and as DuckDB has it.
struct Idiom {
    line: String,
    rule: String,
    duckdb: String,
    within: f64,
    differs: bool,
}

fn idioms() -> Vec<Idiom> {
    let text = std::fs::read_to_string(root().join("fixtures/sql/idioms.txt")).unwrap();
    let (mut section, mut all) = (String::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix("# ") {
            section = title.to_string();
            continue;
        }
        let mut parts = line.split(" -- ");
        let idiom = parts.next().unwrap();
        let (mut other, mut within, mut differs) = (idiom, 1e-9, false);
        for remark in parts {
            match remark.split_once(": ") {
                Some(("duckdb", query)) => other = query,
                Some(("differs", _)) => differs = true,
                _ if remark == "within 1%" => within = 0.0101,
                _ => panic!("what is `{remark}`?"),
            }
        }
        let whole = |idiom: &str| match section.as_str() {
            "conditions on metrics" => format!("SELECT service, count(*) AS value FROM metrics WHERE {idiom} GROUP BY service"),
            "conditions on logs" => format!("SELECT service, count(*) AS value FROM logs WHERE {idiom} GROUP BY service"),
            "texts of logs" => format!("SELECT {idiom} AS t, count(*) AS value FROM logs GROUP BY {idiom}"),
            "numbers of metrics" => format!("SELECT service, {idiom} AS value FROM metrics GROUP BY service"),
            _ => idiom.to_string(),
        };
        all.push(Idiom { line: line.to_string(), rule: whole(idiom), duckdb: whole(other), within, differs });
    }
    all
}

fn rows() -> Vec<String> {
    let mut rng = Rng(7);
    let mut one_of = |choices: &[&'static str]| choices[rng.below(choices.len() as u64) as usize];
    let mut lines = Vec::new();
    for i in 0..160_i64 {
        let (ts, service) = (START_MS + i * 371, one_of(&["s0", "s1", "s2"]));
        let host = one_of(&["null", "\"h0\"", "\"h1\""]);
        let odd = one_of(&["NaN", "inf", "-0", "0", "1.5", "-2.5", "n/a"]);
        let code = one_of(&["200", "404", "500"]);
        let value = (i * 7919 % 1301) as f64 / 8.0 - 40.0;
        lines.push(format!(
            r#"{{"kind":"metric","ts":{ts},"name":"m","value":{value},"service":"{service}","host":{host},"env":"e","labels":{{"odd":"{odd}","code":"{code}"}}}}"#
        ));
        let severity = one_of(&["INFO", "ERROR", "FATAL"]);
        let body = one_of(&[
            "took 12 ms",
            "took 250 ms",
            "a timeout here",
            "timeout",
            "refused",
            "100% done",
            " padded ",
            "fine: ok",
            r#"{\"level\":\"error\",\"ms\":120.5,\"request\":{\"path\":\"/a\"}}"#,
            r#"{\"level\":\"info\",\"ms\":7}"#,
        ]);
        let service = one_of(&["s0", "s1", "s3"]);
        lines.push(format!(
            r#"{{"kind":"log","ts":{},"severity":"{severity}","body":"{body}","service":"{service}","host":{host},"env":"e"}}"#,
            ts + 1
        ));
    }
    lines
}

/// A row: its texts, and its numbers by name.
type Answer = (BTreeMap<String, String>, BTreeMap<String, f64>);

fn of_duckdb(row: &Value) -> Option<Answer> {
    let (mut texts, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    for (name, cell) in row.as_object().unwrap() {
        match cell {
            Value::String(text) if text.parse::<f64>().is_ok_and(f64::is_infinite) => {
                numbers.insert(name.clone(), text.parse().unwrap());
            }
            Value::String(text) => {
                texts.insert(name.clone(), text.clone());
            }
            other => {
                numbers.insert(name.clone(), other.as_f64().unwrap());
            }
        }
    }
    numbers.get("value").is_some_and(|value| value.is_finite()).then_some((texts, numbers))
}

fn sorted(mut answers: Vec<Answer>) -> Vec<Answer> {
    answers.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1["value"].total_cmp(&b.1["value"])));
    answers
}

fn same(a: &[Answer], b: &[Answer], within: f64) -> bool {
    let near = |x: f64, y: f64| x == y || (x - y).abs() <= within * x.abs().max(y.abs()).max(1e-12);
    let numbers = |a: &Answer, b: &Answer| {
        a.1.len() == b.1.len() && a.1.iter().all(|(name, x)| b.1.get(name).is_some_and(|y| near(*x, *y)))
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && numbers(a, b))
}

#[test]
fn idioms_answer_as_duckdb_does_or_say_why_not() {
    let (idioms, lines) = (idioms(), rows());
    assert!(idioms.len() >= 200, "{} idioms", idioms.len());
    let file = |at: usize, idiom: &Idiom| {
        let text = format!("/*---\nrule: r{at:03}\nseverity: info\nwindow: 1m\n---*/\n{}\n", idiom.rule);
        (PathBuf::from(format!("r{at:03}.sql")), Arc::from(text))
    };
    let files = idioms.iter().enumerate().map(|(at, idiom)| file(at, idiom)).collect();
    let loaded = from_texts(files).unwrap_or_else(|report| panic!("{}", report.render(false)));
    let mut decoder = Decoder::new(&loaded.label_keys, i64::MAX);
    lines
        .iter()
        .for_each(|line| decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{line}: {}", bad.reason)));
    let batch = decoder.take();
    let rules = loaded.rules.into_iter().map(Arc::new).collect();
    let mut evaluator = Evaluator::new(rules, WindowLimits::default(), || 0).unwrap();
    evaluator.start(START_MS);
    evaluator.ingest(&batch, [0; squelch::model::event::TABLES], std::array::from_fn(|kind| batch.tables[kind].num_rows()));
    let at = evaluator.next_tick().unwrap();
    assert_eq!((at, evaluator.take_due(at).len()), (START_MS + 60_000, idioms.len()));

    let dir = tempfile::tempdir().unwrap();
    let (rows, queries) = (dir.path().join("rows.jsonl"), dir.path().join("queries.json"));
    std::fs::write(&rows, lines.join("\n")).unwrap();
    let texts: Vec<&str> = idioms.iter().map(|idiom| idiom.duckdb.as_str()).collect();
    std::fs::write(&queries, serde_json::to_vec(&texts).unwrap()).unwrap();
    let done = python().arg(root().join("fixtures/sql/duckdb_answers.py")).arg(&rows).arg(&queries).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let theirs: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();

    let mut wrong = Vec::new();
    for (index, (idiom, theirs)) in idioms.iter().zip(&theirs).enumerate() {
        let breaches = evaluator.evaluate(index, at, i64::MIN).unwrap_or_else(|| panic!("{}: no answer", idiom.line));
        let ours = breaches.iter().map(|breach| -> Answer {
            let texts = breach.labels.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
            let numbers = breach.numbers.iter().cloned().chain([("value".to_string(), breach.value)]).collect();
            (texts, numbers)
        });
        let ours = sorted(ours.collect());
        let Some(rows) = theirs.as_array() else {
            wrong.push(format!("{}\n  DuckDB: {theirs}", idiom.line));
            continue;
        };
        let theirs = sorted(rows.iter().filter_map(of_duckdb).collect());
        if same(&ours, &theirs, idiom.within) == idiom.differs {
            wrong.push(format!("{}\n  rule:   {ours:?}\n  DuckDB: {theirs:?}", idiom.line));
        }
    }
    assert!(wrong.is_empty(), "{} idioms:\n{}", wrong.len(), wrong.join("\n"));
}
