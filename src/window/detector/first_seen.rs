//! Judges novelty: a row breaches where its label set was not seen for long, or never.

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::first_seen::FirstSeenSpec;
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::label_memory::{Memory, Remembered};

/// What was seen, and since when anything was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstSeen {
    spec: FirstSeenSpec,
    known: Memory<Seen>,
    /// By the values of the labels that each learn for themselves; by no label where all learn together.
    learning: Memory<Learning>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    last: TimestampMs,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Learning {
    started: TimestampMs,
    last: TimestampMs,
}

impl Remembered for Seen {
    fn last(&self) -> TimestampMs {
        self.last
    }
}

impl Remembered for Learning {
    fn last(&self) -> TimestampMs {
        self.last
    }
}

impl FirstSeen {
    /// Nothing was seen yet.
    pub fn new(spec: FirstSeenSpec) -> Self {
        Self { known: Memory::new(spec.forget_ms), learning: Memory::new(spec.forget_ms), spec }
    }

    /// Keeps the rows that are new, and remembers all of them.
    pub fn judge(&mut self, rows: Vec<Breach>) -> Vec<Breach> {
        let mut new = Vec::new();
        for row in rows {
            let who = row.labels.filtered(|name| self.spec.per.iter().any(|per| per == name));
            let begun = || Learning { started: row.ts, last: row.ts };
            let Some((learning, _)) = self.learning.recall(&who, row.ts, begun) else { continue };
            learning.last = learning.last.max(row.ts);
            let silent = row.ts - learning.started < self.spec.learn_ms;
            let Some((seen, is_new)) = self.known.recall(&row.labels, row.ts, || Seen { last: row.ts }) else { continue };
            seen.last = seen.last.max(row.ts);
            if is_new && !silent {
                new.push(row);
            }
        }
        new
    }

    /// Rows whose label set found no room so far.
    pub fn refused(&self) -> u64 {
        self.known.refused() + self.learning.refused()
    }

    #[cfg(test)]
    pub(crate) fn with_room(self, room: usize) -> Self {
        Self { known: self.known.with_room(room), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::FirstSeen;
    use crate::rule::definition::detectors::first_seen::FirstSeenSpec;
    use crate::window::detector::test_rows::row;

    fn first_seen(per: &[&str]) -> FirstSeen {
        let per = per.iter().map(|name| name.to_string()).collect();
        FirstSeen::new(FirstSeenSpec { forget_ms: 1_000, learn_ms: 100, per })
    }

    /// Judges rows at `at`, each a host and a term; the terms that are new.
    fn new(judge: &mut FirstSeen, at: i64, rows: &[(&str, &str)]) -> Vec<String> {
        let rows = rows.iter().map(|(host, term)| row(at, &[("host", host), ("term", term)], 7.0)).collect();
        let breaches = judge.judge(rows);
        assert!(breaches.iter().all(|it| it.value == 7.0), "the row stays as it is");
        breaches.into_iter().map(|it| it.labels.get("term").unwrap_or_default().to_string()).collect()
    }

    #[test]
    fn what_is_new_breaches_once_after_the_time_of_learning() {
        let mut judge = first_seen(&[]);
        assert!(new(&mut judge, 500, &[("a", "x")]).is_empty());
        assert!(new(&mut judge, 599, &[("a", "y")]).is_empty(), "still learning");
        assert_eq!(new(&mut judge, 600, &[("a", "x"), ("a", "y"), ("a", "z")]), ["z"], "learning is over");
        assert!(new(&mut judge, 601, &[("a", "z")]).is_empty(), "it is known now");
    }

    #[test]
    fn the_time_of_learning_begins_with_the_first_row() {
        let mut judge = first_seen(&[]);
        assert!(judge.judge(Vec::new()).is_empty());
        assert!(new(&mut judge, 90_000, &[("a", "x")]).is_empty());
        assert_eq!(new(&mut judge, 90_100, &[("a", "y")]), ["y"]);
    }

    #[test]
    fn what_was_long_unseen_is_new_again() {
        let mut judge = first_seen(&[]);
        new(&mut judge, 0, &[("a", "x"), ("a", "y")]);
        assert!(new(&mut judge, 500, &[("a", "x")]).is_empty());
        assert!(new(&mut judge, 1_000, &[("a", "y")]).is_empty(), "exactly `forget` is within it");
        assert_eq!(new(&mut judge, 1_501, &[("a", "y"), ("a", "x")]), ["x"]);
    }

    #[test]
    fn a_new_host_learns_for_itself() {
        let mut judge = first_seen(&["host"]);
        new(&mut judge, 0, &[("a", "x")]);
        assert!(new(&mut judge, 200, &[("b", "x"), ("b", "y")]).is_empty());
        assert_eq!(new(&mut judge, 299, &[("a", "y"), ("b", "z")]), ["y"]);
        assert_eq!(new(&mut judge, 300, &[("b", "w")]), ["w"]);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_silent() {
        let mut judge = first_seen(&[]).with_room(1);
        new(&mut judge, 0, &[("a", "x")]);
        assert!(new(&mut judge, 200, &[("a", "y"), ("a", "y")]).is_empty());
        assert_eq!(judge.refused(), 2);
    }
}
