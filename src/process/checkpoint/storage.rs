//! Where checkpoints are stored: in a folder of this machine, or in JetStream for whichever process holds the lease.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::io::files::checkpoint_folder::{CheckpointFolder, SegmentFile};
use crate::io::nats::cluster::checkpoint_store::{CheckpointReadError, CheckpointStore, OutputPositions, SegmentPieces};
use crate::io::nats::cluster::lease::StoreError;
use crate::model::snapshot::{LoadedSnapshot, StateSnapshot};
use crate::process::checkpoint::segments::{SEGMENT_BYTES_MIN, SegmentWriter, Segments, named_by, put_together};
use crate::process::config::Config;
use crate::process::telemetry::Telemetry;
use crate::process::telemetry::stopwatch::{monotonic_ns, thread_cpu_ns};

/// The pause after an attempt that failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often a checkpoint that results wait for is tried before it is given up.
const ATTEMPTS: u32 = 5;

/// Why it matters that a checkpoint cannot be stored, where nothing goes on without it.
pub const RESULTS_WAIT: &str = "results wait for it";

/// Where checkpoints are stored.
#[derive(Clone)]
pub enum CheckpointStorage {
    /// Nowhere.
    Off,
    /// In a folder.
    Folder(Arc<FolderStorage>),
    /// In JetStream.
    Bucket(Box<BucketStorage>),
}

/// Checkpoints in a folder.
pub struct FolderStorage {
    files: CheckpointFolder,
    segments: std::sync::Mutex<Segments>,
}

/// Checkpoints in JetStream.
#[derive(Clone)]
pub struct BucketStorage {
    store: CheckpointStore,
    segments: Arc<Mutex<Segments>>,
}

/// What storing a checkpoint took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointCost {
    /// Bytes written.
    pub written: u64,
    /// Bytes that a restart has to read.
    pub whole: u64,
    /// Processor time.
    pub cpu: Duration,
}

impl FolderStorage {
    /// Checkpoints in these files, with segments of at least this size.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn new(files: CheckpointFolder, segment_bytes_min: u64) -> Result<Self> {
        // What a damaged head named is of no use.
        let named = [0, 1].map(|nth| files.read(nth).and_then(|head| named_by(&head.ok()?).ok()).unwrap_or_default());
        let segments = Segments::new(segment_bytes_min, files.segments()?, named, 0);
        Ok(Self { files, segments: std::sync::Mutex::new(segments) })
    }

    /// The newest checkpoint, or an older one.
    pub fn read(&self, nth: usize) -> Option<Result<LoadedSnapshot>> {
        self.files.read(nth).map(|head| {
            let head = head?;
            let segments = named_by(&head)?.into_iter().map(|segment| Ok(self.files.read_segment(segment.number)?.into()));
            put_together(&head, segments.collect::<Result<_>>()?)
        })
    }

    /// Stores a checkpoint as the newest. Until all of it is on the disk, the one before counts.
    ///
    /// # Errors
    ///
    /// The file system's: a full disk, say. The checkpoint before is untouched then.
    pub fn store(&self, saved: &StateSnapshot) -> Result<CheckpointCost> {
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = self.store_with(&mut segments, saved);
        // Whether it is stored or not, what no head names takes room that others may need.
        for number in segments.unnamed() {
            if self.files.remove_segment(number) {
                segments.removed(number);
            }
        }
        stored
    }

    fn store_with(&self, segments: &mut Segments, saved: &StateSnapshot) -> Result<CheckpointCost> {
        let began_ns = thread_cpu_ns();
        let mut begin = |number| Ok(Box::new(self.files.begin_segment(number)?) as Box<dyn SegmentWriter>);
        let layout = segments.lay_out(saved, &mut begin)?;
        self.files.write(&layout.head)?;
        let cpu = Duration::from_nanos(thread_cpu_ns().saturating_sub(began_ns));
        let cost = CheckpointCost { written: layout.bytes(), whole: layout.bytes_whole(), cpu };
        segments.stored(layout);
        Ok(cost)
    }
}

impl SegmentWriter for SegmentFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(SegmentFile::append(self, bytes)?)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(SegmentFile::finish(*self)?)
    }
}

/// A segment in JetStream, written by a thread that may block.
struct BlockingSegment {
    pieces: SegmentPieces,
    runtime: Handle,
}

impl SegmentWriter for BlockingSegment {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.runtime.block_on(self.pieces.append(bytes))?)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(self.runtime.block_on(self.pieces.finish())?)
    }
}

impl BucketStorage {
    /// Checkpoints in a bucket, with segments of at least this size.
    ///
    /// # Errors
    ///
    /// The server does not answer.
    pub async fn new(store: CheckpointStore, segment_bytes_min: u64) -> Result<Self, CheckpointReadError> {
        let mut named = [Vec::new(), Vec::new()];
        for (nth, named) in named.iter_mut().enumerate() {
            match store.read(nth).await {
                Some(Ok((head, _))) => *named = named_by(&head).unwrap_or_default(),
                Some(Err(error @ CheckpointReadError::Unread { .. })) => return Err(error),
                // What a damaged head named is of no use.
                Some(Err(CheckpointReadError::Damaged { .. })) | None => {}
            }
        }
        let segments = Segments::new(segment_bytes_min, store.segments().await?, named, store.segments_after());
        Ok(Self { store, segments: Arc::new(Mutex::new(segments)) })
    }

    async fn read(&self, nth: usize) -> Option<Result<(LoadedSnapshot, OutputPositions)>> {
        loop {
            match self.read_once(nth).await? {
                // No process begins empty because the server does not answer for a moment.
                Err(error) if is_unread(&error) && !self.store.is_lost() => {
                    tracing::warn!(%error, "retrying");
                    sleep(RETRY_AFTER).await;
                }
                read => return Some(read),
            }
        }
    }

    async fn read_once(&self, nth: usize) -> Option<Result<(LoadedSnapshot, OutputPositions)>> {
        let head = self.store.read(nth).await?;
        let read = async {
            let (head, positions) = head?;
            let mut segments = Vec::new();
            for segment in named_by(&head)? {
                segments.push(Bytes::from(self.store.read_segment(segment.number, segment.bytes as usize).await?));
            }
            Ok((put_together(&head, segments)?, positions))
        };
        Some(read.await)
    }

    async fn store(&self, saved: Arc<StateSnapshot>, positions: OutputPositions) -> Result<CheckpointCost, StoreError> {
        let mut segments = Arc::clone(&self.segments).lock_owned().await;
        let (store, runtime) = (self.store.clone(), Handle::current());
        let laid_out = tokio::task::spawn_blocking(move || {
            let began_ns = thread_cpu_ns();
            let begin = |number| BlockingSegment { pieces: store.begin_segment(number), runtime: runtime.clone() };
            let layout = segments.lay_out(&saved, &mut |number| Ok(Box::new(begin(number))));
            (layout, Duration::from_nanos(thread_cpu_ns().saturating_sub(began_ns)), segments)
        });
        let (layout, cpu, mut segments) = laid_out.await.map_err(|error| StoreError::Failed(error.to_string()))?;
        let layout = layout.map_err(|error| match error.downcast::<StoreError>() {
            Ok(error) => error,
            Err(error) => StoreError::Failed(format!("{error:#}")),
        });
        let stored = match layout {
            Ok(layout) => self.store.write(&layout.head, positions).await.map(|()| {
                let cost = CheckpointCost { written: layout.bytes(), whole: layout.bytes_whole(), cpu };
                segments.stored(layout);
                cost
            }),
            Err(error) => Err(error),
        };
        if !matches!(stored, Err(StoreError::LeaseLost(_))) {
            for number in segments.unnamed() {
                if self.store.remove_segment(number).await {
                    segments.removed(number);
                }
            }
        }
        stored
    }
}

fn is_unread(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<CheckpointReadError>(), Some(CheckpointReadError::Unread { .. }))
}

impl CheckpointStorage {
    /// The configured folder; off where checkpoints are stored elsewhere or not at all.
    ///
    /// # Errors
    ///
    /// The folder cannot be used.
    pub fn in_folder(config: &Config) -> Result<Self> {
        let Some(dir) = config.checkpoint.dir.as_deref().filter(|_| config.checkpoint.store.is_none()) else {
            return Ok(CheckpointStorage::Off);
        };
        let files = CheckpointFolder::open(dir, &config.input.consumer).map_err(anyhow::Error::from);
        let folder = files.and_then(|files| FolderStorage::new(files, SEGMENT_BYTES_MIN));
        let folder = folder
            .context("cannot keep checkpoints: set checkpoint.dir in squelch.yaml to a folder that can be written, or to off")?;
        Ok(CheckpointStorage::Folder(Arc::new(folder)))
    }

    /// Whether checkpoints are stored at all.
    pub fn is_on(&self) -> bool {
        !matches!(self, CheckpointStorage::Off)
    }

    /// The newest checkpoint, or an older one, with how far the output streams were then, where that is known.
    pub async fn read(&self, nth: usize) -> Option<Result<(LoadedSnapshot, Option<OutputPositions>)>> {
        match self {
            CheckpointStorage::Off => None,
            CheckpointStorage::Folder(folder) => folder.read(nth).map(|found| Ok((found?, None))),
            CheckpointStorage::Bucket(bucket) => Some(bucket.read(nth).await?.map(|(found, positions)| (found, Some(positions)))),
        }
    }

    /// Stores a checkpoint, and counts it. Where that fails, the result is `None` and the checkpoint before counts: a restart has more
    /// to read again. One that results wait for is retried.
    pub async fn store(
        &self,
        saved: StateSnapshot,
        positions: OutputPositions,
        results_wait: bool,
        telemetry: &Telemetry,
    ) -> Option<CheckpointCost> {
        if !self.is_on() {
            return None;
        }
        let saved = Arc::new(saved);
        let mut attempts = if results_wait && matches!(self, CheckpointStorage::Bucket(_)) { ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            telemetry
                .checkpoint_health
                .failing(if results_wait { RESULTS_WAIT } else { "a restart would go on from the one before" }.into());
            let stored = self.try_store(Arc::clone(&saved), positions).await;
            telemetry.checkpoint_health.recovered();
            let error = match stored {
                Ok(cost) => {
                    telemetry.checkpoint_at_ns.store(monotonic_ns().max(1), Ordering::Relaxed);
                    telemetry.checkpoints.fetch_add(1, Ordering::Relaxed);
                    telemetry.checkpoint_bytes.store(cost.whole, Ordering::Relaxed);
                    telemetry.checkpoint_written_bytes.fetch_add(cost.written, Ordering::Relaxed);
                    telemetry.checkpoint_cpu_ns.fetch_add(cost.cpu.as_nanos() as u64, Ordering::Relaxed);
                    return Some(cost);
                }
                Err(StoreError::LeaseLost(_)) => return None,
                Err(StoreError::Failed(error)) => error,
            };
            telemetry.checkpoint_failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(error, "a checkpoint could not be stored; the one before counts. Is the disk full?");
            if attempts == 0 {
                return None;
            }
            sleep(RETRY_AFTER).await;
        }
    }

    async fn try_store(&self, saved: Arc<StateSnapshot>, positions: OutputPositions) -> Result<CheckpointCost, StoreError> {
        match self {
            CheckpointStorage::Off => Ok(CheckpointCost::default()),
            CheckpointStorage::Bucket(bucket) => bucket.store(saved, positions).await,
            CheckpointStorage::Folder(folder) => {
                let folder = Arc::clone(folder);
                match tokio::task::spawn_blocking(move || folder.store(&saved)).await {
                    Ok(stored) => stored.map_err(|error| StoreError::Failed(format!("{error:#}"))),
                    Err(error) => Err(StoreError::Failed(error.to_string())),
                }
            }
        }
    }
}
