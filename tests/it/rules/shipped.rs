//! The shipped rules: embedded as they lie in `rules/`, sound, and complete.

use std::collections::BTreeSet;

use squelch::process::shipped_rules;

use crate::support::root;

#[test]
fn the_embedded_pack_is_the_folder() {
    let embedded: BTreeSet<String> = shipped_rules::FILES.iter().map(|(path, _)| (*path).to_string()).collect();
    let folder = root().join("rules");
    let on_disk: BTreeSet<String> = squelch::rule::definition::file::find(&folder)
        .unwrap()
        .iter()
        .map(|path| path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(embedded, on_disk);
}

#[test]
fn every_shipped_rule_says_what_why_and_where_to_read_on() {
    let book = shipped_rules::load().unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(book.rules.len(), shipped_rules::FILES.len());
    for rule in &book.rules {
        let (name, front) = (rule.name(), &rule.front);
        let file = rule.file.path.file_stem().unwrap().to_string_lossy().into_owned();
        assert_eq!(file, name, "a shipped rule's file is called as the rule");
        assert!(front.summary.is_some(), "{name} has a summary");
        assert!(front.runbook.as_ref().is_some_and(|runbook| runbook.starts_with("https://")), "{name} has a runbook");
        let comment = rule.file.sql().lines().any(|line| line.trim_start().starts_with("--"));
        assert!(comment, "{name} says why its threshold is what it is");
        assert!(rule.output.label_names().any(|label| label == "env"), "{name} keeps environments apart");
    }
}

#[test]
fn every_area_of_the_strategy_is_watched() {
    let areas: BTreeSet<&str> = shipped_rules::FILES.iter().filter_map(|(path, _)| path.split('/').next()).collect();
    assert_eq!(areas, BTreeSet::from(["app", "business", "infra", "logs", "security"]));
}
