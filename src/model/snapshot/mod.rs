//! State that is saved in pieces: a head, and pieces that the head knows by their order.
//!
//! What does not change any more (a sealed pane, say) is a piece that lasts: it carries its whereabouts, and once those are known
//! nobody makes bytes of it again. So a checkpoint costs what changed since the one before, however much a window holds. The idea is
//! that of log-structured merge trees (O'Neil et al., Acta Informatica 1996), as Flink's incremental checkpoints use it.

pub mod blob;
pub mod checksum;
pub mod ipc_frames;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// State that can be written as bytes, later and by another thread than the one that changes it.
pub trait Content: Send + Sync {
    /// About how many bytes it has.
    fn size(&self) -> usize;

    /// The bytes.
    ///
    /// # Errors
    ///
    /// State that cannot be written: a defect.
    fn to_bytes(&self) -> Result<Bytes, String>;
}

/// Where a piece lies: in which segment, from which byte on, how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Spot {
    /// The segment's number.
    pub segment: u64,
    /// Its first byte there.
    pub from: u64,
    /// Its length.
    pub bytes: u64,
}

/// Where something that lasts was written; nobody knows it before it was. Clones are of the same thing.
#[derive(Clone, Default)]
pub struct Whereabouts(Arc<Mutex<Option<Spot>>>);

impl Whereabouts {
    /// Where it lies, once that is known.
    pub fn get(&self) -> Option<Spot> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It lies there now; or it must be written again.
    pub fn set(&self, spot: Option<Spot>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = spot;
    }
}

impl fmt::Debug for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

/// A piece of saved state.
pub struct Piece {
    /// What it is; nothing where it was written already.
    pub content: Option<Arc<dyn Content>>,
    /// Where it lies or will lie, if it lasts.
    pub whereabouts: Option<Whereabouts>,
    /// Where it lay when it was saved.
    pub spot: Option<Spot>,
}

impl Piece {
    /// A piece that may be another the next time.
    pub fn passing(content: impl Content + 'static) -> Self {
        Self { content: Some(Arc::new(content)), whereabouts: None, spot: None }
    }

    /// A piece that stays as it is. Its content is asked for only where it was not written yet.
    pub fn lasting<C: Content + 'static>(whereabouts: &Whereabouts, content: impl FnOnce() -> C) -> Self {
        let spot = whereabouts.get();
        let content = spot.is_none().then(|| Arc::new(content()) as Arc<dyn Content>);
        Self { content, whereabouts: Some(whereabouts.clone()), spot }
    }
}

/// State as it was saved.
pub struct Saved {
    /// What holds the pieces together.
    pub head: Vec<u8>,
    /// The pieces.
    pub pieces: Vec<Piece>,
}

/// State as it was found again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What holds the pieces together.
    pub head: Vec<u8>,
    /// The pieces.
    pub pieces: Vec<Bytes>,
}

impl Saved {
    /// The state as it would be found again, were it kept. Only where nothing was written yet.
    ///
    /// # Errors
    ///
    /// A piece cannot be written, or was written elsewhere.
    pub fn found(self) -> Result<Found, String> {
        let bytes = |piece: &Piece| match &piece.content {
            Some(content) => content.to_bytes(),
            None => Err("a piece was written elsewhere".into()),
        };
        Ok(Found { pieces: self.pieces.iter().map(bytes).collect::<Result<_, _>>()?, head: self.head })
    }
}
