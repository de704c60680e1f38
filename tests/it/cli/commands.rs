//! The command line as a contract: every help text, the exit codes, the summary.

use std::process::{Command, Output};

use crate::support::expect::expect_file;
use crate::support::{binary, root};

fn squelch(args: &[&str]) -> Output {
    Command::new(binary()).current_dir(root()).env("COLUMNS", "100").args(args).output().unwrap()
}

/// A replay with the rules and the topology of the cascade.
fn replay_cascade(more: &[&str]) -> Output {
    let common =
        ["replay", "--rules", "fixtures/scenarios/cascade/rules", "--topology", "fixtures/scenarios/cascade/topology.yaml"];
    squelch(&[&common[..], more].concat())
}

#[test]
fn help_texts() {
    let people = ["ack", "unack", "silence", "maintain", "expire", "note", "owner", "merge", "split", "move", "resolve"];
    let others = [
        "",
        "run",
        "intake",
        "notify",
        "web",
        "route",
        "demo",
        "replay",
        "check",
        "test",
        "explain",
        "signals",
        "backtest",
        "import",
        "import prometheus",
        "new",
        "new rule",
        "schema",
        "completions",
    ];
    for command in others.into_iter().chain(people) {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let done = squelch(&args);
        assert!(done.status.success());
        let name = if command.is_empty() { "squelch".into() } else { command.replace(' ', "_") };
        expect_file(&root().join(format!("tests/it/cli/help/{name}.txt")), &String::from_utf8(done.stdout).unwrap());
    }
}

#[test]
fn exit_codes() {
    for (args, code) in [
        (vec!["check", "rules"], 0),
        (vec!["check", "fixtures/bad_rules"], 1),
        (vec!["check", "no/such/folder"], 2),
        (vec!["check", "rules", "no/such/folder"], 2),
        (vec!["check", "fixtures/bad_rules/no_rules_here"], 1),
        (vec!["test", "fixtures/testing/failing"], 1),
        (vec!["test", "no/such/folder"], 2),
        (vec!["explain", "no_such_rule"], 1),
        (vec!["explain", "host_cpu_high"], 0),
        (vec!["schema", "incident"], 0),
        (vec!["completions", "bash"], 0),
        (vec!["replay", "--rules", "rules", "--events", "no/such/file"], 2),
        (vec!["replay", "--rules", "fixtures/bad_rules", "--events", "Cargo.toml"], 2),
        (vec!["run", "--config", "no/such/file"], 2),
        (vec!["ack", "inc-1", "--by", "ann", "--nats", "nats://127.0.0.1:1"], 2),
        (vec!["silence", "--by", "ann"], 2),
        (vec!["nonsense"], 2),
    ] {
        let done = squelch(&args);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn replay_ends_with_a_summary() {
    let done = replay_cascade(&["--events", "fixtures/scenarios/cascade/events.jsonl"]);
    assert!(done.status.success());
    let said = String::from_utf8(done.stderr).unwrap();
    for word in ["events", "events/s", "rules", "alerts", "incidents", "notifications", "one for"] {
        assert!(said.contains(word), "the summary tells {word}:\n{said}");
    }
    let expected = std::fs::read_to_string(root().join("fixtures/scenarios/cascade/expected.jsonl")).unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), expected);
}

/// The same events in two compressed halves that overlap in time, merged.
#[test]
fn replay_merges_files_by_time_and_inflates_them() {
    let scenario = root().join("fixtures/scenarios/cascade");
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(scenario.join("events.jsonl")).unwrap();
    let (even, odd): (Vec<_>, Vec<_>) = text.lines().enumerate().partition(|(i, _)| i % 2 == 0);
    let join = |lines: Vec<(usize, &str)>| lines.iter().map(|(_, line)| format!("{line}\n")).collect::<String>();
    let gz = std::fs::File::create(dir.path().join("even.jsonl.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(gz, flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, join(even).as_bytes()).unwrap();
    gz.finish().unwrap();
    let zst = zstd::encode_all(join(odd).as_bytes(), 1).unwrap();
    std::fs::write(dir.path().join("odd.jsonl.zst"), zst).unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let done = replay_cascade(&["--events", &path("odd.jsonl.zst"), &path("even.jsonl.gz"), "--output", &path("out.jsonl")]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let expected = std::fs::read_to_string(scenario.join("expected.jsonl")).unwrap();
    assert_eq!(std::fs::read_to_string(path("out.jsonl")).unwrap(), expected);
}

#[test]
fn explain_tells_how_a_rule_is_evaluated_and_why_an_incident_is_one() {
    let done = squelch(&["explain", "http_server_error_rate"]);
    expect_file(&root().join("tests/it/cli/help/explain_rule.expected"), &String::from_utf8(done.stdout).unwrap());
    let output = "fixtures/scenarios/cascade/expected.jsonl";
    let first = std::fs::read_to_string(root().join(output)).unwrap();
    let first: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let done = squelch(&["explain", first["id"].as_str().unwrap(), "--from", output]);
    expect_file(&root().join("tests/it/cli/help/explain_incident.expected"), &String::from_utf8(done.stdout).unwrap());
}
