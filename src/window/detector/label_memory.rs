//! What a judge remembers of each label set: for so long, and of so many at most.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::labels::Labels;
use crate::model::limits::GROUPS_PER_TABLE_MAX;
use crate::model::time::TimestampMs;

/// What is remembered of one label set.
pub(crate) trait Remembered {
    /// When there was last something to remember.
    fn last(&self) -> TimestampMs;
}

/// The memories by label set. What is over counts as forgotten at once, and is swept out when there is need for room: so it
/// changes nothing whether time passes in one step or in many.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Memory<T> {
    of: BTreeMap<Labels, T>,
    /// A memory older than this is over.
    keep_ms: i64,
    /// Label sets that found no room.
    refused: u64,
    /// How many were left after the last sweep, and when that was.
    swept: (usize, TimestampMs),
    #[serde(skip, default = "room")]
    room: usize,
}

fn room() -> usize {
    GROUPS_PER_TABLE_MAX
}

/// Fewer memories are never swept.
const FEW: usize = 1_000;

impl<T: Remembered> Memory<T> {
    /// No memories; each will be kept for `keep_ms`.
    pub(crate) fn new(keep_ms: i64) -> Self {
        Self { of: BTreeMap::new(), keep_ms, refused: 0, swept: (0, TimestampMs::MIN), room: room() }
    }

    #[cfg(test)]
    pub(crate) fn with_room(self, room: usize) -> Self {
        Self { room, ..self }
    }

    /// What is remembered of `labels` at `at`, and whether it is only now that anything is: then it is `fresh`. `None` where
    /// there is no room.
    pub(crate) fn recall(&mut self, labels: &Labels, at: TimestampMs, fresh: impl FnOnce() -> T) -> Option<(&mut T, bool)> {
        let known = self.of.get(labels).map(|memory| !is_over(memory, at, self.keep_ms));
        if known.is_none() && !self.has_room(at) {
            self.refused += 1;
            return None;
        }
        if known != Some(true) {
            self.of.insert(labels.clone(), fresh());
        }
        self.of.get_mut(labels).map(|memory| (memory, known != Some(true)))
    }

    fn has_room(&mut self, at: TimestampMs) -> bool {
        let full = self.of.len() >= self.room && self.swept.1 != at;
        if full || self.of.len() > 2 * self.swept.0 + FEW {
            self.forget(at);
        }
        self.of.len() < self.room
    }

    /// Lets go of all that is over at `at`.
    pub(crate) fn forget(&mut self, at: TimestampMs) {
        let keep_ms = self.keep_ms;
        self.of.retain(|_, memory| !is_over(memory, at, keep_ms));
        self.swept = (self.of.len(), at);
    }

    /// All, by label set; some may be over.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Labels, &T)> {
        self.of.iter()
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Label sets that found no room so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }
}

fn is_over(memory: &impl Remembered, at: TimestampMs, keep_ms: i64) -> bool {
    at.saturating_sub(memory.last()) > keep_ms
}

#[cfg(test)]
mod tests {
    use super::{Memory, Remembered};
    use crate::model::labels::Labels;

    impl Remembered for i64 {
        fn last(&self) -> i64 {
            *self
        }
    }

    fn labels(name: &str) -> Labels {
        Labels::new([("name".to_string(), name.to_string())])
    }

    #[test]
    fn a_memory_is_kept_for_its_time_and_not_longer() {
        let mut memory = Memory::new(10);
        assert_eq!(memory.recall(&labels("a"), 0, || 0), Some((&mut 0, true)));
        assert_eq!(memory.recall(&labels("a"), 10, || 10), Some((&mut 0, false)));
        assert_eq!(memory.recall(&labels("a"), 11, || 11), Some((&mut 11, true)));
    }

    #[test]
    fn the_full_memory_takes_what_it_can_and_counts_the_rest() {
        let mut memory = Memory::new(10).with_room(2);
        for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
            memory.recall(&labels(name), at as i64, || at as i64);
        }
        assert_eq!((memory.iter().count(), memory.refused()), (2, 1));
        assert!(memory.recall(&labels("a"), 3, || 3).is_some(), "what is known stays known");
        assert!(memory.recall(&labels("c"), 11, || 11).is_some(), "a is over");
        assert_eq!((memory.iter().count(), memory.refused()), (2, 1));
    }

    #[test]
    fn what_is_over_is_swept_out_as_new_label_sets_come() {
        let mut memory = Memory::new(10);
        for i in 0..100_000_i64 {
            memory.recall(&labels(&i.to_string()), i, || i);
        }
        assert!(memory.iter().count() < 3_000, "{}", memory.iter().count());
    }
}
