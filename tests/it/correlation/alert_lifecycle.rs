//! Properties of fingerprints and of the alert life cycle.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use squelch::alert::lifecycle::{AlertPolicy, RuleAlerts};
use squelch::alert::{Alert, Change, Texts};
use squelch::model::fingerprint::Fingerprint;
use squelch::model::labels::Labels;
use squelch::model::severity::Severity;
use squelch::rule::definition::output_columns::Breach;

const EVERY_MS: i64 = 15_000;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())))
}

/// These values are promised to everybody who stores fingerprints: they must never change. Worked out apart from the code: the
/// first 16 hexadecimal digits of SHA-256 over rule, key, value, key, value, each led by its length as eight big-endian bytes.
#[test]
fn fingerprints_are_the_same_for_ever() {
    let chat = labels(&[("env", "production"), ("service", "chat")]);
    assert_eq!(Fingerprint::new("http_server_error_rate", &chat).to_string(), "f0e928149c7c0df0");
    assert_eq!(Fingerprint::new("http_server_error_rate", &labels(&[])).to_string(), "33044dc1200a7666");
}

proptest! {
    #[test]
    fn fingerprints_do_not_depend_on_the_order_of_labels(pairs in prop::collection::btree_map("[a-z]{1,4}", "[a-z=,\"]{1,6}", 0..6), seed in any::<u64>()) {
        let mut shuffled: Vec<(String, String)> = pairs.clone().into_iter().collect();
        let mut rng = crate::support::Rng(seed);
        for i in (1..shuffled.len()).rev() {
            shuffled.swap(i, rng.below(i as u64 + 1) as usize);
        }
        prop_assert_eq!(Fingerprint::new("r", &Labels::new(pairs)), Fingerprint::new("r", &Labels::new(shuffled)));
    }

    #[test]
    fn different_label_sets_have_different_fingerprints(a in prop::collection::btree_map("[ab,=]{1,3}", "[ab,=]{1,3}", 0..4), b in prop::collection::btree_map("[ab,=]{1,3}", "[ab,=]{1,3}", 0..4)) {
        let (one, other) = (Labels::new(a.clone()), Labels::new(b.clone()));
        prop_assert_eq!(a == b, Fingerprint::new("r", &one) == Fingerprint::new("r", &other));
    }

    /// The life cycle against a model written the other way round: from the whole history instead of step by step.
    #[test]
    fn an_alert_fires_and_ends_as_its_history_says(history in prop::collection::vec(any::<bool>(), 1..60), for_ticks in 0..5_i64, keep_ticks in 0..5_i64) {
        let policy = AlertPolicy { for_ms: for_ticks * EVERY_MS, keep_firing_for_ms: keep_ticks * EVERY_MS, ..AlertPolicy::new("r", Severity::Warning) };
        let mut alerts = RuleAlerts::new(policy);
        let mut fires = false;
        for (i, breached) in history.iter().enumerate() {
            let at = i as i64 * EVERY_MS;
            let breaches = if *breached { vec![Breach { ts: at, ..breach("a", 1.0) }] } else { Vec::new() };
            let transitions = alerts.evaluate(at, breaches, &BTreeSet::new(), &|_, _| Texts::default());
            let should = model(&history[..=i], for_ticks, keep_ticks, fires);
            let expected = match (fires, should) {
                (false, true) => Some(Change::Fired),
                (true, false) => Some(Change::Resolved),
                _ => None,
            };
            prop_assert_eq!(transitions.first().map(|transition| transition.change), expected, "tick {}", i);
            prop_assert!(transitions.len() <= 1);
            if let Some(fired) = transitions.first().filter(|transition| transition.change == Change::Fired) {
                let run = history[..=i].iter().rev().take_while(|breached| **breached).count() as i64;
                prop_assert_eq!(fired.alert.started_at, at - (run - 1) * EVERY_MS);
            }
            fires = should;
        }
    }
}

/// Fires when breached for the last `for_ticks` + 1 evaluations; goes on while the misses in a row are at most `keep_ticks`.
fn model(history: &[bool], for_ticks: i64, keep_ticks: i64, fires: bool) -> bool {
    let breaches = history.iter().rev().take_while(|breached| **breached).count() as i64;
    let misses = history.iter().rev().take_while(|breached| !**breached).count() as i64;
    if fires { misses <= keep_ticks } else { breaches > for_ticks }
}

fn breach(service: &str, value: f64) -> Breach {
    Breach { ts: 0, labels: labels(&[("service", service)]), value, severity: None, numbers: Vec::new(), texts: Vec::new() }
}

#[test]
fn over_the_limit_the_first_alerts_stay() {
    let mut alerts = RuleAlerts::new(AlertPolicy { alerts_max: 2, ..AlertPolicy::new("r", Severity::Warning) });
    let fired = alerts
        .evaluate(0, ["a", "b", "c"].map(|service| breach(service, 1.0)).into(), &BTreeSet::new(), &|_, _| Texts::default());
    assert_eq!(fired.len(), 2);
    let again =
        alerts.evaluate(EVERY_MS, ["c", "b", "a"].map(|service| breach(service, 1.0)).into(), &BTreeSet::new(), &|_, _| {
            Texts::default()
        });
    assert!(again.is_empty(), "the alerts that fire go on: {again:?}");
    assert_eq!(alerts.counts().over_limit, 2);
}

#[test]
fn a_severity_rises_and_never_falls() {
    let mut alerts = RuleAlerts::new(AlertPolicy::new("r", Severity::Warning));
    let with = |severity: &str| vec![Breach { severity: Some(severity.into()), ..breach("a", 1.0) }];
    let mut seen = BTreeMap::new();
    for (tick, severity) in ["warning", "critical", "warning", "nonsense"].into_iter().enumerate() {
        for transition in alerts.evaluate(tick as i64 * EVERY_MS, with(severity), &BTreeSet::new(), &|_, _| Texts::default()) {
            seen.insert(tick, (transition.change, transition.alert.severity));
        }
    }
    assert_eq!(seen, BTreeMap::from([(0, (Change::Fired, Severity::Warning)), (1, (Change::Escalated, Severity::Critical))]));
    assert_eq!(alerts.counts().bad_severity, 1);
}

#[test]
fn of_rows_with_the_same_labels_the_worst_counts_in_any_order() {
    let critical = Breach { severity: Some("critical".into()), ..breach("a", 1.5) };
    for (rows, lower_is_worse, value) in [
        (vec![breach("a", 1.0), breach("a", 2.0)], false, 2.0),
        (vec![breach("a", 2.0), breach("a", 1.0)], true, 1.0),
        (vec![critical, breach("a", 1.0), breach("a", 2.0)], false, 1.5),
    ] {
        let number = rows.len() as u64;
        for rows in [rows.clone(), rows.into_iter().rev().collect()] {
            let mut alerts = RuleAlerts::new(AlertPolicy { lower_is_worse, ..AlertPolicy::new("r", Severity::Warning) });
            let fired = alerts.evaluate(0, rows, &BTreeSet::new(), &|_, _| Texts::default());
            assert_eq!(fired.iter().map(|fired| fired.alert.value).collect::<Vec<_>>(), [value]);
            assert_eq!(alerts.counts().same_labels, number - 1);
        }
    }
}

/// A full rule keeps the most severe, then one of each entity; what gives way to a more severe alert has not recovered.
#[test]
fn a_full_rule_keeps_what_matters() {
    let of = |service: &str, mount: &str, severity: &str| Breach {
        severity: Some(severity.into()),
        labels: labels(&[("service", service), ("mount", mount)]),
        ..breach(service, 1.0)
    };
    let policy = AlertPolicy { alerts_max: 3, entity: Some("service".into()), ..AlertPolicy::new("r", Severity::Warning) };
    let mut alerts = RuleAlerts::new(policy);
    let mut evaluate = |at: i64, rows: &[Breach]| -> Vec<String> {
        let changes = alerts.evaluate(at * EVERY_MS, rows.to_vec(), &BTreeSet::new(), &|_, _| Texts::default());
        let named = |alert: &Alert| format!("{}{}", alert.subject(), alert.labels.get("mount").unwrap_or_default());
        changes.iter().map(|it| format!("{} {:?}", named(&it.alert), it.alert.ended_because())).collect()
    };
    let flood = [of("web", "/1", "warning"), of("web", "/2", "warning"), of("db", "/1", "warning"), of("web", "/3", "warning")];
    let mut first = evaluate(0, &flood);
    first.sort();
    assert_eq!(first, ["db/1 None", "web/1 None", "web/2 None"], "one of each entity before a second one of any");
    let mut next = evaluate(1, &[&flood[..], &[of("db", "/9", "critical")]].concat());
    next.sort();
    assert_eq!(next, ["db/9 None", "web/2 Some(Displaced)"]);
    assert_eq!(alerts.counts().over_limit, 1 + 2);
}

/// What was told when it fired stays true when it ends: value, score and texts are of one and the same breach.
#[test]
fn an_alert_that_ends_has_the_value_that_its_summary_tells() {
    let says = |breach: &Breach, _| Texts { summary: Some(format!("is {} (> 40)", breach.value)), ..Texts::default() };
    let policy = AlertPolicy { keep_firing_for_ms: EVERY_MS, ..AlertPolicy::new("r", Severity::Warning) };
    let with = |value: f64, severity: &str| {
        let numbers = vec![("score".to_string(), value / 10.0)];
        vec![Breach { severity: Some(severity.into()), numbers, ..breach("a", value) }]
    };
    let mut alerts = RuleAlerts::new(policy);
    let mut told = Vec::new();
    let ticks = [with(42.0, "warning"), with(90.0, "warning"), with(77.0, "critical"), with(41.0, "warning"), vec![], vec![]];
    for (tick, breaches) in ticks.into_iter().enumerate() {
        for transition in alerts.evaluate(tick as i64 * EVERY_MS, breaches, &BTreeSet::new(), &says) {
            let alert = &transition.alert;
            told.push((transition.change, alert.value, alert.score, alert.texts.summary.clone().unwrap()));
        }
    }
    let of = |change, value: f64| (change, value, Some(value / 10.0), format!("is {value} (> 40)"));
    assert_eq!(told, [of(Change::Fired, 42.0), of(Change::Escalated, 77.0), of(Change::Resolved, 77.0)]);
}
