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
        let done = Command::new(binary()).current_dir(root().join("fixtures/bad_rules")).arg("check").arg(name).output().unwrap();
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
