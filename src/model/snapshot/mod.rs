//! Snapshots of state: a head, and chunks that the head knows by their order.
//!
//! State that no longer changes (a sealed pane, say) is an immutable chunk. It shares a slot with whoever stores it; once the slot
//! holds a location, the chunk is not encoded again. So a checkpoint costs what changed since the one before, however much a window
//! holds. The idea is that of log-structured merge trees (O'Neil et al., Acta Informatica 1996), as Flink's incremental checkpoints
//! use it.
//!
//! This module stores nothing and knows no format of a state: those belong to the state's owner.

pub mod blob;
pub mod checksum;
pub mod ipc_frames;
pub mod ipc_stream;
pub mod versioned;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The content of a chunk. It may be encoded later, by another thread than the one that changes the state.
pub trait ChunkContent: Send + Sync {
    /// About how many bytes [`Self::encode`] yields.
    fn size_hint(&self) -> usize;

    /// The content as bytes.
    ///
    /// # Errors
    ///
    /// Content that cannot be encoded: a defect.
    fn encode(&self) -> Result<Bytes, String>;
}

/// Where a chunk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChunkLocation {
    /// The number of the segment.
    pub segment: u64,
    /// The first byte within the segment.
    pub offset: u64,
    /// The length in bytes.
    pub length: u64,
}

/// Holds the location of an immutable chunk once it is stored. Clones share the location.
#[derive(Clone, Default)]
pub struct LocationSlot(Arc<Mutex<Option<ChunkLocation>>>);

impl LocationSlot {
    /// The location; `None` while the chunk is not stored.
    pub fn get(&self) -> Option<ChunkLocation> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the location; `None` where the chunk must be stored again.
    pub fn set(&self, location: Option<ChunkLocation>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = location;
    }
}

impl fmt::Debug for LocationSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

/// A chunk of a snapshot.
pub struct Chunk {
    /// `None` where it is stored already.
    pub content: Option<Arc<dyn ChunkContent>>,
    /// The slot of an immutable chunk; `None` for a transient one.
    pub slot: Option<LocationSlot>,
    /// The location at the time of the snapshot.
    pub location: Option<ChunkLocation>,
}

impl Chunk {
    /// A chunk that may differ in the next snapshot.
    pub fn transient(content: impl ChunkContent + 'static) -> Self {
        Self { content: Some(Arc::new(content)), slot: None, location: None }
    }

    /// A chunk that stays the same in all snapshots. `content` is called only where it is not stored yet.
    pub fn immutable<C: ChunkContent + 'static>(slot: &LocationSlot, content: impl FnOnce() -> C) -> Self {
        let location = slot.get();
        let content = location.is_none().then(|| Arc::new(content()) as Arc<dyn ChunkContent>);
        Self { content, slot: Some(slot.clone()), location }
    }
}

/// State as of one moment, to be stored.
pub struct StateSnapshot {
    /// The encoded state around the chunks.
    pub head: Vec<u8>,
    /// The chunks, in the order that the head knows.
    pub chunks: Vec<Chunk>,
}

/// A snapshot that was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedSnapshot {
    /// As in [`StateSnapshot`].
    pub head: Vec<u8>,
    /// The encoded chunks, in the order that the head knows.
    pub chunks: Vec<Bytes>,
}

impl StateSnapshot {
    /// The snapshot as it would be read back, without storing it.
    ///
    /// # Errors
    ///
    /// A chunk cannot be encoded, or is stored already and so has no content here.
    pub fn into_loaded(self) -> Result<LoadedSnapshot, String> {
        let encode = |chunk: &Chunk| match &chunk.content {
            Some(content) => content.encode(),
            None => Err("a chunk is stored elsewhere".into()),
        };
        Ok(LoadedSnapshot { chunks: self.chunks.iter().map(encode).collect::<Result<_, _>>()?, head: self.head })
    }
}
