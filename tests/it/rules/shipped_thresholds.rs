//! Every shipped rule alone over events made for it: it fires on its line and not just inside it, as loud as it should, says what
//! is wrong in a sentence, and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use squelch::alert::Alert;
use squelch::alert::lifecycle::AlertCounts;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::incident::revision::Revision;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::model::severity::Severity;
use squelch::process::shipped_rules;
use squelch::rule::check;
use squelch::topology::Topology;

use crate::support::root;

/// What a rule makes of its events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub fires: Vec<Firing>,
    pub silent: Vec<String>,
}

/// An entity that fires, and how loud at most.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firing {
    pub entity: String,
    pub severity: String,
}

/// What came of a run.
pub struct Outcome {
    /// Each alert as the last revision that holds it tells it.
    pub alerts: Vec<Arc<Alert>>,
    /// Entity to the highest severity in any revision.
    pub loudest: BTreeMap<String, Severity>,
}

fn folder() -> PathBuf {
    root().join("fixtures/shipped")
}

fn expectations() -> BTreeMap<String, Expected> {
    let text = std::fs::read_to_string(folder().join("expected.yaml")).expect("fixtures/shipped/expected.yaml is there");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("fixtures/shipped/expected.yaml: {error}"))
}

fn name_of(path: &str) -> String {
    Path::new(path).file_stem().unwrap().to_string_lossy().into_owned()
}

fn events_of(rule: &str) -> Vec<u8> {
    let path = folder().join(format!("{rule}.jsonl"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{rule}: {}: {error}", path.display()))
}

/// The rule alone over the events, a line a message.
pub fn run(rule: &str, path: &str, text: &str, events: &[u8]) -> Outcome {
    let files = vec![(PathBuf::from("rules").join(path), Arc::from(text))];
    let book = check::from_texts(files).unwrap_or_else(|report| panic!("{rule}: {report}"));
    let mut decoder = Decoder::new(&book.label_keys, i64::MAX);
    let mut engine = Engine::new(book.rules, Topology::default(), &EngineParams::default())
        .unwrap_or_else(|error| panic!("{rule}: the engine does not start: {error}"));
    for line in events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        decoder.message(line, MessageInfo::default(), &mut |bad| panic!("{rule}: an event is rejected: {}", bad.reason));
    }
    let mut revisions = engine.step(Input::Events(&decoder.take()));
    revisions.extend(engine.step(Input::End));
    for (_, stats, counts) in engine.rules() {
        assert_eq!(stats.errors, 0, "{rule} fails on its events");
        assert_eq!(stats.late, 0, "{rule}: the events are in order of time");
        assert_eq!(counts, AlertCounts::default(), "{rule}: every breach becomes an alert");
    }
    outcome(&revisions)
}

fn outcome(revisions: &[Revision]) -> Outcome {
    let mut last = BTreeMap::new();
    let mut loudest: BTreeMap<String, Severity> = BTreeMap::new();
    for alert in revisions.iter().flat_map(|revision| &revision.alerts) {
        last.insert((alert.fingerprint, alert.started_at), Arc::clone(alert));
        let entity = alert.entity.as_deref().unwrap_or("(no entity)").to_string();
        let known = loudest.entry(entity).or_insert(alert.severity);
        *known = alert.severity.max(*known);
    }
    Outcome { alerts: last.into_values().collect(), loudest }
}

#[test]
fn every_shipped_rule_has_events_and_expectations() {
    let all = expectations();
    let rules: BTreeSet<String> = shipped_rules::FILES.iter().map(|(path, _)| name_of(path)).collect();
    for rule in &rules {
        let Some(expected) = all.get(rule) else { panic!("{rule} has no entry in fixtures/shipped/expected.yaml") };
        assert!(expected.fires.iter().any(|firing| firing.entity == "bad"), "{rule}: `bad` fires");
        assert!(expected.silent.iter().any(|entity| entity == "good"), "{rule}: `good` is silent");
        let events = String::from_utf8(events_of(rule)).unwrap();
        // Silence is worth something only of an entity that said something.
        for entity in expected.silent.iter().chain(expected.fires.iter().map(|firing| &firing.entity)) {
            let named = ["service", "host"].iter().any(|field| events.contains(&format!("\"{field}\":\"{entity}\"")));
            assert!(named, "{rule}: no event is about `{entity}`");
        }
    }
    for rule in all.keys() {
        assert!(rules.contains(rule), "{rule} is in fixtures/shipped/expected.yaml, but is no shipped rule");
    }
}

#[test]
fn every_shipped_rule_fires_on_its_line_and_not_inside_it() {
    let expected = expectations();
    for (path, text) in shipped_rules::FILES {
        let rule = name_of(path);
        let Some(expected) = expected.get(&rule) else { panic!("{rule} has no entry in fixtures/shipped/expected.yaml") };
        let got = run(&rule, path, text, &events_of(&rule)).loudest;
        for entity in &expected.silent {
            assert!(!got.contains_key(entity), "{rule} fires on `{entity}`, which must stay silent");
        }
        let severity = |firing: &Firing| firing.severity.parse().unwrap_or_else(|_| panic!("{rule}: `{}`", firing.severity));
        let want: BTreeMap<String, Severity> =
            expected.fires.iter().map(|firing| (firing.entity.clone(), severity(firing))).collect();
        assert_eq!(got, want, "{rule}: who fires, and how loud at most");
    }
}

#[test]
fn every_alert_of_a_shipped_rule_ends_and_says_what_is_wrong() {
    for (path, text) in shipped_rules::FILES {
        let rule = name_of(path);
        for alert in run(&rule, path, text, &events_of(&rule)).alerts {
            let entity = alert.subject();
            assert!(alert.ended_at.is_some(), "{rule}: the alert of `{entity}` never ends, though `{entity}` recovers");
            assert!(alert.value.is_finite(), "{rule}: the value of `{entity}` is {}", alert.value);
            for text in [&alert.texts.summary, &alert.texts.description] {
                let text = text.as_deref().unwrap_or_default();
                assert!(!text.trim().is_empty(), "{rule}: the alert of `{entity}` says nothing");
                assert!(!text.contains("could not be written"), "{rule}: {text}");
                let unsaid = |word: &str| word == "None" || word.eq_ignore_ascii_case("nan");
                assert!(!text.split(|c: char| !c.is_alphanumeric()).any(unsaid), "{rule}: a part is missing: {text}");
            }
            let summary = alert.texts.summary.as_deref().unwrap_or_default();
            assert!(summary.contains(entity), "{rule}: the summary does not name `{entity}`: {summary}");
        }
    }
}
