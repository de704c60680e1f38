//! When rules about single events stop waiting for late ones. They are scheduled only where there are events, so where none came no
//! tick seals their tables: time alone must, or what counts as late would depend on how messages were batched.

use std::collections::BTreeSet;

use crate::model::time::{TimestampMs, align_down};
use crate::rule::Rule;
use crate::rule::definition::window_spec::WindowSpec;

/// The ticks of all rules about single events, whether they are scheduled or not.
#[derive(Debug)]
pub(crate) struct InstantTicks {
    every_ms: BTreeSet<i64>,
    /// The last tick up to which the tables are sealed.
    sealed_until: TimestampMs,
}

impl InstantTicks {
    pub(crate) fn of<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let instant = rules.filter(|rule| rule.front.window_spec == WindowSpec::Instant);
        Self { every_ms: instant.map(|rule| rule.front.every_ms).collect(), sealed_until: TimestampMs::MIN }
    }

    /// Whether a rule had a tick by `now` up to which its tables are not sealed.
    pub(crate) fn is_due(&self, now: TimestampMs) -> bool {
        self.last_tick(now) > self.sealed_until
    }

    /// The tables are sealed up to the last tick by `now`.
    pub(crate) fn set_sealed(&mut self, now: TimestampMs) {
        self.sealed_until = self.last_tick(now);
    }

    fn last_tick(&self, now: TimestampMs) -> TimestampMs {
        self.every_ms.iter().map(|every_ms| align_down(now, *every_ms)).max().unwrap_or(TimestampMs::MIN)
    }
}
