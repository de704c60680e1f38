//! Checkpoints in JetStream: the newest and the one before it, and the segments that both use, in a bucket that several processes
//! share.
//!
//! A checkpoint's head is written in pieces under keys of its own. It counts only once the manifest, the one key that names them all,
//! was written in place of the revision that this process wrote before. So a checkpoint is there whole or not at all, and a process
//! that lost the lease cannot put an old one over a new one. The numbers of segments begin with the term, so that no two processes
//! write the same segment.

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

use crate::io::nats::client::kv_cas::{self, CasError};
use crate::io::nats::cluster::lease::{HeldLease, LeaseLost, StoreError};
use crate::model::snapshot::checksum::{self, ChecksumError};

/// The largest piece; less where the server accepts less.
const PIECE_BYTES_MAX: usize = 512 << 10;
/// The size of a message besides its piece.
const MESSAGE_EXTRA_BYTES: usize = 4 << 10;
/// Pieces that are read or written at once.
const PIECES_AT_ONCE: usize = 8;
/// Segments that one term may write.
const TERM_SHIFT: u32 = 32;
/// How long writing the manifest may take.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How far the output streams were when a checkpoint was stored. A process that goes on from it makes no earlier results again.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct OutputPositions {
    /// In the stream of incidents.
    pub incidents: u64,
    /// In the stream of rejected input.
    pub rejected: u64,
}

/// Where the pieces of a checkpoint are.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct CheckpointEntry {
    /// The prefix of the keys of its pieces.
    id: String,
    pieces: usize,
    bytes: usize,
    /// The sequence number of its first piece in the bucket's stream. What lies before those of all named checkpoints is unused.
    first: u64,
    #[serde(rename = "places")]
    positions: OutputPositions,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Manifest {
    /// Who wrote it last.
    term: u64,
    newest: Option<CheckpointEntry>,
    before: Option<CheckpointEntry>,
}

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointReadError {
    /// It is damaged.
    #[error("the checkpoint {id} in the bucket {bucket} is {what}")]
    Damaged {
        /// The prefix of its keys.
        id: String,
        /// The bucket.
        bucket: String,
        /// In which way.
        what: ChecksumError,
    },
    /// The server does not answer.
    #[error("the bucket {bucket} of checkpoints cannot be read: {cause}")]
    Unread {
        /// The bucket.
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
    manifest: Arc<Mutex<ManifestState>>,
}

struct ManifestState {
    revision: u64,
    manifest: Manifest,
    written: u64,
}

impl CheckpointStore {
    /// Reads the manifest and writes the term into it: from here on no process that held the lease before can store a checkpoint.
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
            match kv_cas::replace(&bucket, &key, to_bytes(&manifest)?, revision, MANIFEST_TIMEOUT).await {
                Ok(revision) => {
                    let manifest = Arc::new(Mutex::new(ManifestState { revision, manifest, written: 0 }));
                    return Ok(Self { context, bucket, name: name.into(), lease, manifest });
                }
                Err(CasError::OtherRevision) => lease.renew().await?,
                Err(CasError::Failed(error)) => return Err(StoreError::Failed(error)),
            }
        }
    }

    /// The head of the newest checkpoint, or of the one before it (`nth` 1), if it is there.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not whole.
    pub async fn read(&self, nth: usize) -> Option<Result<(Vec<u8>, OutputPositions), CheckpointReadError>> {
        let Manifest { newest, before, .. } = self.manifest.lock().await.manifest.clone();
        let named = [newest, before].into_iter().flatten().nth(nth)?;
        Some(self.read_named(&named).await)
    }

    /// Whether another process stores them now.
    pub fn is_lost(&self) -> bool {
        self.lease.is_lost()
    }

    async fn read_named(&self, named: &CheckpointEntry) -> Result<(Vec<u8>, OutputPositions), CheckpointReadError> {
        let sealed = self.read_pieces(&format!("piece.{}", named.id), 0..named.pieces).await?;
        let damaged = |what| CheckpointReadError::Damaged { id: named.id.clone(), bucket: self.bucket.name.clone(), what };
        Ok((checksum::verify(sealed).map_err(damaged)?, named.positions))
    }

    /// Reads what is written under these keys.
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

    /// Writes under keys that are numbered from `after` on. Returns how many, and the sequence number of the first in the bucket's
    /// stream.
    async fn write_pieces(&self, of: &str, after: usize, piece_bytes: usize, content: Bytes) -> Result<(usize, u64), StoreError> {
        self.lease.may_write().await?;
        let pieces = content.len().div_ceil(piece_bytes);
        let piece = |nth: usize| content.slice(nth * piece_bytes..content.len().min((nth + 1) * piece_bytes));
        let written = (0..pieces).map(|nth| self.bucket.put(format!("{}.{of}.{}", self.name, after + nth), piece(nth)));
        let written: Result<Vec<u64>, _> = stream::iter(written).buffered(PIECES_AT_ONCE).try_collect().await;
        Ok((pieces, written.map_err(|error| StoreError::Failed(error.to_string()))?.into_iter().min().unwrap_or(0)))
    }

    /// The segments of this process have higher numbers than this.
    pub fn segments_after(&self) -> u64 {
        self.lease.term() << TERM_SHIFT
    }

    /// The numbers of the segments that are stored, whole or not.
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
        // The size of pieces depends on the limits of the server that they were written on.
        let of = format!("segment.{number}");
        let mut content = self.read_pieces(&of, 0..1).await?;
        let pieces = if content.is_empty() { 0 } else { bytes.div_ceil(content.len()) };
        content.extend(self.read_pieces(&of, 1..pieces.max(1)).await?);
        Ok(content)
    }

    /// Begins a segment.
    pub fn begin_segment(&self, number: u64) -> SegmentPieces {
        SegmentPieces {
            store: self.clone(),
            of: format!("segment.{number}"),
            pieces: 0,
            piece_bytes: self.piece_bytes(),
            buffered: Vec::new(),
        }
    }

    fn piece_bytes(&self) -> usize {
        let usual = self.context.client().server_info().max_payload.saturating_sub(MESSAGE_EXTRA_BYTES);
        usual.clamp(MESSAGE_EXTRA_BYTES, PIECE_BYTES_MAX)
    }

    /// Deletes a segment. Returns whether that succeeded; if not, it takes room until the next time.
    pub async fn remove_segment(&self, number: u64) -> bool {
        let pieces = format!("{}{}.segment.{number}.>", self.bucket.prefix, self.name);
        let purged = self.bucket.stream.purge().filter(pieces).await;
        purged.inspect_err(|error| self.not_purged(error)).is_ok()
    }

    fn not_purged(&self, error: &dyn std::fmt::Display) {
        tracing::warn!(%error, bucket = self.bucket.name, "older checkpoints cannot be purged: they take room");
    }

    /// Stores this as the newest. Until all of it is stored, the one before counts.
    ///
    /// # Errors
    ///
    /// The server does not answer or has no room, or the lease is lost. The checkpoint before is untouched then.
    pub async fn write(&self, content: &[u8], positions: OutputPositions) -> Result<(), StoreError> {
        let mut known = self.manifest.lock().await;
        known.written += 1;
        let id = format!("{}-{}", self.lease.term(), known.written);
        let [before, behind] = checksum::header_and_trailer(content);
        let sealed = Bytes::from([&before, content, &behind].concat());
        let bytes = sealed.len();
        let (pieces, first) = self.write_pieces(&format!("piece.{id}"), 0, self.piece_bytes(), sealed).await?;
        let newest = CheckpointEntry { id, pieces, bytes, first, positions };
        let manifest = Manifest { term: self.lease.term(), before: known.manifest.newest.clone(), newest: Some(newest) };
        self.write_manifest(&mut known, manifest).await?;
        self.purge(&known.manifest).await;
        Ok(())
    }

    async fn write_manifest(&self, known: &mut ManifestState, manifest: Manifest) -> Result<(), StoreError> {
        let key = format!("{}.checkpoint", self.name);
        loop {
            self.lease.may_write().await?;
            match kv_cas::replace(&self.bucket, &key, to_bytes(&manifest)?, known.revision, MANIFEST_TIMEOUT).await {
                Ok(revision) => {
                    (known.revision, known.manifest) = (revision, manifest);
                    return Ok(());
                }
                Err(CasError::Failed(error)) => return Err(StoreError::Failed(error)),
                Err(CasError::OtherRevision) => {
                    let (revision, value) = kv_cas::read(&self.bucket, &key).await.map_err(StoreError::Failed)?;
                    let found = parse(&key, &value)?;
                    if found.term != self.lease.term() {
                        self.lease.mark_lost();
                        return Err(LeaseLost.into());
                    }
                    if revision == known.revision {
                        return Err(StoreError::Failed("the server returns an old revision of the checkpoints".into()));
                    }
                    // An earlier write of this process was stored, and its acknowledgement was lost.
                    (known.revision, known.manifest) = (revision, found);
                }
            }
        }
    }

    /// Deletes the pieces of older checkpoints, and of those that were never completed. What fails here takes room until the next time.
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
    store: CheckpointStore,
    of: String,
    /// Pieces that are stored.
    pieces: usize,
    piece_bytes: usize,
    /// Bytes that wait for a whole piece.
    buffered: Vec<u8>,
}

impl SegmentPieces {
    /// Appends.
    ///
    /// # Errors
    ///
    /// The server does not answer or has no room, or the lease is lost.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.buffered.extend_from_slice(bytes);
        let whole = self.buffered.len() / self.piece_bytes;
        if whole < PIECES_AT_ONCE { Ok(()) } else { self.write(whole * self.piece_bytes).await }
    }

    /// Stores what is left.
    ///
    /// # Errors
    ///
    /// As for [`Self::append`].
    pub async fn finish(mut self) -> Result<(), StoreError> {
        self.write(self.buffered.len()).await
    }

    async fn write(&mut self, bytes: usize) -> Result<(), StoreError> {
        let rest = self.buffered.split_off(bytes);
        let content = Bytes::from(std::mem::replace(&mut self.buffered, rest));
        let (pieces, _) = self.store.write_pieces(&self.of, self.pieces, self.piece_bytes, content).await?;
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
