//! Checkpoints in JetStream: the newest and the one before it, and the segments that they share, in a bucket that several processes
//! share.
//!
//! A checkpoint's head is written in pieces under keys that are nobody else's, and counts only when the one key that names them all,
//! the manifest, was written in place of the revision that this process wrote before. So it is there whole or not at all, and whoever
//! lost the lease cannot put an old one over a new one. Numbers of segments begin with the term: none is written by two.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv::Store;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::io::nats::client::kv_cas::{self, WriteError};
use crate::io::nats::cluster::lease::{HeldLease, LeaseLost, StoreError};
use crate::model::snapshot::checksum::{self, ChecksumError};

/// The largest piece; less where the server takes less.
const PIECE_BYTES_MAX: usize = 512 << 10;
/// What a message has besides its piece.
const MESSAGE_EXTRA_BYTES: usize = 4 << 10;
/// Pieces under way at once.
const PIECES_AT_ONCE: usize = 8;
/// Segments that one term may write.
const TERM_SHIFT: u32 = 32;
/// How long writing the manifest may take.
const WITHIN: Duration = Duration::from_secs(5);

/// How far the streams of results were when a checkpoint was kept: nothing before is made again by who goes on from it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct OutputPositions {
    /// In the stream of incidents.
    pub incidents: u64,
    /// In the stream of rejected input.
    pub rejected: u64,
}

/// Where the pieces of a checkpoint are.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Named {
    /// What the keys of its pieces begin with.
    id: String,
    pieces: usize,
    bytes: usize,
    /// The place of its first piece in the bucket's stream: what is before that of all named checkpoints is nobody's.
    first: u64,
    places: OutputPositions,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Manifest {
    /// Who wrote it last.
    term: u64,
    newest: Option<Named>,
    before: Option<Named>,
}

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointReadError {
    /// It is not whole.
    #[error("the checkpoint {id} in the bucket {bucket} is {what}")]
    Damaged {
        /// What its keys begin with.
        id: String,
        /// Where.
        bucket: String,
        /// In which way.
        what: ChecksumError,
    },
    /// The server does not answer.
    #[error("the bucket {bucket} of checkpoints cannot be read: {cause}")]
    Unread {
        /// Which.
        bucket: String,
        /// Why.
        cause: String,
    },
}

/// The checkpoints of one name, for as long as a lease is held.
#[derive(Clone)]
pub struct CheckpointStore {
    context: Context,
    bucket: Store,
    name: String,
    lease: HeldLease,
    known: Arc<Mutex<Known>>,
}

struct Known {
    revision: u64,
    manifest: Manifest,
    written: u64,
}

impl CheckpointStore {
    /// Reads what there is and signs it: from here on nobody who held the lease before can keep a checkpoint.
    ///
    /// # Errors
    ///
    /// The server does not answer, or the lease is lost already.
    pub async fn open(context: Context, bucket: Store, name: &str, lease: HeldLease) -> Result<Self, StoreError> {
        let key = format!("{name}.checkpoint");
        loop {
            lease.may_write().await?;
            let (revision, value) = kv_cas::read(&bucket, &key).await.map_err(StoreError::Failed)?;
            let found: Manifest = if value.is_empty() { Manifest::default() } else { parse(&key, &value)? };
            let manifest = Manifest { term: lease.term(), ..found };
            match kv_cas::replace(&bucket, &key, to_bytes(&manifest)?, revision, WITHIN).await {
                Ok(revision) => {
                    let known = Arc::new(Mutex::new(Known { revision, manifest, written: 0 }));
                    return Ok(Self { context, bucket, name: name.into(), lease, known });
                }
                Err(WriteError::Replaced) => lease.renew().await?,
                Err(WriteError::Failed(error)) => return Err(StoreError::Failed(error)),
            }
        }
    }

    /// The head of the newest checkpoint, or of the one before it (`nth` 1), if it is there.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not whole.
    pub async fn read(&self, nth: usize) -> Option<Result<(Vec<u8>, OutputPositions), CheckpointReadError>> {
        let Manifest { newest, before, .. } = self.known.lock().await.manifest.clone();
        let named = [newest, before].into_iter().flatten().nth(nth)?;
        Some(self.read_named(&named).await)
    }

    /// Whether another process keeps them now.
    pub fn is_lost(&self) -> bool {
        self.lease.is_lost()
    }

    async fn read_named(&self, named: &Named) -> Result<(Vec<u8>, OutputPositions), CheckpointReadError> {
        let sealed = self.read_pieces(&format!("piece.{}", named.id), 0..named.pieces).await?;
        let damaged = |what| CheckpointReadError::Damaged { id: named.id.clone(), bucket: self.bucket.name.clone(), what };
        Ok((checksum::verify(sealed).map_err(damaged)?, named.places))
    }

    /// What is written under these keys.
    async fn read_pieces(&self, of: &str, pieces: Range<usize>) -> Result<Vec<u8>, CheckpointReadError> {
        let unread = |cause| CheckpointReadError::Unread { bucket: self.bucket.name.clone(), cause };
        let keys = pieces.map(|piece| format!("{}.{of}.{piece}", self.name));
        let read = keys.map(|key| async move { kv_cas::read(&self.bucket, &key).await });
        let mut pieces = stream::iter(read).buffered(PIECES_AT_ONCE);
        let mut content = Vec::new();
        while let Some((_, piece)) = pieces.try_next().await.map_err(unread)? {
            content.extend_from_slice(&piece);
        }
        Ok(content)
    }

    /// Writes under keys that are numbered from `after` on; says how many, and the place of the first in the bucket's stream.
    async fn write_pieces(&self, of: &str, after: usize, piece_bytes: usize, content: Bytes) -> Result<(usize, u64), StoreError> {
        self.lease.may_write().await?;
        let pieces = content.len().div_ceil(piece_bytes);
        let piece = |nth: usize| content.slice(nth * piece_bytes..content.len().min((nth + 1) * piece_bytes));
        let written = (0..pieces).map(|nth| self.bucket.put(format!("{}.{of}.{}", self.name, after + nth), piece(nth)));
        let written: Result<Vec<u64>, _> = stream::iter(written).buffered(PIECES_AT_ONCE).try_collect().await;
        Ok((pieces, written.map_err(|error| StoreError::Failed(error.to_string()))?.into_iter().min().unwrap_or(0)))
    }

    /// The number after which those of this process's segments come.
    pub fn segments_after(&self) -> u64 {
        self.lease.term() << TERM_SHIFT
    }

    /// The numbers of the segments that are there, whole or not.
    ///
    /// # Errors
    ///
    /// The server does not answer.
    pub async fn segments(&self) -> Result<BTreeSet<u64>, CheckpointReadError> {
        let unread = |cause: String| CheckpointReadError::Unread { bucket: self.bucket.name.clone(), cause };
        let begin = format!("{}{}.segment.", self.bucket.prefix, self.name);
        let subjects = self.bucket.stream.info_with_subjects(format!("{begin}>")).await;
        let mut subjects = subjects.map_err(|error| unread(error.to_string()))?;
        let mut numbers = BTreeSet::new();
        while let Some((subject, _)) = subjects.try_next().await.map_err(|error| unread(error.to_string()))? {
            numbers.extend(subject.strip_prefix(&begin).and_then(|rest| rest.split('.').next()?.parse::<u64>().ok()));
        }
        Ok(numbers)
    }

    /// The content of a segment of so many bytes, as it is.
    ///
    /// # Errors
    ///
    /// The server does not answer.
    pub async fn read_segment(&self, number: u64, bytes: usize) -> Result<Vec<u8>, CheckpointReadError> {
        // How large pieces are, another server's limits have decided.
        let of = format!("segment.{number}");
        let mut content = self.read_pieces(&of, 0..1).await?;
        let pieces = if content.is_empty() { 0 } else { bytes.div_ceil(content.len()) };
        content.extend(self.read_pieces(&of, 1..pieces.max(1)).await?);
        Ok(content)
    }

    /// Begins a segment.
    pub fn begin_segment(&self, number: u64) -> SegmentPieces {
        SegmentPieces {
            state: self.clone(),
            of: format!("segment.{number}"),
            pieces: 0,
            piece_bytes: self.piece_bytes(),
            held: Vec::new(),
        }
    }

    fn piece_bytes(&self) -> usize {
        let usual = self.context.client().server_info().max_payload.saturating_sub(MESSAGE_EXTRA_BYTES);
        usual.clamp(MESSAGE_EXTRA_BYTES, PIECE_BYTES_MAX)
    }

    /// Removes a segment; says whether it is gone. One that is not takes room until the next time.
    pub async fn remove_segment(&self, number: u64) -> bool {
        let pieces = format!("{}{}.segment.{number}.>", self.bucket.prefix, self.name);
        let purged = self.bucket.stream.purge().filter(pieces).await;
        purged.inspect_err(|error| self.not_purged(error)).is_ok()
    }

    fn not_purged(&self, error: &dyn std::fmt::Display) {
        tracing::warn!(%error, bucket = self.bucket.name, "older checkpoints cannot be purged: they take room");
    }

    /// Keeps this as the newest. Until all of it is stored, the one before stays.
    ///
    /// # Errors
    ///
    /// The server does not answer or has no room, or the lease is lost. What was kept before is untouched then.
    pub async fn write(&self, content: &[u8], places: OutputPositions) -> Result<(), StoreError> {
        let mut known = self.known.lock().await;
        known.written += 1;
        let id = format!("{}-{}", self.lease.term(), known.written);
        let [before, behind] = checksum::header_and_trailer(content);
        let sealed = Bytes::from([&before, content, &behind].concat());
        let bytes = sealed.len();
        let (pieces, first) = self.write_pieces(&format!("piece.{id}"), 0, self.piece_bytes(), sealed).await?;
        let newest = Named { id, pieces, bytes, first, places };
        let manifest = Manifest { term: self.lease.term(), before: known.manifest.newest.clone(), newest: Some(newest) };
        self.write_manifest(&mut known, manifest).await?;
        self.purge(&known.manifest).await;
        Ok(())
    }

    async fn write_manifest(&self, known: &mut Known, manifest: Manifest) -> Result<(), StoreError> {
        let key = format!("{}.checkpoint", self.name);
        loop {
            self.lease.may_write().await?;
            match kv_cas::replace(&self.bucket, &key, to_bytes(&manifest)?, known.revision, WITHIN).await {
                Ok(revision) => {
                    (known.revision, known.manifest) = (revision, manifest);
                    return Ok(());
                }
                Err(WriteError::Failed(error)) => return Err(StoreError::Failed(error)),
                Err(WriteError::Replaced) => {
                    let (revision, value) = kv_cas::read(&self.bucket, &key).await.map_err(StoreError::Failed)?;
                    let found = parse(&key, &value)?;
                    if found.term != self.lease.term() {
                        self.lease.mark_lost();
                        return Err(LeaseLost.into());
                    }
                    if revision == known.revision {
                        return Err(StoreError::Failed("the server shows an old revision of the checkpoints".into()));
                    }
                    // An earlier one of ours was stored, and its acknowledgement was lost.
                    (known.revision, known.manifest) = (revision, found);
                }
            }
        }
    }

    /// Removes the pieces of older checkpoints, and of those that never were finished. What fails here takes room until the next time.
    async fn purge(&self, manifest: &Manifest) {
        let firsts = [&manifest.newest, &manifest.before].into_iter().flatten().map(|named| named.first);
        let Some(first) = firsts.min() else { return };
        let pieces = format!("{}{}.piece.>", self.bucket.prefix, self.name);
        if let Err(error) = self.bucket.stream.purge().filter(pieces).sequence(first).await {
            self.not_purged(&error);
        }
    }
}

/// A segment that is being stored.
pub struct SegmentPieces {
    state: CheckpointStore,
    of: String,
    /// Pieces stored.
    pieces: usize,
    piece_bytes: usize,
    /// What no piece was made of yet.
    held: Vec<u8>,
}

impl SegmentPieces {
    /// Adds to it.
    ///
    /// # Errors
    ///
    /// The server does not answer or has no room, or the lease is lost.
    pub async fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.held.extend_from_slice(bytes);
        let whole = self.held.len() / self.piece_bytes;
        if whole < PIECES_AT_ONCE { Ok(()) } else { self.store(whole * self.piece_bytes).await }
    }

    /// That was all.
    ///
    /// # Errors
    ///
    /// As for [`Self::add`].
    pub async fn end(mut self) -> Result<(), StoreError> {
        self.store(self.held.len()).await
    }

    async fn store(&mut self, bytes: usize) -> Result<(), StoreError> {
        let rest = self.held.split_off(bytes);
        let content = Bytes::from(std::mem::replace(&mut self.held, rest));
        let (pieces, _) = self.state.write_pieces(&self.of, self.pieces, self.piece_bytes, content).await?;
        self.pieces += pieces;
        Ok(())
    }
}

fn parse(key: &str, value: &[u8]) -> Result<Manifest, StoreError> {
    serde_json::from_slice(value).map_err(|error| StoreError::Failed(format!("{key} is no list of checkpoints: {error}")))
}

fn to_bytes(manifest: &Manifest) -> Result<Bytes, StoreError> {
    serde_json::to_vec(manifest).map(Bytes::from).map_err(|error| StoreError::Failed(error.to_string()))
}
