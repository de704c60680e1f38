//! Words in the severity and status of other systems' alerts that squelch does not know: counted by word, so that an operator sees that
//! `severity: "bad"` arrives and what is made of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::limits::{UNKNOWN_WORD_CHARS_MAX, UNKNOWN_WORDS_MAX};

/// Stands for all words beyond [`UNKNOWN_WORDS_MAX`].
const OTHER_WORDS: &str = "(others)";

/// A word, and the field that it stood in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownWord {
    /// `severity` or `status`.
    pub field: &'static str,
    /// The word, cut to [`UNKNOWN_WORD_CHARS_MAX`] characters.
    pub word: String,
}

/// How often each unknown word occurred.
#[derive(Clone, Debug, Default)]
pub struct UnknownWords {
    counts: Arc<BTreeMap<UnknownWord, u64>>,
    unreported: Vec<UnknownWord>,
}

impl UnknownWords {
    /// Counts a word.
    pub(crate) fn count(&mut self, field: &'static str, word: &str) {
        let mut key = UnknownWord { field, word: word.trim().chars().take(UNKNOWN_WORD_CHARS_MAX).collect() };
        if !self.counts.contains_key(&key) && self.counts.len() >= UNKNOWN_WORDS_MAX {
            key.word = OTHER_WORDS.into();
        }
        let count = Arc::make_mut(&mut self.counts).entry(key.clone()).or_default();
        *count += 1;
        if *count == 1 {
            self.unreported.push(key);
        }
    }

    /// The counts, by word.
    pub fn counts(&self) -> &Arc<BTreeMap<UnknownWord, u64>> {
        &self.counts
    }

    /// The words that occurred for the first time since the last call.
    pub fn take_unreported(&mut self) -> Vec<UnknownWord> {
        std::mem::take(&mut self.unreported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_bounded_in_number_and_length() {
        let mut words = UnknownWords::default();
        (0..2 * UNKNOWN_WORDS_MAX).for_each(|i| words.count("severity", &format!("word {i}")));
        words.count("severity", " word 0 ");
        words.count("status", &"long ".repeat(100));
        // Two more than the limit: what stands for the other words of each field.
        assert_eq!(words.counts().len(), UNKNOWN_WORDS_MAX + 2);
        assert_eq!(words.counts()[&UnknownWord { field: "severity", word: "word 0".into() }], 2);
        assert_eq!(words.counts().values().sum::<u64>(), 2 * UNKNOWN_WORDS_MAX as u64 + 2);
        assert_eq!(words.take_unreported().len(), UNKNOWN_WORDS_MAX + 2);
        assert_eq!(words.take_unreported(), []);
        let mut words = UnknownWords::default();
        words.count("status", &"é".repeat(100));
        assert_eq!(words.take_unreported()[0].word.chars().count(), UNKNOWN_WORD_CHARS_MAX);
    }
}
