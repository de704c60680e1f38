//! The correlator's input: the parts of all partitions, next to each other.
//!
//! Of a partition that is ahead of another nothing is read: the stream of parts holds what waits, and memory holds at most a few
//! parts of each. Which partition is read next depends on the parts alone, and so does all that comes of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, bail};
use async_nats::connection::State;
use async_nats::jetstream::stream::Stream;
use futures::future::select_all;
use tokio::sync::{mpsc, watch};

use crate::engine::Engine;
use crate::engine::partial::partition_merge::PartitionMerge;
use crate::io::nats::client::settings::PARTITION_WORD;
use crate::io::nats::cluster::partial_stream::{Found, PartialError, PartialReader, subject};
use crate::process::config::Config;
use crate::process::pipeline::decode::ToDecoder;
use crate::process::telemetry::metrics::Telemetry;

/// Parts of one partition that wait here.
const PARTS_WAITING: usize = 2;
/// After so long without a word beyond `time.idle` a worker is missed.
const MISSED_AFTER: Duration = Duration::from_secs(30);

/// Refuses what a correlator cannot go on from.
pub fn check(config: &Config, keeps: bool, engine: &Engine, partitions: Option<usize>) -> Result<()> {
    let now = partitions.unwrap_or(0);
    if now > 0 && !keeps {
        bail!("a correlator goes on where its checkpoint ends: set checkpoint.dir in squelch.yaml to a folder");
    }
    if now == 0 && config.input.subjects.iter().any(|subject| subject.contains(PARTITION_WORD)) {
        bail!("input.subjects says {PARTITION_WORD}: that is for `squelch run --role worker --partition I/N`");
    }
    let before = engine.partitions().positions().count();
    if before != now {
        let say = |partitions| match partitions {
            0 => "a squelch that reads the events itself".to_string(),
            number => format!("a correlator of {number} partitions"),
        };
        bail!(
            "the checkpoint of {} is that of {}, this is {}: go on as before, or begin anew under another input.consumer",
            config.input.consumer,
            say(before),
            say(now)
        );
    }
    Ok(())
}

/// Refuses to go on in another stream of parts than before: what workers said in the old one is gone.
pub fn same_stream(name: &str, before: Option<i64>, now: i64) -> Result<()> {
    if before.is_some_and(|before| before != now) {
        bail!("the stream {name} was made anew since the checkpoint: begin under another input.consumer, all of its processes");
    }
    Ok(())
}

/// Reads the parts of all partitions.
pub struct PartialsReader {
    lanes: Vec<Reading>,
    born_ns: Option<i64>,
    missed_after: Duration,
}

struct Reading {
    source: PartialReader,
    until: Option<u64>,
}

/// A partition whose parts are on their way.
struct Coming {
    parts: mpsc::Receiver<Result<Found, PartialError>>,
    until: Option<u64>,
}

impl PartialsReader {
    /// A reader that goes on where the engine is.
    pub fn new(stream: &Stream, config: &Config, lanes: &PartitionMerge) -> Self {
        let missed_after = MISSED_AFTER + Duration::from_millis(config.time.idle.0 as u64);
        let reading = lanes.positions().enumerate().map(|(partition, (place, until))| {
            let subject = subject(&config.partitions, &config.input.consumer, partition);
            Reading { source: PartialReader::new(stream.clone(), subject, place), until }
        });
        Self { lanes: reading.collect(), born_ns: lanes.born_ns(), missed_after }
    }

    /// Reads until told to stop.
    ///
    /// # Errors
    ///
    /// What is on the subjects does not belong together.
    pub async fn read(
        self,
        client: async_nats::Client,
        telemetry: Arc<Telemetry>,
        to_decoder: mpsc::Sender<ToDecoder>,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<()> {
        let (partitions, mut born_ns) = (self.lanes.len(), self.born_ns);
        let mut coming: Vec<Coming> = self.lanes.into_iter().map(Reading::begin).collect();
        loop {
            telemetry.connected.store(client.connection_state() == State::Connected, Ordering::Relaxed);
            let found = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
                found = tokio::time::timeout(self.missed_after, next(&mut coming)) => found,
            };
            let Ok(found) = found else {
                say_who_is_missed(&coming, self.missed_after);
                continue;
            };
            let Some((lane, found)) = found else { bail!("the tasks that read parts are gone") };
            let found = found?;
            let head = &found.head;
            if head.partitions != partitions {
                bail!(
                    "worker {} speaks of another number of partitions, this correlator of {partitions}: start all with the same number",
                    head.name()
                );
            }
            if head.partition != lane {
                bail!("worker {} speaks on the subject of partition {}", head.name(), lane + 1);
            }
            if *born_ns.get_or_insert(head.born_ns) != head.born_ns {
                bail!(
                    "worker {} speaks of a stream of events that was made anew: stop all, delete the stream of parts, and begin under another input.consumer",
                    head.name()
                );
            }
            coming[lane].until = coming[lane].until.max(Some(head.until));
            if to_decoder.send(ToDecoder::Part(found)).await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Reading {
    fn begin(self) -> Coming {
        let Self { mut source, until } = self;
        let (sender, parts) = mpsc::channel(PARTS_WAITING);
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = source.next() => next,
                    // Another process correlates now.
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
        Coming { parts, until }
    }
}

/// The next part of those partitions that have come least far.
async fn next(coming: &mut [Coming]) -> Option<(usize, Result<Found, PartialError>)> {
    let least = coming.iter().map(|lane| lane.until).min()?;
    let behind = coming.iter_mut().enumerate().filter(|(_, lane)| lane.until == least);
    let found = behind.map(|(partition, lane)| Box::pin(async move { Some((partition, lane.parts.recv().await?)) }));
    select_all(found).await.0
}

fn say_who_is_missed(coming: &[Coming], after: Duration) {
    let least = coming.iter().map(|lane| lane.until).min();
    let missed = coming.iter().enumerate().filter(|(_, lane)| Some(lane.until) == least);
    let partitions: Vec<String> = missed.map(|(partition, _)| (partition + 1).to_string()).collect();
    tracing::error!(
        partitions = partitions.join(", "),
        "no word from the workers of these partitions for {} s: nothing is evaluated until they speak. Do they run?",
        after.as_secs()
    );
}
