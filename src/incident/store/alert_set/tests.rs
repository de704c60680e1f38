//! What is kept up to date is what asking all alerts anew would answer, whatever comes, changes, leaves, or is merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use crate::alert::{Alert, EndReason, Texts};
use crate::incident::evidence::{Evidence, Indicators};
use crate::incident::store::alert_set::AlertSet;
use crate::model::fingerprint::Fingerprint;
use crate::model::labels::Labels;
use crate::model::limits::{ALERTS_PER_MESSAGE_MAX, ENDED_ALERTS_PER_INCIDENT_MAX};
use crate::model::severity::Severity;

fn alert(fingerprint: u64, rule: &str, entity: Option<&str>, severity: Severity, started_at: i64, ended: bool) -> Alert {
    Alert {
        fingerprint: Fingerprint(fingerprint),
        rule: rule.into(),
        severity,
        env: "production".into(),
        entity: entity.map(Arc::from),
        peer: None,
        labels: Labels::default(),
        value: 1.0,
        score: None,
        started_at,
        period_ms: 0,
        window_ms: 0,
        fired_at: started_at,
        ended_at: ended.then_some(started_at + 1),
        end_reason: EndReason::Recovered,
        texts: Texts::default(),
    }
}

/// An alert as it is after some change: of few entities, peers and rules, so that all meet.
fn any_alert() -> impl Strategy<Value = Alert> {
    let severity = prop::sample::select(vec![Severity::Info, Severity::Warning, Severity::Critical]);
    (0..4_u64, 0..3_usize, 0..3_usize, severity, 0..4_i64, 0..4_i32, any::<bool>()).prop_map(
        |(rule, entity, peer, severity, started_at, score, ended)| {
            let name = ["a", "b"].get(entity).copied();
            let alert = alert(rule * 10 + entity as u64, &format!("r{rule}"), name, severity, started_at, ended);
            let peer = ["c", "d"].get(peer).filter(|_| entity < 2).map(|name| Arc::from(*name));
            Alert { peer, score: (score > 0).then_some(f64::from(score)), ..alert }
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Put(Box<Alert>),
    Take(u64),
    Notified,
    /// Merged with a set that holds this.
    Absorb(Vec<Alert>),
    /// Stored and restored.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_alert().prop_map(|alert| Step::Put(Box::new(alert))),
        2 => (0..40_u64).prop_map(Step::Take),
        2 => Just(Step::Notified),
        1 => prop::collection::vec(any_alert(), 0..4).prop_map(Step::Absorb),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn counted_as_if_asked_anew(steps in prop::collection::vec(step(), 1..60)) {
        let mut set = AlertSet::default();
        let (mut known_subjects, mut known_rules) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Put(alert) => drop(set.put(Arc::from(alert))),
                Step::Take(fingerprint) => drop(set.take(Fingerprint(fingerprint))),
                Step::Absorb(alerts) => {
                    let mut other = AlertSet::default();
                    alerts.into_iter().for_each(|alert| drop(other.put(Arc::new(alert))));
                    set.absorb(other);
                }
                Step::Restart => {
                    let bytes = postcard::to_stdvec(&set).unwrap();
                    set = postcard::from_bytes(&bytes).unwrap();
                }
                Step::Notified => {
                    set.mark_notified();
                    known_subjects = set.iter().map(|alert| (alert.entity.is_some(), alert.subject().to_string())).collect();
                    known_rules = set.iter().map(|alert| alert.rule.to_string()).collect();
                }
            }
            // What left and comes again is news again.
            known_subjects.retain(|(_, name)| set.iter().any(|alert| alert.subject() == name));
            known_rules.retain(|rule| set.iter().any(|alert| alert.rule.as_ref() == rule));
            check(&set, &known_subjects, &known_rules)?;
        }
    }
}

fn check(set: &AlertSet, known_subjects: &BTreeSet<(bool, String)>, known_rules: &BTreeSet<String>) -> Result<(), TestCaseError> {
    let mut evidence: BTreeMap<(Arc<str>, Option<Arc<str>>), Indicators> = BTreeMap::new();
    for one in set.iter().filter_map(|alert| Evidence::of(alert)) {
        let about = (Arc::clone(&one.entity), one.peer.clone());
        evidence.entry(about).and_modify(|known| known.merge(&one.indicators)).or_insert(one.indicators);
    }
    let kept = set.evidence().map(|one| ((Arc::clone(&one.entity), one.peer.clone()), one.indicators));
    prop_assert_eq!(kept.collect::<BTreeMap<_, _>>(), evidence);
    let firing = || set.iter().filter(|alert| alert.is_firing());
    let subjects: BTreeSet<(bool, String)> =
        firing().map(|alert| (alert.entity.is_some(), alert.subject().to_string())).collect();
    prop_assert_eq!(set.is_firing(), !subjects.is_empty());
    prop_assert_eq!(set.unnotified_failing(), subjects.difference(known_subjects).count());
    for least in Severity::ALL {
        let new: BTreeSet<&str> = firing()
            .filter(|alert| alert.severity >= least && !known_rules.contains(alert.rule.as_ref()))
            .map(|alert| alert.rule.as_ref())
            .collect();
        let found = set.new_fault(least, &|_| true);
        prop_assert_eq!(found.as_ref().map_or(0, |fault| fault.more + 1), new.len());
        prop_assert!(found.is_none_or(|fault| new.contains(fault.rule.as_ref())));
    }
    for entity in ["a", "b"] {
        let mut about = set.iter().filter(|alert| alert.entity.as_deref() == Some(entity)).peekable();
        let fails = about.peek().is_some().then(|| about.any(|alert| alert.is_firing()));
        prop_assert_eq!(set.fails(&entity.into()), fails);
        prop_assert_eq!(set.recovered_entities().contains(entity), fails == Some(false));
        let worst = set.iter().filter(|alert| alert.entity.as_deref() == Some(entity));
        let worst = worst
            .min_by_key(|alert| (!alert.is_firing(), std::cmp::Reverse(alert.severity), alert.started_at, alert.fingerprint));
        prop_assert_eq!(set.worst_of(&entity.into()), worst);
    }
    let groups: BTreeSet<(&str, &str, bool)> =
        firing().map(|alert| (alert.rule.as_ref(), alert.subject(), alert.entity.is_some())).collect();
    prop_assert_eq!(set.firing_representatives().count(), groups.len());
    let counted = set.by_severity().values().fold((0, 0), |sum, tally| (sum.0 + tally.firing, sum.1 + tally.ended));
    prop_assert_eq!(counted, (firing().count() as u64, (set.iter().count() - firing().count()) as u64));
    prop_assert!(set.left_out_by_rule(&set.most_telling(None, &BTreeSet::new())).is_empty(), "a message has room for so few");
    Ok(())
}

/// Thousands of warnings and one critical alert that comes last: it is in the message, and what is not is counted by rule.
#[test]
fn a_message_names_the_worst_of_many() {
    let mut set = AlertSet::default();
    for nth in 0..5_000 {
        set.put(Arc::new(alert(nth, "errors_by_request", Some("web"), Severity::Warning, nth as i64, false)));
    }
    set.put(Arc::new(alert(9_999, "db_down", Some("db"), Severity::Critical, 6_000, false)));
    let chosen = set.most_telling(Some(&"db".into()), &BTreeSet::new());
    assert_eq!(chosen.len(), ALERTS_PER_MESSAGE_MAX);
    assert!(chosen.iter().any(|alert| alert.rule.as_ref() == "db_down"));
    let left: Vec<(String, u64)> =
        set.left_out_by_rule(&chosen).into_iter().map(|(rule, left)| (rule.to_string(), left)).collect();
    assert_eq!(left, [("errors_by_request".to_string(), 5_001 - ALERTS_PER_MESSAGE_MAX as u64)]);
    assert_eq!(set.severity(), Some(Severity::Critical));
}

/// However many alerts end, an incident holds so many, and what the others showed still counts.
#[test]
fn what_ended_makes_room_and_keeps_its_voice() {
    let mut set = AlertSet::default();
    let many = ENDED_ALERTS_PER_INCIDENT_MAX as u64 + 50;
    set.put(Arc::new(alert(0, "first", Some("db"), Severity::Critical, 0, true)));
    let mut evicted = 0;
    for nth in 1..=many {
        evicted +=
            set.put(Arc::new(alert(nth, "errors", Some("web"), Severity::Warning, nth as i64, true))).iter().count() as u64;
    }
    assert_eq!((set.len() as u64 + evicted, evicted), (many + 1, 51));
    assert!(set.iter().any(|alert| alert.rule.as_ref() == "first"), "the worst stays");
    let set: AlertSet = postcard::from_bytes(&postcard::to_stdvec(&set).unwrap()).unwrap();
    assert_eq!((set.by_severity()[&Severity::Warning].ended, set.joined()), (many, many + 1));
    let web = set.evidence().find(|evidence| evidence.entity.as_ref() == "web").unwrap();
    assert_eq!(web.indicators.started_at, 1);
    assert_eq!(set.left_out_by_rule(&set.most_telling(None, &BTreeSet::new()))[&Arc::from("errors")] + 100, many + 1);
}
