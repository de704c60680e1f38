//! The packs in `packs/`: rules that are shipped but not embedded, each alone over events made for it.

use std::collections::BTreeMap;

use squelch::rule::check;
use squelch::rule::definition::file;

use crate::rules::shipped_thresholds::{Expected, run};
use crate::support::root;

/// The rules of a pack: name, file name and text.
fn rules(pack: &str) -> Vec<(String, String, String)> {
    let folder = root().join("packs").join(pack);
    let paths = file::find(&folder).unwrap();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).collect()
}

fn expectations(pack: &str) -> BTreeMap<String, Expected> {
    let path = root().join("fixtures/packs").join(pack).join("expected.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn generic_rules_have_no_threshold_and_say_what_and_why() {
    let files = rules("generic").into_iter().map(|(_, path, text)| (path.into(), text.into())).collect();
    let book = check::from_texts(files).unwrap_or_else(|_| panic!("a generic rule is wrong"));
    for rule in &book.rules {
        let (name, front) = (rule.name(), &rule.front);
        assert_eq!(rule.file.path.file_stem().unwrap().to_string_lossy(), name, "a rule's file is called as the rule");
        assert!(front.detector.is_some(), "{name} compares with the past");
        assert!(front.summary.is_some() && front.description.is_some() && front.runbook.is_some(), "{name} says what is wrong");
        assert!(rule.file.sql().trim_start().starts_with("--"), "{name} says why it is as it is");
        assert!(rule.output.label_names().any(|label| label == "env"), "{name} keeps environments apart");
    }
}

#[test]
fn generic_rules_fire_on_departures_and_not_on_less() {
    let expected = expectations("generic");
    let rules = rules("generic");
    let names: Vec<&String> = rules.iter().map(|(name, _, _)| name).collect();
    assert_eq!(names, expected.keys().collect::<Vec<_>>(), "each rule has its expectations");
    for (name, path, text) in &rules {
        let events = std::fs::read(root().join(format!("fixtures/packs/generic/{name}.jsonl"))).unwrap();
        let outcome = run(name, path, text, &events);
        let want: BTreeMap<String, _> =
            expected[name].fires.iter().map(|firing| (firing.entity.clone(), firing.severity.parse().unwrap())).collect();
        assert_eq!(outcome.loudest, want, "{name}: who fires, and how loud");
        assert!(expected[name].silent.iter().all(|entity| !want.contains_key(entity)), "{name}");
        for alert in outcome.alerts {
            assert!(alert.ended_at.is_some(), "{name}: the alert of `{}` never ends", alert.subject());
            let summary = alert.texts.summary.as_deref().unwrap_or_default();
            assert!(summary.contains(alert.subject()) && summary.contains("deviations"), "{name}: {summary}");
        }
    }
}
