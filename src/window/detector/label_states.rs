//! The state that a detector keeps for each label set: for a limited time, and of a limited number of label sets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::labels::Labels;
use crate::model::limits::GROUPS_PER_TABLE_MAX;
use crate::model::time::TimestampMs;

/// The state of one label set.
pub(crate) trait LastUpdated {
    /// When there was last something to keep.
    fn last_updated(&self) -> TimestampMs;
}

/// The states by label set. An expired state counts as absent at once, and is removed when there is need for room: so it makes no
/// difference whether time passes in one step or in many.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LabelStates<T> {
    states: BTreeMap<Labels, T>,
    /// A state that was not updated for longer has expired.
    ttl_ms: i64,
    /// Label sets that found no room.
    overflow: u64,
    /// How many states the last sweep left, and when it was.
    swept: (usize, TimestampMs),
    #[serde(skip, default = "capacity")]
    capacity: usize,
}

fn capacity() -> usize {
    GROUPS_PER_TABLE_MAX
}

/// Fewer states are not swept.
const SWEEP_MIN: usize = 1_000;

impl<T: LastUpdated> LabelStates<T> {
    /// No states; each will live for `ttl_ms`.
    pub(crate) fn new(ttl_ms: i64) -> Self {
        Self { states: BTreeMap::new(), ttl_ms, overflow: 0, swept: (0, TimestampMs::MIN), capacity: capacity() }
    }

    #[cfg(test)]
    pub(crate) fn with_capacity(self, capacity: usize) -> Self {
        Self { capacity, ..self }
    }

    /// The state of `labels` at `at`, and whether it is new: then it is `new()`. `None` where there is no room.
    pub(crate) fn get_or_insert(&mut self, labels: &Labels, at: TimestampMs, new: impl FnOnce() -> T) -> Option<(&mut T, bool)> {
        let live = self.states.get(labels).map(|state| !is_expired(state, at, self.ttl_ms));
        if live.is_none() && !self.has_room(at) {
            self.overflow += 1;
            return None;
        }
        let is_new = live != Some(true);
        if is_new {
            self.states.insert(labels.clone(), new());
        }
        self.states.get_mut(labels).map(|state| (state, is_new))
    }

    fn has_room(&mut self, at: TimestampMs) -> bool {
        let full = self.states.len() >= self.capacity && self.swept.1 != at;
        if full || self.states.len() > 2 * self.swept.0 + SWEEP_MIN {
            self.remove_expired(at);
        }
        self.states.len() < self.capacity
    }

    /// The label sets whose state has expired at `at` and was not removed yet.
    pub(crate) fn expired(&self, at: TimestampMs) -> impl Iterator<Item = &Labels> {
        self.states.iter().filter(move |(_, state)| is_expired(*state, at, self.ttl_ms)).map(|(labels, _)| labels)
    }

    /// Removes all states that have expired at `at`.
    pub(crate) fn remove_expired(&mut self, at: TimestampMs) {
        let ttl_ms = self.ttl_ms;
        self.states.retain(|_, state| !is_expired(state, at, ttl_ms));
        self.swept = (self.states.len(), at);
    }

    /// All states by label set; some may have expired.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Labels, &T)> {
        self.states.iter()
    }

    /// Whether there is no state.
    pub(crate) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Label sets that found no room so far.
    pub(crate) fn overflow(&self) -> u64 {
        self.overflow
    }
}

fn is_expired(state: &impl LastUpdated, at: TimestampMs, ttl_ms: i64) -> bool {
    at.saturating_sub(state.last_updated()) > ttl_ms
}

#[cfg(test)]
mod tests {
    use super::{LabelStates, LastUpdated};
    use crate::model::labels::Labels;

    impl LastUpdated for i64 {
        fn last_updated(&self) -> i64 {
            *self
        }
    }

    fn labels(name: &str) -> Labels {
        Labels::new([("name".to_string(), name.to_string())])
    }

    #[test]
    fn a_state_expires_after_its_time_to_live() {
        let mut states = LabelStates::new(10);
        assert_eq!(states.get_or_insert(&labels("a"), 0, || 0), Some((&mut 0, true)));
        assert_eq!(states.get_or_insert(&labels("a"), 10, || 10), Some((&mut 0, false)));
        assert_eq!(states.get_or_insert(&labels("a"), 11, || 11), Some((&mut 11, true)));
    }

    #[test]
    fn label_sets_over_the_capacity_are_counted() {
        let mut states = LabelStates::new(10).with_capacity(2);
        for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
            states.get_or_insert(&labels(name), at as i64, || at as i64);
        }
        assert_eq!((states.iter().count(), states.overflow()), (2, 1));
        assert!(states.get_or_insert(&labels("a"), 3, || 3).is_some(), "what is known stays known");
        assert!(states.get_or_insert(&labels("c"), 11, || 11).is_some(), "a has expired");
        assert_eq!((states.iter().count(), states.overflow()), (2, 1));
    }

    #[test]
    fn expired_states_are_removed_as_new_label_sets_come() {
        let mut states = LabelStates::new(10);
        for i in 0..100_000_i64 {
            states.get_or_insert(&labels(&i.to_string()), i, || i);
        }
        assert!(states.iter().count() < 3_000, "{}", states.iter().count());
    }
}
