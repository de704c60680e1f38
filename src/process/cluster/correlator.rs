//! The read stage of a correlator, a task: reads the partials of all partitions side by side.
//!
//! Of a partition that is ahead of another one nothing is read: what waits stays in the stream of partials, and memory holds at most a
//! few partials of each. Which partition is read next depends on the partials alone, and so does everything that follows from them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, bail};
use async_nats::connection::State;
use async_nats::jetstream::stream::Stream;
use futures::future::select_all;
use tokio::sync::mpsc;

use crate::engine::Engine;
use crate::engine::partial::partition_merge::PartitionMerge;
use crate::engine::partial::result::PartialResult;
use crate::io::nats::client::settings::PARTITION_WORD;
use crate::io::nats::cluster::packing::unpack;
use crate::io::nats::cluster::partial_stream::header::{ForeignMessage, subject};
use crate::io::nats::cluster::partial_stream::reader::{PartialReader, StoredPartial};
use crate::process::config::Config;
use crate::process::pipeline::Stop;
use crate::process::pipeline::messages::{EngineOnly, PartitionPartial, PipelineItem, RawItem};
use crate::process::telemetry::Telemetry;
use crate::process::telemetry::stopwatch::stopwatch;

/// Partials of one partition that wait in memory.
const PARTIALS_MAX: usize = 2;
/// A worker that has published nothing for this long beyond `time.idle` is reported.
const MISSING_AFTER: Duration = Duration::from_secs(30);

/// Refuses settings and checkpoints that the role cannot work with.
///
/// # Errors
///
/// What does not fit, and what to do.
pub fn check(config: &Config, has_checkpoints: bool, engine: &Engine, partitions: Option<usize>) -> Result<()> {
    let now = partitions.unwrap_or(0);
    if now > 0 && !has_checkpoints {
        bail!("a correlator goes on where its checkpoint ends: set checkpoint.dir in squelch.yaml to a folder");
    }
    if now == 0 && config.input.subjects.iter().any(|subject| subject.contains(PARTITION_WORD)) {
        bail!("input.subjects contains {PARTITION_WORD}: that is for `squelch run --role worker --partition I/N`");
    }
    let before = engine.partitions().positions().count();
    if before != now {
        let describe = |partitions| match partitions {
            0 => "a squelch that reads the events itself".to_string(),
            number => format!("a correlator of {number} partitions"),
        };
        bail!(
            "the checkpoint of {} is that of {}, this is {}: start as before, or with another input.consumer",
            config.input.consumer,
            describe(before),
            describe(now)
        );
    }
    Ok(())
}

/// Refuses to go on in another stream of partials than before: what workers published in the old one is gone.
///
/// # Errors
///
/// It is another stream.
pub fn same_stream(name: &str, before: Option<i64>, now: i64) -> Result<()> {
    if before.is_some_and(|before| before != now) {
        bail!(
            "the stream {name} was deleted and created again since the checkpoint: start all processes with another input.consumer"
        );
    }
    Ok(())
}

/// Reads the partials of all partitions.
pub struct PartialsReader {
    partitions: Vec<Unstarted>,
    stream_created_ns: Option<i64>,
    missing_after: Duration,
}

/// A partition of which nothing is read yet.
struct Unstarted {
    reader: PartialReader,
    until: Option<u64>,
}

/// A partition whose partials are read by a task.
struct Reading {
    partials: mpsc::Receiver<Result<StoredPartial, ForeignMessage>>,
    /// The last event that the partials so far have counted.
    until: Option<u64>,
}

impl PartialsReader {
    /// A reader that goes on where the engine is.
    pub fn new(stream: &Stream, config: &Config, merge: &PartitionMerge) -> Self {
        let missing_after = MISSING_AFTER + Duration::from_millis(config.time.idle.0 as u64);
        let partitions = merge.positions().enumerate().map(|(partition, (sequence, until))| {
            let subject = subject(&config.partitions, &config.input.consumer, partition);
            Unstarted { reader: PartialReader::new(stream.clone(), subject, sequence), until }
        });
        Self { partitions: partitions.collect(), stream_created_ns: merge.born_ns(), missing_after }
    }

    /// Reads until the process stops.
    ///
    /// # Errors
    ///
    /// The partials do not belong together.
    pub async fn read(
        self,
        client: async_nats::Client,
        telemetry: Arc<Telemetry>,
        to_decoder: mpsc::Sender<RawItem>,
        mut stopped: Stop,
    ) -> Result<()> {
        let (number, mut created_ns) = (self.partitions.len(), self.stream_created_ns);
        let mut partitions: Vec<Reading> = self.partitions.into_iter().map(Unstarted::start).collect();
        loop {
            telemetry.connected.store(client.connection_state() == State::Connected, Ordering::Relaxed);
            let found = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
                found = tokio::time::timeout(self.missing_after, next(&mut partitions)) => found,
            };
            let Ok(found) = found else {
                log_missing(&partitions, self.missing_after);
                continue;
            };
            let Some((partition, found)) = found else { bail!("the tasks that read partials have ended") };
            let found = found?;
            let header = &found.header;
            if header.partitions != number {
                bail!(
                    "worker {} has another number of partitions than this correlator of {number}: start all with the same number",
                    header.name()
                );
            }
            if header.partition != partition {
                bail!("worker {} publishes on the subject of partition {}", header.name(), partition + 1);
            }
            if *created_ns.get_or_insert(header.stream_created_ns) != header.stream_created_ns {
                bail!(
                    "worker {} reads a stream of events that was deleted and created again: stop all processes, delete the stream of \
                     partials, and start with another input.consumer",
                    header.name()
                );
            }
            partitions[partition].until = partitions[partition].until.max(Some(header.until));
            let Some(partial) = decode(found).await? else { continue };
            let item = PipelineItem::EngineOnly(EngineOnly::Partial(Box::new(partial)));
            if to_decoder.send(item).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Decodes a partial. One that cannot be decoded is skipped.
async fn decode(found: StoredPartial) -> Result<Option<PartitionPartial>> {
    let decoding = tokio::task::spawn_blocking(move || {
        let StoredPartial { header, sequence, bytes } = found;
        let took = stopwatch();
        let partial = unpack(&bytes).map_err(anyhow::Error::from).and_then(|bytes| Ok(PartialResult::from_bytes(&bytes)?));
        match partial {
            Ok(partial) => Some(PartitionPartial { partition: header.partition, sequence, partial, decoding: took() }),
            Err(error) => {
                let (worker, error) = (header.name(), format!("{error:#}"));
                tracing::error!(worker, sequence, error, "what a worker has counted cannot be decoded: it is skipped");
                None
            }
        }
    });
    Ok(decoding.await?)
}

impl Unstarted {
    fn start(self) -> Reading {
        let Self { mut reader, until } = self;
        let (sender, partials) = mpsc::channel(PARTIALS_MAX);
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = reader.next() => next,
                    // The process stops, or another one correlates now.
                    () = sender.closed() => return,
                };
                let (found, failed) = match next {
                    Ok(found) => (found.into_iter().map(Ok).collect(), false),
                    Err(error) => (vec![Err(error)], true),
                };
                for found in found {
                    if sender.send(found).await.is_err() {
                        return;
                    }
                }
                if failed {
                    return;
                }
            }
        });
        Reading { partials, until }
    }
}

/// The next partial of the partitions that are behind all others.
async fn next(partitions: &mut [Reading]) -> Option<(usize, Result<StoredPartial, ForeignMessage>)> {
    let least = partitions.iter().map(|partition| partition.until).min()?;
    let behind = partitions.iter_mut().enumerate().filter(|(_, partition)| partition.until == least);
    let found = behind.map(|(number, partition)| Box::pin(async move { Some((number, partition.partials.recv().await?)) }));
    select_all(found).await.0
}

fn log_missing(partitions: &[Reading], after: Duration) {
    let least = partitions.iter().map(|partition| partition.until).min();
    let missing = partitions.iter().enumerate().filter(|(_, partition)| Some(partition.until) == least);
    let missing: Vec<String> = missing.map(|(number, _)| (number + 1).to_string()).collect();
    tracing::error!(
        partitions = missing.join(", "),
        "the workers of these partitions have published nothing for {} s: nothing is evaluated until they do. Are they running?",
        after.as_secs()
    );
}
