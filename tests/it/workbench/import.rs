//! `squelch import prometheus`: the imported rules fire as promtool says the originals do, and what has no counterpart is refused.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::expect::expect_file;
use crate::support::{binary, root};

fn squelch(folder: &Path, args: &[&str]) -> Output {
    Command::new(binary()).current_dir(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn fixtures() -> std::path::PathBuf {
    root().join("fixtures/import/prometheus")
}

/// Imports a file of the fixtures into `dir`.
fn import(file: &str, dir: &Path) -> Output {
    // What the series of the tests have besides the labels that the rules name.
    let labels = ["cluster", "fstype", "code", "queue"].map(|label| ["--label", label]).concat();
    squelch(&fixtures(), &[&["import", "prometheus", file, "--output", dir.to_str().unwrap()][..], &labels].concat())
}

/// promtool is in Debian's package `prometheus`; `scripts/test-tools` lists it.
fn promtool_agrees() {
    let done = Command::new("promtool").current_dir(fixtures()).args(["test", "rules", "shapes_test.yaml"]).output();
    let done = done.expect("promtool is installed: see scripts/test-tools");
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
}

#[test]
fn imported_rules_fire_when_promtool_says_that_the_originals_do() {
    promtool_agrees();
    let dir = tempfile::tempdir().unwrap();
    let done = import("shapes.rules.yaml", dir.path());
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    std::fs::copy(fixtures().join("shapes_test.yaml"), dir.path().join("shapes_test.yaml")).unwrap();
    let done = squelch(dir.path(), &["check", "."]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stdout));
    let done = squelch(dir.path(), &["test", "."]);
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    // The original, what is not quite the same, and how the query reads.
    let written = std::fs::read_to_string(dir.path().join("requests/ErrorRateHigh.sql")).unwrap();
    expect_file(&fixtures().join("ErrorRateHigh.expected"), &written);
    let test = std::fs::read_to_string(dir.path().join("requests/tests/RestartsOften.yaml")).unwrap();
    expect_file(&fixtures().join("RestartsOften.expected"), &test);
}

#[test]
fn what_cannot_be_the_same_is_refused_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let done = import("refused.rules.yaml", dir.path());
    assert_eq!(done.status.code(), Some(1));
    expect_file(&fixtures().join("refused.expected"), &text(&done.stderr));
    let made: Vec<_> = std::fs::read_dir(dir.path().join("refused")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(made.contains(&"Fine.sql".into()) && !made.contains(&"TopK.sql".into()), "{made:?}");
    let written = std::fs::read_to_string(dir.path().join("refused/Fine.sql")).unwrap();
    expect_file(&fixtures().join("Fine.expected"), &written);
    assert_eq!(squelch(dir.path(), &["test", "."]).status.code(), Some(0));
}

#[test]
fn what_is_no_rule_file_is_reported_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let done = import("no_groups.yaml", dir.path());
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("no_groups.yaml:1:1") && text(&done.stderr).contains("no groups of rules"));
    assert_eq!(import("no_such_file.yaml", dir.path()).status.code(), Some(2));
}

#[test]
fn an_imported_file_belongs_to_a_person() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(import("shapes.rules.yaml", dir.path()).status.code(), Some(0));
    let again = import("shapes.rules.yaml", dir.path());
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("--force"));
}
