//! Consecutive keys of a key space as a chunk of a snapshot.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::snapshot::ChunkContent;
use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::versioned::RestoreError;

/// Encoded keys, one after the other.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeyChunk {
    /// Where each key ends in `bytes`.
    pub(crate) ends: Vec<usize>,
    pub(crate) bytes: Blob,
}

impl KeyChunk {
    /// The keys in `bytes`. `ends` count from `start` bytes before it.
    pub(crate) fn new(bytes: &[u8], start: usize, ends: &[usize]) -> Self {
        Self { ends: ends.iter().map(|end| end - start).collect(), bytes: Blob(bytes.to_vec()) }
    }

    pub(crate) fn decode(chunk: &[u8]) -> Result<Self, RestoreError> {
        let keys: Self = postcard::from_bytes(chunk)?;
        check_ends(&keys.bytes.0, &keys.ends)?;
        Ok(keys)
    }
}

impl ChunkContent for KeyChunk {
    fn size_hint(&self) -> usize {
        self.bytes.0.len() + 2 * self.ends.len()
    }

    fn encode(&self) -> Result<Bytes, String> {
        postcard::to_allocvec(self).map(Bytes::from).map_err(|error| error.to_string())
    }
}

/// Whether `ends` cut `bytes` into keys, whole.
pub(crate) fn check_ends(bytes: &[u8], ends: &[usize]) -> Result<(), RestoreError> {
    if ends.is_sorted() && ends.last().copied().unwrap_or(0) == bytes.len() {
        Ok(())
    } else {
        Err(RestoreError::Damaged("the ends of the keys do not match their bytes".into()))
    }
}
