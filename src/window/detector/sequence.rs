//! Detects sequences: each row is an event that is one step; the row that completes all steps is a breach.
//!
//! For each key the recent events are kept that no sequence has used yet. An event that completes the steps uses the latest events
//! that match, each once. Events of one instant match in any order: nothing tells which came first.
//!
//! The state is part of snapshots as it is: a type of its own for them would repeat all of it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::limits::{EVENTS_PER_SEQUENCE_KEY_MAX, STEPS_PER_SEQUENCE_MAX};
use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::sequence::{STEP, SequenceSpec};
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::label_states::{LabelStates, LastUpdated};

const _: () = assert!(STEPS_PER_SEQUENCE_MAX <= u8::MAX as usize, "a step is kept as a byte");

/// The recent events of each key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SequenceDetector {
    spec: SequenceSpec,
    recent: LabelStates<RecentEvents>,
}

/// The events of one key in order of time, each with its step: the first index of that step in the list of steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct RecentEvents {
    last: TimestampMs,
    events: VecDeque<(TimestampMs, u8)>,
}

impl LastUpdated for RecentEvents {
    fn last_updated(&self) -> TimestampMs {
        self.last
    }
}

impl SequenceDetector {
    /// A detector that has seen nothing.
    pub fn new(spec: SequenceSpec) -> Self {
        Self { recent: LabelStates::new(spec.within_ms), spec }
    }

    /// Returns the rows that complete the steps, one for each key and instant.
    pub fn detect(&mut self, mut rows: Vec<Breach>) -> Vec<Breach> {
        rows.sort_by(Breach::in_order);
        let steps: Vec<u8> = self.spec.steps.iter().filter_map(|step| self.step(step)).collect();
        let mut completing = Vec::new();
        for together in rows.chunk_by_mut(|a, b| a.ts == b.ts && a.labels == b.labels) {
            let mut last = None;
            for (at, row) in together.iter().enumerate() {
                let Some(step) = row.text(STEP).and_then(|step| self.step(step)) else { continue };
                let Some((recent, _)) = self.recent.get_or_insert(&row.labels, row.ts, RecentEvents::default) else { continue };
                recent.add(row.ts, step, self.spec.within_ms);
                if !self.spec.ordered || steps.last() == Some(&step) {
                    last = Some(at);
                }
            }
            let Some(row) = last.and_then(|at| together.get_mut(at)) else { continue };
            let Some((recent, _)) = self.recent.get_or_insert(&row.labels, row.ts, RecentEvents::default) else { continue };
            let mut took_ms = None;
            while let Some(first) = recent.take_match(&steps, self.spec.ordered) {
                took_ms.get_or_insert(row.ts - first);
            }
            if let Some(took_ms) = took_ms {
                row.numbers.push(("took".into(), took_ms as f64 / 1000.0));
                completing.push(row.clone());
            }
        }
        completing
    }

    fn step(&self, name: &str) -> Option<u8> {
        let at = self.spec.steps.iter().position(|step| step == name)?;
        u8::try_from(at).ok()
    }

    /// Events whose key found no room so far.
    pub fn overflow(&self) -> u64 {
        self.recent.overflow()
    }

    #[cfg(test)]
    pub(crate) fn with_capacity(self, capacity: usize) -> Self {
        Self { recent: self.recent.with_capacity(capacity), ..self }
    }
}

impl RecentEvents {
    fn add(&mut self, ts: TimestampMs, step: u8, within_ms: i64) {
        self.last = ts;
        while self.events.front().is_some_and(|(then, _)| ts - then > within_ms) {
            self.events.pop_front();
        }
        self.events.push_back((ts, step));
        if self.events.len() > EVENTS_PER_SEQUENCE_KEY_MAX {
            self.make_room();
        }
    }

    /// Drops the oldest event of the most frequent step: many events of one step do not displace the others.
    fn make_room(&mut self) {
        let count = |step: u8| self.events.iter().filter(|(_, other)| *other == step).count();
        let most = self.events.iter().map(|(_, step)| (count(*step), *step)).max();
        let oldest = most.and_then(|(_, most)| self.events.iter().position(|(_, step)| *step == most));
        oldest.and_then(|at| self.events.remove(at));
    }

    /// Removes the latest events that make up all steps, and returns the time of the first.
    fn take_match(&mut self, steps: &[u8], ordered: bool) -> Option<TimestampMs> {
        let mut used: Vec<usize> = Vec::with_capacity(steps.len());
        let (mut not_after, mut first) = (TimestampMs::MAX, TimestampMs::MAX);
        for step in steps.iter().rev() {
            let fits = |at: &usize| {
                let (ts, other) = self.events[*at];
                other == *step && !used.contains(at) && (!ordered || ts <= not_after)
            };
            let at = (0..self.events.len()).rev().find(fits)?;
            not_after = self.events[at].0;
            first = first.min(not_after);
            used.push(at);
        }
        used.sort_unstable_by(|a, b| b.cmp(a));
        for at in used {
            self.events.remove(at);
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::SequenceDetector;
    use crate::rule::definition::detectors::sequence::SequenceSpec;
    use crate::rule::definition::output_columns::Breach;
    use crate::window::detector::tests::row;

    fn sequence(steps: &[&str], ordered: bool) -> SequenceDetector {
        let steps = steps.iter().map(|step| step.to_string()).collect();
        SequenceDetector::new(SequenceSpec { steps, within_ms: 10_000, ordered })
    }

    fn event(at_s: i64, user: &str, step: &str) -> Breach {
        let mut event = row(at_s * 1000, &[("user", user)], at_s as f64);
        event.texts.push(("step".into(), step.into()));
        event
    }

    /// When each sequence of one user was complete, and how long it took. All events come in one call.
    fn complete(detector: &mut SequenceDetector, events: &[(i64, &str)]) -> Vec<(i64, f64)> {
        let rows = events.iter().map(|(at_s, step)| event(*at_s, "u", step)).collect();
        let completed = detector.detect(rows).into_iter().map(|it| {
            assert_eq!(it.value, it.ts as f64 / 1000.0, "the value is the completing row's");
            (it.ts / 1000, it.numbers[0].1)
        });
        completed.collect()
    }

    const LOGIN: [&str; 3] = ["failed", "failed", "ok"];

    #[test]
    fn all_steps_in_order_within_the_time() {
        assert_eq!(complete(&mut sequence(&LOGIN, true), &[(0, "failed"), (4, "failed"), (10, "ok")]), [(10, 10.0)]);
        assert_eq!(complete(&mut sequence(&LOGIN, true), &[(0, "failed"), (4, "failed"), (11, "ok")]), [], "a second too late");
        assert_eq!(complete(&mut sequence(&LOGIN, true), &[(0, "failed"), (4, "ok"), (5, "failed")]), [], "out of order");
        assert_eq!(complete(&mut sequence(&LOGIN, true), &[(0, "failed"), (1, "ok"), (2, "failed"), (3, "ok")]), [(3, 3.0)]);
        assert_eq!(complete(&mut sequence(&LOGIN, true), &[(0, "failed"), (1, "other"), (2, "failed"), (3, "ok")]), [(3, 3.0)]);
    }

    #[test]
    fn the_latest_events_are_used_and_each_once() {
        let mut detector = sequence(&LOGIN, true);
        let events = [(0, "failed"), (1, "failed"), (2, "failed"), (3, "ok"), (4, "ok"), (5, "failed"), (6, "ok")];
        assert_eq!(complete(&mut detector, &events), [(3, 2.0), (6, 6.0)]);
    }

    #[test]
    fn it_does_not_matter_how_the_events_are_cut_into_calls() {
        let events = [(0, "failed"), (1, "failed"), (1, "ok"), (2, "ok"), (6, "failed"), (7, "failed"), (7, "ok")];
        let whole = complete(&mut sequence(&LOGIN, true), &events);
        assert_eq!(whole, [(1, 1.0), (7, 1.0)]);
        for cut in [1, 3, 4, 5] {
            let mut detector = sequence(&LOGIN, true);
            let parts = events.split_at(cut);
            let completed = [complete(&mut detector, parts.0), complete(&mut detector, parts.1)].concat();
            assert_eq!(completed, whole, "cut at {cut}");
        }
    }

    #[test]
    fn in_any_order_where_the_author_says_so() {
        let mut detector = sequence(&["disk", "cpu"], false);
        assert_eq!(complete(&mut detector, &[(0, "cpu"), (3, "cpu"), (5, "disk")]), [(5, 2.0)]);
        assert_eq!(complete(&mut detector, &[(6, "disk")]), [(6, 6.0)], "the first was not used yet");
        assert_eq!(complete(&mut detector, &[(7, "disk")]), []);
    }

    #[test]
    fn events_of_one_instant_are_in_any_order() {
        assert_eq!(complete(&mut sequence(&["z", "a"], true), &[(1, "a"), (1, "z")]), [(1, 0.0)]);
        assert_eq!(complete(&mut sequence(&["a", "z"], true), &[(1, "a"), (1, "z")]), [(1, 0.0)]);
    }

    #[test]
    fn each_key_is_for_itself() {
        let mut detector = sequence(&["failed", "ok"], true);
        let completed = detector.detect(vec![event(2, "b", "ok"), event(1, "a", "failed"), event(3, "a", "ok")]);
        assert_eq!(completed.iter().map(|it| (it.labels.get("user"), it.ts)).collect::<Vec<_>>(), [(Some("a"), 3000)]);
    }

    #[test]
    fn many_events_of_one_step_do_not_displace_the_others() {
        let mut detector = sequence(&["login", "read", "logout"], true);
        let reads: Vec<(i64, &str)> = (0..500).map(|_| (2, "read")).collect();
        let events = [vec![(1, "login")], reads, vec![(3, "logout")]].concat();
        assert_eq!(complete(&mut detector, &events), [(3, 2.0)]);
    }

    #[test]
    fn keys_over_the_capacity_are_counted() {
        let mut detector = sequence(&["failed", "ok"], true).with_capacity(1);
        detector.detect(vec![event(1, "a", "failed"), event(1, "b", "failed")]);
        assert_eq!(detector.overflow(), 1);
        assert_eq!(detector.detect(vec![event(2, "a", "ok")]).len(), 1);
    }
}
