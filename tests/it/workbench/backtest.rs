//! `squelch backtest`: what other rules would have made of recorded events.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{binary, root};

const RULE: &str = "/*---\nrule: queue_long\nseverity: warning\nwindow: 1m\nentity: service\n---*/\n-- 100 is a minute's work\n\
                    SELECT env, service, max(value) AS value FROM metrics WHERE name = 'queue_length' GROUP BY env, service \
                    HAVING max(value) >= 100\n";
const START: i64 = 1_773_446_400_000;

/// Two queues: one is long early and for long, one a little too long for a while.
fn recording(dir: &Path) -> PathBuf {
    let length = |service: &str, minute: i64| match (service, minute) {
        ("mail", 10..20) => 150,
        ("chat", 30..35) => 105,
        _ => 10,
    };
    let sample = |minute: i64, service: &str| {
        let (ts, value) = (START + minute * 60_000, length(service, minute));
        format!(
            "{{\"kind\":\"metric\",\"ts\":{ts},\"name\":\"queue_length\",\"value\":{value},\"service\":\"{service}\",\"env\":\"production\"}}\n"
        )
    };
    let lines: String = (0..60).flat_map(|minute| ["mail", "chat"].map(|service| sample(minute, service))).collect();
    let path = dir.join("events.jsonl");
    std::fs::write(&path, lines).unwrap();
    path
}

fn rules(dir: &Path, name: &str, text: &str) -> String {
    let folder = dir.join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("queue_long.sql"), text).unwrap();
    folder.display().to_string()
}

fn backtest(args: &[&str]) -> Output {
    Command::new(binary()).current_dir(root()).arg("backtest").args(args).output().unwrap()
}

fn json(done: &Output) -> Value {
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn pages_that_go_and_stay_and_the_first_page_of_each_fault() {
    let dir = tempfile::tempdir().unwrap();
    let events = recording(dir.path()).display().to_string();
    let (old, new) = (rules(dir.path(), "old", RULE), rules(dir.path(), "new", &RULE.replace(">= 100", ">= 120")));
    let faults = dir.path().join("faults.yaml");
    let of = |name: &str, entity: &str, from: &str, to: &str| {
        format!("- {{ name: {name}, entities: [{entity}], from: 2026-03-14T{from}:00Z, to: 2026-03-14T{to}:00Z }}\n")
    };
    let known = of("mail stuck", "mail", "00:10", "00:20") + &of("chat stuck", "chat", "00:30", "00:35");
    std::fs::write(&faults, known).unwrap();
    let faults = faults.display().to_string();
    let common = ["--rules", &new, "--against", &old, "--events", &events, "--faults", &faults];
    let found = json(&backtest(&[&common[..], &["--format", "json"]].concat()));
    let number = |path: &str| found.pointer(path).and_then(Value::as_u64);
    assert_eq!((number("/old/pages"), number("/new/pages"), number("/difference/same")), (Some(2), Some(1), Some(1)), "{found}");
    assert!(found["difference"]["gone"][0]["entities"] == serde_json::json!(["chat"]), "{found}");
    assert_eq!(found["difference"]["come"], serde_json::json!([]));
    let after = |fault: usize, whose: &str| found["faults"][fault][whose].as_f64();
    assert!(after(0, "new_after_seconds").is_some() && after(0, "new_after_seconds") == after(0, "old_after_seconds"), "{found}");
    assert!(after(1, "new_after_seconds").is_none() && after(1, "old_after_seconds").is_some(), "{found}");
    let text = String::from_utf8(backtest(&common).stdout).unwrap();
    assert!(text.contains("Pages that go\n") && text.contains("chat stuck: none (old: after"), "{text}");
}

#[test]
fn a_threshold_as_a_curve_of_pages() {
    let dir = tempfile::tempdir().unwrap();
    let events = recording(dir.path()).display().to_string();
    let rules = rules(dir.path(), "rules", RULE);
    let common = ["--rules", &rules, "--events", &events, "--what-if", "queue_long"];
    let found =
        json(&backtest(&[&common[..], &["--threshold", "100", "--values", "5,100,120,200", "--format", "json"]].concat()));
    let pages: Vec<u64> = found["what_if"].as_array().unwrap().iter().map(|trial| trial["pages"].as_u64().unwrap()).collect();
    assert_eq!(pages, [2, 2, 1, 0], "{found}");
    let missing = backtest(&[&common[..], &["--threshold", "77", "--values", "1"]].concat());
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("77 does not stand in the SQL of queue_long"));
}
