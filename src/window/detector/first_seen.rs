//! Detects new label sets: a row is a breach where its label set was not seen for long, or never.
//!
//! The state is part of snapshots as it is: a type of its own for them would repeat all of it.

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::first_seen::FirstSeenSpec;
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::label_states::{LabelStates, LastUpdated};

/// The label sets that were seen, and since when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstSeenDetector {
    spec: FirstSeenSpec,
    known: LabelStates<LastSeen>,
    /// By the labels of `per`; by no label where all label sets learn together.
    learning: LabelStates<LearningPhase>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LastSeen {
    at: TimestampMs,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LearningPhase {
    started: TimestampMs,
    last: TimestampMs,
}

impl LastUpdated for LastSeen {
    fn last_updated(&self) -> TimestampMs {
        self.at
    }
}

impl LastUpdated for LearningPhase {
    fn last_updated(&self) -> TimestampMs {
        self.last
    }
}

impl FirstSeenDetector {
    /// A detector that has seen nothing.
    pub fn new(spec: FirstSeenSpec) -> Self {
        Self { known: LabelStates::new(spec.forget_ms), learning: LabelStates::new(spec.forget_ms), spec }
    }

    /// Returns the rows whose label set is new, and records all of them.
    pub fn detect(&mut self, rows: Vec<Breach>) -> Vec<Breach> {
        let mut new = Vec::new();
        for row in rows {
            let learner = row.labels.filtered(|name| self.spec.per.iter().any(|per| per == name));
            let new_phase = || LearningPhase { started: row.ts, last: row.ts };
            let Some((learning, _)) = self.learning.get_or_insert(&learner, row.ts, new_phase) else { continue };
            learning.last = learning.last.max(row.ts);
            let is_learning = row.ts - learning.started < self.spec.learn_ms;
            let Some((seen, is_new)) = self.known.get_or_insert(&row.labels, row.ts, || LastSeen { at: row.ts }) else {
                continue;
            };
            seen.at = seen.at.max(row.ts);
            if is_new && !is_learning {
                new.push(row);
            }
        }
        new
    }

    /// Rows whose label set found no room so far.
    pub fn overflow(&self) -> u64 {
        self.known.overflow() + self.learning.overflow()
    }

    #[cfg(test)]
    pub(crate) fn with_capacity(self, capacity: usize) -> Self {
        Self { known: self.known.with_capacity(capacity), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::FirstSeenDetector;
    use crate::rule::definition::detectors::first_seen::FirstSeenSpec;
    use crate::window::detector::tests::row;

    fn first_seen(per: &[&str]) -> FirstSeenDetector {
        let per = per.iter().map(|name| name.to_string()).collect();
        FirstSeenDetector::new(FirstSeenSpec { forget_ms: 1_000, learn_ms: 100, per })
    }

    /// The terms that are new at `at`. Each row is a host and a term.
    fn new(detector: &mut FirstSeenDetector, at: i64, rows: &[(&str, &str)]) -> Vec<String> {
        let rows = rows.iter().map(|(host, term)| row(at, &[("host", host), ("term", term)], 7.0)).collect();
        let breaches = detector.detect(rows);
        assert!(breaches.iter().all(|it| it.value == 7.0), "the row stays as it is");
        breaches.into_iter().map(|it| it.labels.get("term").unwrap_or_default().to_string()).collect()
    }

    #[test]
    fn a_new_label_set_is_one_breach_once_learning_is_over() {
        let mut detector = first_seen(&[]);
        assert!(new(&mut detector, 500, &[("a", "x")]).is_empty());
        assert!(new(&mut detector, 599, &[("a", "y")]).is_empty(), "still learning");
        assert_eq!(new(&mut detector, 600, &[("a", "x"), ("a", "y"), ("a", "z")]), ["z"], "learning is over");
        assert!(new(&mut detector, 601, &[("a", "z")]).is_empty(), "it is known now");
    }

    #[test]
    fn learning_begins_with_the_first_row() {
        let mut detector = first_seen(&[]);
        assert!(detector.detect(Vec::new()).is_empty());
        assert!(new(&mut detector, 90_000, &[("a", "x")]).is_empty());
        assert_eq!(new(&mut detector, 90_100, &[("a", "y")]), ["y"]);
    }

    #[test]
    fn a_label_set_unseen_for_longer_than_forget_is_new_again() {
        let mut detector = first_seen(&[]);
        new(&mut detector, 0, &[("a", "x"), ("a", "y")]);
        assert!(new(&mut detector, 500, &[("a", "x")]).is_empty());
        assert!(new(&mut detector, 1_000, &[("a", "y")]).is_empty(), "exactly `forget` is within it");
        assert_eq!(new(&mut detector, 1_501, &[("a", "y"), ("a", "x")]), ["x"]);
    }

    #[test]
    fn a_new_host_learns_for_itself() {
        let mut detector = first_seen(&["host"]);
        new(&mut detector, 0, &[("a", "x")]);
        assert!(new(&mut detector, 200, &[("b", "x"), ("b", "y")]).is_empty());
        assert_eq!(new(&mut detector, 299, &[("a", "y"), ("b", "z")]), ["y"]);
        assert_eq!(new(&mut detector, 300, &[("b", "w")]), ["w"]);
    }

    #[test]
    fn label_sets_over_the_capacity_are_counted_and_are_no_breach() {
        let mut detector = first_seen(&[]).with_capacity(1);
        new(&mut detector, 0, &[("a", "x")]);
        assert!(new(&mut detector, 200, &[("a", "y"), ("a", "y")]).is_empty());
        assert_eq!(detector.overflow(), 2);
    }
}
