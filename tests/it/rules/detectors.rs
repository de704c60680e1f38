//! Every kind of rule in `fixtures/kinds`, each by a worked example: the alerts that come of it, when they fire and when they end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use squelch::alert::Alert;
use squelch::engine::EngineParams;
use squelch::model::time::format_rfc3339;
use squelch::window::limits::WindowLimits;

use crate::correlation::scenarios::shuffle_within;
use crate::support::expect::{expect_file, first_difference};
use crate::support::runs::Scenario;
use crate::support::{Rng, folders, root};

fn kinds() -> Vec<Scenario> {
    folders("fixtures/kinds").iter().map(|path| Scenario::read(path)).collect()
}

/// A line an alert, as the last revision that holds it tells it, and what was left out.
fn told(kind: &Scenario, lines: &[Vec<u8>], batch_of: usize) -> String {
    let (revisions, engine) = kind.revisions(lines, batch_of);
    let mut alerts: BTreeMap<_, Arc<Alert>> = BTreeMap::new();
    for alert in revisions.iter().flat_map(|revision| &revision.alerts) {
        alerts.insert((alert.started_at, Arc::clone(&alert.rule), alert.fingerprint), Arc::clone(alert));
    }
    let mut text = String::new();
    for alert in alerts.values() {
        let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let ended = alert.ended_at.map_or("goes on".into(), format_rfc3339);
        writeln!(text, "{} {} {}", alert.severity, alert.rule, labels.join(" ")).unwrap();
        let value = (alert.value * 1000.0).round() / 1000.0;
        writeln!(text, "  began {}, fired {}, ended {ended}", format_rfc3339(alert.started_at), format_rfc3339(alert.fired_at))
            .unwrap();
        writeln!(text, "  {value}: {}", alert.texts.summary.as_deref().unwrap_or_default()).unwrap();
    }
    for (rule, stats, dropped) in engine.rules() {
        assert_eq!(stats.errors, 0, "{}: {} fails", kind.name(), rule.name());
        assert_eq!((stats.overflow, dropped.over_limit), (0, 0), "{}: {} finds room", kind.name(), rule.name());
        if stats.late > 0 {
            writeln!(text, "{}: {} late", rule.name(), stats.late).unwrap();
        }
    }
    text
}

#[test]
fn each_kind_fires_when_it_should() {
    for kind in kinds() {
        expect_file(&kind.path.join("expected.txt"), &told(&kind, &kind.lines, usize::MAX));
    }
}

#[test]
fn batching_changes_nothing() {
    for kind in kinds() {
        let whole = told(&kind, &kind.lines, usize::MAX);
        for batch_of in [1, 3, 64] {
            let got = told(&kind, &kind.lines, batch_of);
            assert_eq!(first_difference(&whole, &got), None, "{} in batches of {batch_of}", kind.name());
        }
    }
}

#[test]
fn order_within_lateness_changes_nothing() {
    for kind in kinds().iter().filter(|kind| !kind.path.join("no-shuffle").exists()) {
        let whole = told(kind, &kind.lines, usize::MAX);
        for seed in 1..=4 {
            let shuffled = shuffle_within(&kind.lines, kind.lateness_ms(), &mut Rng(seed));
            let got = told(kind, &shuffled, 16);
            assert_eq!(first_difference(&whole, &got), None, "{} shuffled with seed {seed}", kind.name());
        }
    }
}

/// Rows are kept up to a limit; over it a rule rests, the others go on, and the reason is there to see.
#[test]
fn a_rule_that_keeps_too_many_rows_rests() {
    let kind = Scenario::read(&root().join("fixtures/kinds/rows-joined"));
    let limits = WindowLimits { retained_rows: 5, ..WindowLimits::default() };
    let (revisions, engine) = kind.revisions_with(&kind.lines, 1, &EngineParams { limits, ..EngineParams::default() });
    let alerts = revisions.iter().flat_map(|revision| &revision.alerts);
    assert!(alerts.clone().all(|alert| alert.rule.as_ref() != "errors_of_slow_requests"), "it rests before anything is found");
    let evaluator = engine.evaluator();
    let rests = (0..evaluator.len()).find(|rule| evaluator.rule(*rule).name() == "errors_of_slow_requests").unwrap();
    assert_eq!(evaluator.stats(rests).quarantines, 1);
    assert_eq!(evaluator.quarantine(rests).map(|it| it.reason.as_str()), Some("more than 5 rows in its windows"));
}
