//! How far reading and decoding have come; travels with each item to the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::io::decode::unknown_words::UnknownWord;

/// The progress as of an item.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The last message decoded, or a later one where nothing lies between them that is for squelch.
    pub sequence: u64,
    /// Rejected events by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Words of other systems' alerts that are not known.
    pub unknown_words: Arc<BTreeMap<UnknownWord, u64>>,
    /// Time spent in decoding.
    pub decoding: Duration,
}
