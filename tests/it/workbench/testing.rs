//! `squelch test`: what passes, what fails and how that reads, and what is wrong with a file of tests.

use std::path::Path;
use std::process::{Command, Output};

use squelch::demo::{SEED, record};

use crate::support::expect::expect_file;
use crate::support::{binary, root};

fn test_in(folder: &Path, args: &[&str]) -> Output {
    Command::new(binary()).current_dir(folder).arg("test").args(args).output().unwrap()
}

/// Standard output without the time that it took.
fn said(done: &Output) -> String {
    let text = String::from_utf8(done.stdout.clone()).unwrap();
    let (head, tail) = text.rsplit_once(" in ").unwrap_or_else(|| panic!("no totals in {text:?}"));
    assert!(tail.ends_with(" s\n"), "{tail}");
    format!("{head}\n")
}

#[test]
fn the_shipped_rules_pass_their_tests() {
    let done = test_in(&root(), &["rules"]);
    assert_eq!(done.status.code(), Some(0), "{}{}", said(&done), String::from_utf8_lossy(&done.stderr));
    assert!(!said(&done).starts_with("0 tests"), "there are tests");
}

#[test]
fn the_packs_pass_their_tests() {
    let done = test_in(&root(), &["packs"]);
    assert_eq!(done.status.code(), Some(0), "{}{}", said(&done), String::from_utf8_lossy(&done.stderr));
    // Each rule of these packs is named by a test.
    for pack in ["linux", "kubernetes", "postgresql", "redis", "nginx", "jvm", "nats", "opentelemetry", "squelch"] {
        let folder = root().join("packs").join(pack);
        let tests = std::fs::read_to_string(folder.join(format!("tests/{pack}.yaml"))).unwrap();
        for path in squelch::rule::definition::file::find(&folder).unwrap() {
            let rule = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(tests.contains(&format!("rule: {rule}")), "{rule} has a test");
        }
    }
}

#[test]
fn a_new_rule_passes_its_test() {
    let dir = tempfile::tempdir().unwrap();
    let new = || Command::new(binary()).current_dir(dir.path()).args(["new", "rule", "queue_long"]).output().unwrap();
    assert_eq!(new().status.code(), Some(0));
    let done = test_in(dir.path(), &["rules"]);
    assert_eq!(said(&done), "1 test\n", "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(new().status.code(), Some(2), "nothing is written over");
}

#[test]
fn failures_read_as_a_difference_and_as_junit() {
    let (folder, dir) = (root().join("fixtures/testing/failing"), tempfile::tempdir().unwrap());
    let junit = dir.path().join("junit.xml");
    let done = test_in(&folder, &[".", "--junit", junit.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    expect_file(&root().join("fixtures/testing/failing.expected"), &said(&done));
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains("tests=\"3\" failures=\"2\""), "{xml}");
    assert!(xml.contains("name=\"this one passes\"") && xml.matches("<failure ").count() == 2, "{xml}");
}

/// The rule fires one evaluation after its fifth minute begins, at the same instants as in Prometheus.
#[test]
fn files_of_promtool_are_read_and_what_needs_promql_is_reported() {
    let done = test_in(&root().join("fixtures/testing/promtool"), &["."]);
    assert_eq!(done.status.code(), Some(0), "{}{}", said(&done), String::from_utf8_lossy(&done.stderr));
    assert!(said(&done).contains("not run: ./host_test.yaml: group 1: 1 of `promql_expr_test`"), "{}", said(&done));
}

#[test]
fn every_error_of_a_test_file_has_its_place_and_a_hint() {
    let folder = root().join("fixtures/testing/bad");
    let mut cases: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    assert!(cases.len() >= 7);
    for case in cases {
        let done = test_in(&folder, &[case.file_name().unwrap().to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(2), "{case:?}");
        expect_file(&case.with_extension("expected"), &String::from_utf8(done.stderr).unwrap());
    }
}

#[test]
fn files_beside_a_bad_one_are_run_all_the_same() {
    let done = test_in(&root().join("fixtures/testing"), &["bad/text.yaml", "failing"]);
    assert_eq!(done.status.code(), Some(2));
    assert!(said(&done).ends_with("3 tests, 2 failed\n"), "{}", said(&done));
}

#[test]
fn where_there_are_no_tests_nothing_passes() {
    let dir = tempfile::tempdir().unwrap();
    let done = test_in(dir.path(), &["."]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8(done.stderr).unwrap().contains("no tests in ."));
}

#[test]
fn the_night_of_the_demo_is_a_test() {
    let (dir, recording) = (tempfile::tempdir().unwrap(), record(SEED));
    std::fs::write(dir.path().join("demo.jsonl"), recording.events).unwrap();
    std::fs::write(dir.path().join("topology.yaml"), recording.topology_yaml).unwrap();
    let test = std::fs::read_to_string(root().join("fixtures/testing/demo/demo_test.yaml")).unwrap();
    let test = test.replace("RULES", root().join("rules").to_str().unwrap());
    std::fs::write(dir.path().join("demo_test.yaml"), test).unwrap();
    let done = test_in(dir.path(), &["."]);
    assert_eq!(done.status.code(), Some(0), "{}{}", said(&done), String::from_utf8_lossy(&done.stderr));
}
