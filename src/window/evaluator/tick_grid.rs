//! The ticks of all rules, whether they are scheduled or not. Rules about single events are scheduled only where there are events, and a
//! rule over empty windows sleeps: time alone must say which ticks have passed, or what counts as late would depend on how messages
//! were batched.

use std::collections::BTreeSet;

use crate::model::time::{TimestampMs, align_down};
use crate::rule::Rule;

/// The multiples of every rule's `every`.
#[derive(Debug)]
pub(crate) struct TickGrid {
    every_ms: BTreeSet<i64>,
    /// Ticks up to here have passed.
    passed: TimestampMs,
    /// The first tick after that.
    next: TimestampMs,
}

impl TickGrid {
    /// No tick has passed.
    pub(crate) fn of<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        Self { every_ms: rules.map(|rule| rule.front.every_ms).collect(), passed: TimestampMs::MIN, next: TimestampMs::MIN }
    }

    /// Whether some rule has a tick by `now` that has not passed.
    pub(crate) fn is_due(&self, now: TimestampMs) -> bool {
        self.next <= now && !self.every_ms.is_empty()
    }

    /// All ticks up to `now` have passed.
    pub(crate) fn pass(&mut self, now: TimestampMs) {
        self.passed = self.passed.max(now);
        let ticks = self.every_ms.iter().map(|every_ms| align_down(self.passed, *every_ms) + every_ms);
        self.next = ticks.min().unwrap_or(TimestampMs::MAX);
    }

    /// The last tick of this `every` that has passed.
    pub(crate) fn last(&self, every_ms: i64) -> TimestampMs {
        if self.passed == TimestampMs::MIN { TimestampMs::MIN } else { align_down(self.passed, every_ms) }
    }

    /// The first tick of this `every` after `earliest` that has not passed.
    pub(crate) fn first_after(&self, earliest: TimestampMs, every_ms: i64) -> TimestampMs {
        align_down(earliest.max(self.passed), every_ms) + every_ms
    }
}
