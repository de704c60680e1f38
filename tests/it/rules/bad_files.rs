//! Bad files and the errors they must produce: every case in `fixtures/bad_*` with its expected text.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::expect::expect_file;
use crate::support::{binary, root};

/// The cases of a folder: every file and folder that is no expectation.
fn cases(folder: &str) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(root().join(folder)).expect("the fixtures exist").map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_none_or(|extension| extension != "expected" && extension != "md"));
    all.sort();
    assert!(all.len() >= 3, "{folder} holds cases");
    all
}

fn expected(case: &Path) -> PathBuf {
    case.with_extension("expected")
}

#[test]
fn check_says_what_is_wrong_with_each_bad_rule() {
    for case in cases("fixtures/bad_rules") {
        let name = case.file_name().unwrap();
        let mut command = Command::new(binary());
        command.current_dir(root().join("fixtures/bad_rules")).arg("check").arg(name);
        if case.join("lookups").exists() {
            command.arg("--lookups").arg(Path::new(name).join("lookups"));
        }
        let done = command.output().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert_eq!(done.status.code(), Some(1), "{name:?}: {said}");
        expect_file(&expected(&case), &said);
    }
}

fn replay_says(folder: &str, flag: &str) {
    for case in cases(folder) {
        let name = case.file_name().unwrap();
        let scenario = root().join("fixtures/scenarios/cascade");
        let mut command = Command::new(binary());
        command.current_dir(root().join(folder)).args(["replay", "--rules"]).arg(scenario.join("rules"));
        let done = command.arg("--events").arg(scenario.join("events.jsonl")).arg(flag).arg(name).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{name:?}: {said}");
        expect_file(&expected(&case), &said);
    }
}

#[test]
fn a_bad_configuration_names_place_and_fix() {
    replay_says("fixtures/bad_config", "--config");
}

#[test]
fn a_bad_topology_names_place_and_fix() {
    replay_says("fixtures/bad_topology", "--topology");
}

/// What a replay of these events says to the person, and what it makes of them.
fn replayed_of(lines: &[String]) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let rule = "/*---\nrule: high\nseverity: warning\nwindow: 10s\n---*/\nSELECT service, max(value) AS value FROM metrics \
                GROUP BY service HAVING value > 5\n";
    std::fs::write(dir.path().join("high.sql"), rule).unwrap();
    std::fs::write(dir.path().join("events.jsonl"), lines.join("\n")).unwrap();
    let mut command = Command::new(binary());
    command.current_dir(dir.path()).args(["replay", "--rules", "high.sql", "--events", "events.jsonl"]);
    let done = command.output().unwrap();
    let (said, told) = (String::from_utf8(done.stderr).unwrap(), String::from_utf8(done.stdout).unwrap());
    assert_eq!(done.status.code(), Some(0), "{said}");
    (said, told)
}

fn sample(ts: i64, value: u32) -> String {
    format!(r#"{{"kind":"metric","ts":{ts},"name":"m","value":{value},"service":"web"}}"#)
}

/// A time in the year 9999 among good ones would move all windows there, tick by tick.
#[test]
fn a_time_that_is_wrong_does_not_move_a_replay() {
    let start = 1_773_446_400_000;
    let wrong = sample(253_402_300_799_999, 9);
    let (said, told) = replayed_of(&[sample(start, 1), wrong, sample(start + 20_000, 9), sample(start + 40_000, 1)]);
    let why = "events.jsonl:2: `ts` 9999-12-31T23:59:59.999Z lies far ahead of the events around it";
    assert!(said.contains(why) && said.contains("(future 1)"), "{said}");
    assert!(told.contains("2026-03-14T00:00:30Z") && !told.contains("9999"), "{told}");
}

/// Whether the first one is years too early or too late: the others are believed.
#[test]
fn a_first_time_that_is_wrong_does_not_hide_a_replay() {
    let start = 1_773_446_400_000;
    for (first, rejected) in [(start - 3 * 366 * 86_400_000, false), (start + 366 * 86_400_000, true)] {
        let mut lines = vec![sample(first, 1)];
        lines.extend((0..150).map(|second| sample(start + second * 1_000, if second >= 120 { 9 } else { 1 })));
        let (said, told) = replayed_of(&lines);
        assert_eq!(said.contains("events.jsonl:1: ") && said.contains("(future 1)"), rejected, "{said}");
        assert!(told.contains("2026-03-14T00:02:10Z"), "{told}");
    }
}
