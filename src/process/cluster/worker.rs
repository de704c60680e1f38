//! A worker: reads its part of the events, counts them, and hands on what it has counted. It keeps nothing: where it was is in
//! its last word.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use tokio::sync::{mpsc, watch};

use crate::engine::partial::partition_counter::PartitionCounter;
use crate::io::decode::decoder::Decoder;
use crate::io::nats::client::connect;
use crate::io::nats::client::settings::{InputConfig, PARTITION_WORD, PartitionBy};
use crate::io::nats::client::streams::Streams;
use crate::io::nats::cluster::active_rules::ActiveRules;
use crate::io::nats::cluster::partial_stream::{self, PartialWriter};
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::input::{Fetched, Incoming, Source};
use crate::io::nats::output::{Outgoing, Sink};
use crate::model::fingerprint::stable_hash;
use crate::process::cluster::Partition;
use crate::process::cluster::partition_counting::{Folding, ToStore};
use crate::process::cluster::rule_distribution;
use crate::process::config::Config;
use crate::process::pipeline::decode::{Decoding, ToDecoder};
use crate::process::pipeline::read::read;
use crate::process::reload::file_watcher;
use crate::process::run::{DRAIN_MAX, Shutdown, serve, thread, to_its_end};
use crate::process::telemetry::metrics::Telemetry;

/// Batches between reading and decoding, between decoding and counting, and parts that wait to be stored.
const CHANNEL_BATCHES: usize = 4;
const DECODED_BATCHES: usize = 1;
const PARTS_WAITING: usize = 1;

/// Works until SIGTERM or Ctrl-C, then hands on what was read.
pub fn main(config: Config, partition: Partition) -> Result<()> {
    to_its_end(work(config, partition))
}

async fn work(config: Config, partition: Partition) -> Result<()> {
    let telemetry = Arc::new(Telemetry::default());
    let params = config.engine();
    let hangups = file_watcher::hangups()?;
    let client = connect::connect(&config.nats).await?;
    let context = jetstream::new(client.clone());
    let (input, by_subject) = input_of(&config.input, partition);
    let streams = Streams::new(&context, config.nats.replicas);
    let stream = streams.input(&with_word(&config.input, "*")).await?;
    streams.rejected(&config.rejected).await?;
    let bucket = streams.output(&config.output).await?;
    let parts = streams.parts(&config.partitions).await?;
    let subject = partial_stream::subject(&config.partitions, &config.input.consumer, partition.index);
    let bulletin = ActiveRules::new(context.clone(), parts.clone(), &config.partitions, &config.input.consumer);
    let book = rule_distribution::first(&bulletin, &config, &params).await?;
    let (number, files) = (book.rules.len(), rule_distribution::files_of(&book.rules));
    let (part_sink, last) = PartialWriter::open(context.clone(), parts, subject).await?;
    let born_ns = stream.cached_info().created.unix_timestamp_nanos() as i64;
    if let Some(last) = last {
        if last.born_ns != born_ns {
            bail!(
                "the stream {} was made anew since worker {} last spoke: stop all, delete the stream {}, and begin under another \
                 input.consumer",
                config.input.stream,
                last.name(),
                config.partitions.stream
            );
        }
        if last.partitions != partition.of {
            bail!(
                "the last to speak was worker {}, this one is {}/{}: start all with the same number of partitions, or begin anew under \
                 another input.consumer",
                last.name(),
                partition.index + 1,
                partition.of
            );
        }
    }
    let looking = by_subject.then(|| (stream.clone(), input.consumer.clone()));
    let begin = last.map(|last| StreamPosition { created_ns: born_ns, sequence: last.until });
    let (source, begin) = Source::open(context.clone(), stream, input, begin, Arc::clone(&telemetry.reading)).await?;
    let after = begin.sequence;
    let folder = PartitionCounter::new(book.rules, &params, born_ns, after)?;
    let decoding = Decoding::new(Decoder::new(&book.label_keys, config.time.future.0));
    let decoding = if by_subject { decoding } else { decoding.only(mine(config.partitions.by, partition)) };
    let folding = Folding::new(folder, partition, born_ns, config.time.idle.0, Arc::clone(&telemetry));
    let sink = Sink::new(context, bucket, config.rejected.subject.clone(), Arc::clone(&telemetry.storing))
        .called(&config.input.consumer);
    serve(&config, &telemetry).await?;
    tracing::info!(
        stream = config.input.stream,
        partition = format!("{}/{}", partition.index + 1, partition.of),
        rules = number,
        after,
        resumed = last.is_some(),
        "reading events"
    );
    let mut shutdown = Shutdown::listen()?;
    let (stop, stopped) = watch::channel(false);
    let (to_decoder, from_source) = mpsc::channel(CHANNEL_BATCHES);
    let (to_folder, from_decoder) = mpsc::channel(DECODED_BATCHES);
    let (to_store, from_folder) = mpsc::channel(PARTS_WAITING);
    let (to_relay, from_reader) = mpsc::channel(1);
    let following =
        tokio::spawn(rule_distribution::follow(bulletin, files, params, hangups, to_decoder.clone(), stopped.clone()));
    let reading = tokio::spawn(read(source, client, Arc::clone(&telemetry), to_relay, stopped));
    let relaying = tokio::spawn(relay(from_reader, looking, after, to_decoder));
    let threads = [
        thread("decoder", move || decoding.run(from_source, &to_folder))?,
        thread("folder", move || folding.run(from_decoder, &to_store))?,
    ];
    let mut storing = tokio::spawn(store(sink, part_sink, from_folder));
    tokio::select! {
        () = shutdown.asked_for() => {}
        stored = &mut storing => {
            stored.context("the publisher failed")??;
            bail!("a thread ended by itself");
        }
    }
    tracing::info!("stopping: handing on what was read");
    telemetry.stopping.store(true, Ordering::Relaxed);
    stop.send_replace(true);
    let finish = async {
        reading.await.context("the reader failed")?;
        relaying.await.context("the reader failed")?;
        following.await.context("the look at the correlator's rules failed")?;
        storing.await.context("the publisher failed")??;
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked")))
    };
    tokio::select! {
        finished = tokio::time::timeout(DRAIN_MAX, finish) => {
            let late = || format!("not everything could be handed on within {} s; it is counted again", DRAIN_MAX.as_secs());
            finished.with_context(late)??;
        }
        () = shutdown.asked_for() => bail!("stopped by a second signal; what was not handed on is counted again"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// What this worker reads, and whether the subjects say whose a message is.
fn input_of(input: &InputConfig, partition: Partition) -> (InputConfig, bool) {
    let number = partition.index.to_string();
    let by_subject = input.subjects.iter().any(|subject| subject.contains(PARTITION_WORD));
    let consumer = format!("{}-{}-of-{}", input.consumer, partition.index + 1, partition.of);
    (InputConfig { consumer, ..with_word(input, &number) }, by_subject)
}

fn with_word(input: &InputConfig, word: &str) -> InputConfig {
    let subjects = input.subjects.iter().map(|subject| subject.replace(PARTITION_WORD, word)).collect();
    InputConfig { subjects, ..input.clone() }
}

/// Whose a message is does not matter to the result, as long as it is exactly one worker's.
fn mine(by: PartitionBy, partition: Partition) -> impl Fn(&Incoming) -> bool + Send + 'static {
    move |message| {
        let number = match by {
            PartitionBy::Subject => stable_hash([message.subject.as_str()]),
            PartitionBy::Sequence => message.sequence,
        };
        number % partition.of as u64 == partition.index as u64
    }
}

/// Hands on what was read. Where the subjects say whose a message is, `looking` finds out how far the others' messages go: nobody
/// may wait for a worker for whom there is nothing.
async fn relay(
    mut from_reader: mpsc::Receiver<ToDecoder>,
    mut looking: Option<(Stream, String)>,
    mut last: u64,
    to_decoder: mpsc::Sender<ToDecoder>,
) {
    while let Some(mut next) = from_reader.recv().await {
        match &mut next {
            ToDecoder::Read(Fetched::Messages { messages, .. }) => {
                last = messages.last().map_or(last, |message| message.sequence);
            }
            ToDecoder::Read(Fetched::Idle { seen, .. }) => {
                last = last.max(*seen);
                if let Some((stream, consumer)) = &mut looking
                    && let Some(until) = all_until(stream, consumer, last).await
                {
                    *seen = until.max(last);
                }
            }
            _ => {}
        }
        if to_decoder.send(next).await.is_err() {
            return;
        }
    }
}

/// Up to which message of the stream everything was read by one who read up to `last`, where that can be said.
async fn all_until(stream: &mut Stream, consumer: &str, last: u64) -> Option<u64> {
    // First the stream, then the consumer: what comes between the two is pending there.
    let until = stream.info().await.ok()?.state.last_sequence;
    let state = stream.consumer_info(consumer).await.ok()?;
    (state.num_pending == 0 && state.delivered.stream_sequence <= last).then_some(until)
}

async fn store(mut sink: Sink, mut part_sink: PartialWriter, mut from_folder: mpsc::Receiver<ToStore>) -> Result<()> {
    while let Some(ToStore { rejected, part: (head, bytes), acker }) = from_folder.recv().await {
        sink.store(Outgoing { rejected, ..Outgoing::default() }).await?;
        part_sink.store(head, &bytes).await?;
        sink.store(Outgoing { acker, ..Outgoing::default() }).await?;
    }
    Ok(())
}
