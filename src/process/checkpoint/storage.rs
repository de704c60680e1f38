//! Where checkpoints are kept: in a folder of this machine, or in JetStream for whichever process holds the lease.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::io::files::checkpoint_folder::{Checkpoints, SegmentFile};
use crate::io::nats::cluster::checkpoint_store::{CheckpointReadError, CheckpointStore, OutputPositions, SegmentPieces};
use crate::io::nats::cluster::lease::StoreError;
use crate::model::snapshot::{LoadedSnapshot, StateSnapshot};
use crate::process::checkpoint::segments::{SEGMENT_BYTES_MIN, SegmentWriter, Segments, named_by, put_together};
use crate::process::config::Config;
use crate::process::telemetry::metrics::Telemetry;
use crate::process::telemetry::rule_cpu::{processor_ns, stopwatch_ns};

/// How long to wait after a look that the server did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often a checkpoint that results wait for is tried before it is given up.
const TRIES_BEFORE: u32 = 5;

/// What is said of a checkpoint without which nothing goes on.
pub const RESULTS_WAIT: &str = "results wait for it";

/// Where checkpoints are kept.
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
    files: Checkpoints,
    segments: std::sync::Mutex<Segments>,
}

/// Checkpoints in JetStream.
#[derive(Clone)]
pub struct BucketStorage {
    store: CheckpointStore,
    segments: Arc<Mutex<Segments>>,
}

/// What it took to keep a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointSize {
    /// Bytes written.
    pub written: u64,
    /// Bytes that a restart has to read.
    pub whole: u64,
    /// The processor's time that it took.
    pub spent: Duration,
}

impl FolderStorage {
    /// Checkpoints in these files, with segments of at least so many bytes.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn new(files: Checkpoints, segment_bytes_min: u64) -> Result<Self> {
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

    /// Keeps a checkpoint as the newest. Until all of it is on the disk, the one before stays.
    ///
    /// # Errors
    ///
    /// The file system's: a full disk, say. What was kept before is untouched then.
    pub fn keep(&self, saved: &StateSnapshot) -> Result<CheckpointSize> {
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.keep_as(&mut segments, saved);
        // Whether it is kept or not, what no head names takes room that others may need.
        for number in segments.unnamed() {
            if self.files.remove_segment(number) {
                segments.removed(number);
            }
        }
        kept
    }

    fn keep_as(&self, segments: &mut Segments, saved: &StateSnapshot) -> Result<CheckpointSize> {
        let began_ns = processor_ns();
        let mut begin = |number| Ok(Box::new(self.files.begin_segment(number)?) as Box<dyn SegmentWriter>);
        let layout = segments.lay_out(saved, &mut begin)?;
        self.files.write(&layout.head)?;
        let spent = Duration::from_nanos(processor_ns().saturating_sub(began_ns));
        let size = CheckpointSize { written: layout.bytes(), whole: layout.bytes_whole(), spent };
        segments.kept(layout);
        Ok(size)
    }
}

impl SegmentWriter for SegmentFile {
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(SegmentFile::add(self, bytes)?)
    }

    fn end(self: Box<Self>) -> Result<()> {
        Ok(SegmentFile::end(*self)?)
    }
}

/// A segment that is stored by a thread that may wait.
struct BucketSegment {
    pieces: SegmentPieces,
    runtime: Handle,
}

impl SegmentWriter for BucketSegment {
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.runtime.block_on(self.pieces.add(bytes))?)
    }

    fn end(self: Box<Self>) -> Result<()> {
        Ok(self.runtime.block_on(self.pieces.end())?)
    }
}

impl BucketStorage {
    /// Checkpoints in a bucket, with segments of at least so many bytes.
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
                // Nobody begins with nothing because the server does not answer for a moment.
                Err(error) if is_unread(&error) && !self.store.is_lost() => {
                    tracing::warn!(%error, "trying again");
                    sleep(RETRY_AFTER).await;
                }
                read => return Some(read),
            }
        }
    }

    async fn read_once(&self, nth: usize) -> Option<Result<(LoadedSnapshot, OutputPositions)>> {
        let head = self.store.read(nth).await?;
        let read = async {
            let (head, places) = head?;
            let mut segments = Vec::new();
            for segment in named_by(&head)? {
                segments.push(Bytes::from(self.store.read_segment(segment.number, segment.bytes as usize).await?));
            }
            Ok((put_together(&head, segments)?, places))
        };
        Some(read.await)
    }

    async fn keep(&self, saved: Arc<StateSnapshot>, places: OutputPositions) -> Result<CheckpointSize, StoreError> {
        let mut segments = Arc::clone(&self.segments).lock_owned().await;
        let (store, runtime) = (self.store.clone(), Handle::current());
        let laid_out = tokio::task::spawn_blocking(move || {
            let began_ns = processor_ns();
            let begin = |number| BucketSegment { pieces: store.begin_segment(number), runtime: runtime.clone() };
            let layout = segments.lay_out(&saved, &mut |number| Ok(Box::new(begin(number))));
            (layout, Duration::from_nanos(processor_ns().saturating_sub(began_ns)), segments)
        });
        let (layout, spent, mut segments) = laid_out.await.map_err(|error| StoreError::Failed(error.to_string()))?;
        let layout = layout.map_err(|error| match error.downcast::<StoreError>() {
            Ok(error) => error,
            Err(error) => StoreError::Failed(format!("{error:#}")),
        });
        let kept = match layout {
            Ok(layout) => self.store.write(&layout.head, places).await.map(|()| {
                let size = CheckpointSize { written: layout.bytes(), whole: layout.bytes_whole(), spent };
                segments.kept(layout);
                size
            }),
            Err(error) => Err(error),
        };
        if !matches!(kept, Err(StoreError::LeaseLost(_))) {
            for number in segments.unnamed() {
                if self.store.remove_segment(number).await {
                    segments.removed(number);
                }
            }
        }
        kept
    }
}

fn is_unread(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<CheckpointReadError>(), Some(CheckpointReadError::Unread { .. }))
}

impl CheckpointStorage {
    /// What the settings say, where that is this machine's matter.
    ///
    /// # Errors
    ///
    /// The folder cannot be used.
    pub fn here(config: &Config) -> Result<Self> {
        let Some(dir) = config.checkpoint.dir.as_deref().filter(|_| config.checkpoint.store.is_none()) else {
            return Ok(CheckpointStorage::Off);
        };
        let files = Checkpoints::open(dir, &config.input.consumer).map_err(anyhow::Error::from);
        let folder = files.and_then(|files| FolderStorage::new(files, SEGMENT_BYTES_MIN));
        let folder = folder
            .context("cannot keep checkpoints: set checkpoint.dir in squelch.yaml to a folder that can be written, or to off")?;
        Ok(CheckpointStorage::Folder(Arc::new(folder)))
    }

    /// Whether any are.
    pub fn is_on(&self) -> bool {
        !matches!(self, CheckpointStorage::Off)
    }

    /// The newest, or an older one, and how far the streams of results were then, where that is known.
    pub async fn read(&self, nth: usize) -> Option<Result<(LoadedSnapshot, Option<OutputPositions>)>> {
        match self {
            CheckpointStorage::Off => None,
            CheckpointStorage::Folder(folder) => folder.read(nth).map(|found| Ok((found?, None))),
            CheckpointStorage::Bucket(store) => Some(store.read(nth).await?.map(|(found, places)| (found, Some(places)))),
        }
    }

    /// Keeps a checkpoint, counted; says what that took. One that cannot be kept, and yields nothing, leaves the one before: a restart
    /// has more to read again.
    pub async fn keep(
        &self,
        saved: Option<StateSnapshot>,
        places: OutputPositions,
        waited_for: bool,
        telemetry: &Telemetry,
    ) -> Option<CheckpointSize> {
        let saved = saved.filter(|_| self.is_on())?;
        let saved = Arc::new(saved);
        let mut left = if waited_for && matches!(self, CheckpointStorage::Bucket(_)) { TRIES_BEFORE } else { 1 };
        loop {
            left -= 1;
            telemetry.checkpoint_health.failing(if waited_for { RESULTS_WAIT } else { "the one before serves meanwhile" }.into());
            let written = self.write(Arc::clone(&saved), places).await;
            telemetry.checkpoint_health.recovered();
            let error = match written {
                Ok(size) => {
                    telemetry.checkpoint_at_ns.store(stopwatch_ns().max(1), Ordering::Relaxed);
                    telemetry.checkpoints.fetch_add(1, Ordering::Relaxed);
                    telemetry.checkpoint_bytes.store(size.whole, Ordering::Relaxed);
                    telemetry.checkpoint_written_bytes.fetch_add(size.written, Ordering::Relaxed);
                    telemetry.checkpoint_spent_ns.fetch_add(size.spent.as_nanos() as u64, Ordering::Relaxed);
                    return Some(size);
                }
                // Another process keeps them now.
                Err(StoreError::LeaseLost(_)) => return None,
                Err(StoreError::Failed(error)) => error,
            };
            telemetry.checkpoint_failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(error, "a checkpoint could not be kept; the one before stays. Is the disk full?");
            if left == 0 {
                return None;
            }
            sleep(RETRY_AFTER).await;
        }
    }

    async fn write(&self, saved: Arc<StateSnapshot>, places: OutputPositions) -> Result<CheckpointSize, StoreError> {
        match self {
            CheckpointStorage::Off => Ok(CheckpointSize::default()),
            CheckpointStorage::Bucket(store) => store.keep(saved, places).await,
            CheckpointStorage::Folder(folder) => {
                let folder = Arc::clone(folder);
                match tokio::task::spawn_blocking(move || folder.keep(&saved)).await {
                    Ok(kept) => kept.map_err(|error| StoreError::Failed(format!("{error:#}"))),
                    Err(error) => Err(StoreError::Failed(error.to_string())),
                }
            }
        }
    }
}
