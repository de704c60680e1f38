//! Detects absence: the rows are the label sets that are present, the breaches those that were present before and are missing.
//!
//! The state is part of snapshots as it is: a type of its own for them would repeat all of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::labels::Labels;
use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::absence::AbsenceSpec;
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::label_states::{LabelStates, LastUpdated};

/// The label sets that were present, and when last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AbsenceDetector {
    spec: AbsenceSpec,
    known: LabelStates<LastRow>,
    /// Those that the author expects: they never expire, and count as present at the first evaluation.
    expected: BTreeMap<Labels, Option<LastRow>>,
    /// Label sets that the last evaluation stopped waiting for, although they had not returned.
    #[serde(skip)]
    forgotten: BTreeSet<Labels>,
}

/// The last row of a label set.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LastRow {
    at: TimestampMs,
    severity: Option<String>,
    numbers: Vec<(String, f64)>,
}

impl LastUpdated for LastRow {
    fn last_updated(&self) -> TimestampMs {
        self.at
    }
}

impl AbsenceDetector {
    /// A detector that has seen nothing.
    pub fn new(spec: AbsenceSpec) -> Self {
        let expected = spec.expect.iter().map(|labels| (labels.clone(), None)).collect();
        // A label set that was missing for exactly `forget` has expired.
        Self { known: LabelStates::new(spec.forget_ms - 1), expected, spec, forgotten: BTreeSet::new() }
    }

    /// Records the label sets that are present, and returns those that have been missing for `after`, in order of label sets.
    pub fn detect(&mut self, at: TimestampMs, rows: Vec<Breach>) -> Vec<Breach> {
        for expected in self.expected.values_mut() {
            expected.get_or_insert(LastRow { at, severity: None, numbers: Vec::new() });
        }
        // Before the rows: the states make room for a new label set by removing those that have expired.
        self.forgotten = self.known.expired(at).cloned().collect();
        for row in rows {
            self.forgotten.remove(&row.labels);
            let last = LastRow { at: row.ts, severity: row.severity, numbers: row.numbers };
            if let Some(expected) = self.expected.get_mut(&row.labels) {
                *expected = Some(last);
            } else if let Some((known, _)) = self.known.get_or_insert(&row.labels, at, || last.clone()) {
                *known = last;
            }
        }
        self.known.remove_expired(at);
        let expected = self.expected.iter().filter_map(|(labels, last)| Some((labels, last.as_ref()?)));
        let missing = self.known.iter().chain(expected).filter(|(_, last)| at - last.at >= self.spec.after_ms);
        let mut breaches: Vec<Breach> = missing.map(|(labels, last)| absence(at, labels, last)).collect();
        breaches.sort_by(Breach::in_order);
        breaches
    }

    /// Label sets that the last evaluation stopped waiting for, although they had not returned.
    pub fn take_forgotten(&mut self) -> BTreeSet<Labels> {
        std::mem::take(&mut self.forgotten)
    }

    /// Label sets that found no room so far.
    pub fn overflow(&self) -> u64 {
        self.known.overflow()
    }

    /// Whether no label set is missing, now or later.
    pub fn is_idle(&self) -> bool {
        self.known.is_empty() && self.expected.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn with_capacity(self, capacity: usize) -> Self {
        Self { known: self.known.with_capacity(capacity), ..self }
    }
}

/// The breach of a label set that is missing: its last row, with the seconds of silence as the value.
fn absence(at: TimestampMs, labels: &Labels, last: &LastRow) -> Breach {
    let silent_for = (at - last.at) as f64 / 1000.0;
    let mut numbers = last.numbers.clone();
    numbers.push(("silent_for".into(), silent_for));
    Breach { ts: at, labels: labels.clone(), value: silent_for, severity: last.severity.clone(), numbers, texts: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::AbsenceDetector;
    use crate::rule::definition::detectors::absence::AbsenceSpec;
    use crate::window::detector::tests::{labels, row};

    fn detector(expect: &[&str]) -> AbsenceDetector {
        let expect = expect.iter().map(|host| labels(&[("host", host)])).collect();
        AbsenceDetector::new(AbsenceSpec { after_ms: 300_000, forget_ms: 900_000, expect })
    }

    /// The hosts that are missing at `minute`, when `hosts` are present, and for how many minutes.
    fn missing(detector: &mut AbsenceDetector, minute: i64, hosts: &[&str]) -> Vec<(String, f64)> {
        let at = minute * 60_000;
        let rows = hosts.iter().map(|host| row(at, &[("host", host)], 1.0)).collect();
        let breaches = detector.detect(at, rows);
        assert!(breaches.iter().all(|it| it.ts == at && it.numbers == [("silent_for".to_string(), it.value)]));
        breaches.into_iter().map(|it| (it.labels.get("host").unwrap_or_default().to_string(), it.value / 60.0)).collect()
    }

    #[test]
    fn a_label_set_is_missing_from_after_until_forget() {
        let mut detector = detector(&[]);
        assert_eq!(missing(&mut detector, 0, &["a", "b"]), []);
        assert_eq!(missing(&mut detector, 4, &["b"]), []);
        assert_eq!(missing(&mut detector, 5, &["b"]), [("a".to_string(), 5.0)], "at exactly `after`");
        assert_eq!(missing(&mut detector, 14, &["b"]), [("a".to_string(), 14.0)]);
        assert_eq!(missing(&mut detector, 15, &["b"]), [], "expired");
        assert_eq!(missing(&mut detector, 25, &[]), [("b".to_string(), 10.0)]);
        assert!(!detector.is_idle());
        assert_eq!(missing(&mut detector, 30, &[]), []);
        assert!(detector.is_idle(), "no label set is left");
    }

    #[test]
    fn a_label_set_that_comes_back_is_not_missing() {
        let mut detector = detector(&[]);
        missing(&mut detector, 0, &["a"]);
        assert_eq!(missing(&mut detector, 6, &[]).len(), 1);
        assert_eq!(missing(&mut detector, 7, &["a"]), []);
        assert_eq!(missing(&mut detector, 11, &[]), []);
        assert_eq!(missing(&mut detector, 12, &[]), [("a".to_string(), 5.0)]);
    }

    #[test]
    fn an_expected_label_set_is_missing_from_the_start_and_never_expires() {
        let mut detector = detector(&["z"]);
        assert!(!detector.is_idle());
        assert_eq!(missing(&mut detector, 10, &["a"]), [], "it counts as present at the first evaluation");
        assert_eq!(missing(&mut detector, 15, &["a"]), [("z".to_string(), 5.0)]);
        assert_eq!(missing(&mut detector, 60, &[]), [("z".to_string(), 50.0)]);
        assert_eq!(missing(&mut detector, 61, &["z"]), []);
        assert_eq!(missing(&mut detector, 66, &[]), [("z".to_string(), 5.0)]);
    }

    #[test]
    fn severity_and_numbers_are_those_of_the_last_row() {
        let mut detector = detector(&[]);
        let mut last = row(0, &[("host", "a")], 1.0);
        (last.severity, last.numbers) = (Some("critical".into()), vec![("cores".into(), 8.0)]);
        detector.detect(0, vec![last]);
        let breach = detector.detect(300_000, Vec::new()).remove(0);
        assert_eq!(breach.severity.as_deref(), Some("critical"));
        assert_eq!(breach.numbers, [("cores".to_string(), 8.0), ("silent_for".to_string(), 300.0)]);
    }

    #[test]
    fn label_sets_over_the_capacity_are_counted() {
        let mut detector = detector(&[]).with_capacity(1);
        missing(&mut detector, 0, &["a", "b"]);
        assert_eq!(detector.overflow(), 1);
        assert_eq!(missing(&mut detector, 5, &[]), [("a".to_string(), 5.0)]);
    }
}
