//! `squelch run --role worker`: reads its partition of the events, counts them, and publishes what it has counted. It stores nothing
//! else: its position is in its last partial.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Result, bail};
use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use futures::FutureExt;
use tokio::sync::mpsc;

use crate::engine::partial::partition_counter::PartitionCounter;
use crate::io::decode::decoder::Decoder;
use crate::io::nats::client::connect;
use crate::io::nats::client::settings::{InputConfig, PARTITION_WORD, PartitionBy};
use crate::io::nats::client::streams::Streams;
use crate::io::nats::cluster::active_rules::ActiveRules;
use crate::io::nats::cluster::partial_stream::header::{PartialHeader, subject};
use crate::io::nats::cluster::partial_stream::writer::PartialWriter;
use crate::io::nats::input::event_reader::EventReader;
use crate::io::nats::input::messages::{Fetched, Incoming};
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::output::Publisher;
use crate::io::nats::output::results::Results;
use crate::model::fingerprint::stable_hash;
use crate::process::cluster::count::{Count, WorkerResults};
use crate::process::cluster::partition::WorkerPartition;
use crate::process::cluster::rule_distribution;
use crate::process::config::Config;
use crate::process::load::engine_params;
use crate::process::pipeline::decode::Decode;
use crate::process::pipeline::messages::{PipelineItem, RawItem};
use crate::process::pipeline::read::read;
use crate::process::pipeline::{Reader, Stages};
use crate::process::reload::file_watcher;
use crate::process::serve::serve;
use crate::process::shutdown::{DRAIN_MAX, Shutdown, block_on};
use crate::process::telemetry::Telemetry;

/// Partials that wait to be published.
const RESULTS_MAX: usize = 1;

/// Works until SIGTERM or Ctrl-C, then publishes what was read.
///
/// # Errors
///
/// It cannot start, or not go on.
pub fn main(config: Config, partition: WorkerPartition) -> Result<()> {
    block_on(work(config, partition))
}

async fn work(config: Config, partition: WorkerPartition) -> Result<()> {
    let telemetry = Arc::new(Telemetry::default());
    let (params, _) = engine_params(&config)?;
    let hangups = file_watcher::hangups()?;
    let client = connect::connect(&config.nats).await?;
    let context = jetstream::new(client.clone());
    let (input, by_subject) = input_of(&config.input, partition);
    let streams = Streams::new(&context, config.nats.replicas);
    let stream = streams.input(&with_word(&config.input, "*")).await?;
    streams.rejected(&config.rejected).await?;
    let bucket = streams.output(&config.output).await?;
    let partials = streams.partials(&config.partitions).await?;
    let active_rules = ActiveRules::new(context.clone(), partials.clone(), &config.partitions, &config.input.consumer);
    let rules = rule_distribution::first_rules(&active_rules, &config, &params).await?;
    let (rule_count, files) = (rules.rules.len(), rule_distribution::files_of(&rules.rules));
    let subject = subject(&config.partitions, &config.input.consumer, partition.index);
    let (writer, last) = PartialWriter::open(context.clone(), partials, subject).await?;
    let created_ns = stream.cached_info().created.unix_timestamp_nanos() as i64;
    if let Some(last) = &last {
        check_last(last, created_ns, partition, &config)?;
    }
    let reader_of_others = by_subject.then(|| (stream.clone(), input.consumer.clone()));
    let stood = last.map(|last| StreamPosition { created_ns, sequence: last.until });
    let (reader, position) = EventReader::open(context.clone(), stream, input, stood, Arc::clone(&telemetry.input)).await?;
    let after = position.sequence;

    let decode = Decode::new(Decoder::new(&rules.label_keys, config.time.future.0));
    let decode = if by_subject { decode } else { decode.only(belongs_to(partition, config.partitions.by)) };
    let counter = PartitionCounter::new(rules.rules, &params, created_ns, after)?;
    let count = Count::new(counter, partition, created_ns, config.time.idle.0, Arc::clone(&telemetry));
    let (rejected, consumer) = (&config.rejected.subject, &config.input.consumer);
    let publisher = Publisher::new(&context, bucket, rejected, consumer, None, Arc::clone(&telemetry.output));
    let serving = serve(&config, &telemetry, &client).await?;
    tracing::info!(
        stream = config.input.stream,
        partition = partition.to_string(),
        rules = rule_count,
        after,
        resumed = last.is_some(),
        "reading events"
    );
    let mut shutdown = Shutdown::listen()?;
    let following: Reader<_> =
        Box::new(|out, stop| rule_distribution::follow(active_rules, files, params, hangups, out, stop).map(Ok).boxed());
    let reading = Arc::clone(&telemetry);
    let stages = Stages {
        first: Vec::new(),
        watchers: vec![following],
        read: Box::new(move |out, stop| {
            let (to_relay, from_reader) = mpsc::channel(1);
            let relaying = relay(from_reader, reader_of_others, after, out);
            let both = async move { tokio::join!(read(reader, client, reading, to_relay, stop), relaying) };
            both.map(|_| Ok(())).boxed()
        }),
        decode,
        evaluate: Box::new(move |items, out| count.run(items, out)),
        first_result: None,
        results_max: RESULTS_MAX,
        publish: Box::new(|results| publish(publisher, writer, results).boxed()),
    };
    let mut pipeline = stages.start().await?;
    let mut failed = None;
    tokio::select! {
        () = shutdown.requested() => tracing::info!("stopping: publishing what was read"),
        stage = pipeline.stage_ended() => failed = Some(stage),
    }
    telemetry.stopping.store(true, Ordering::Relaxed);
    pipeline.drain(DRAIN_MAX, &mut shutdown).await?;
    if let Some(stage) = failed {
        bail!("the {stage} stage ended by itself");
    }
    serving.shut_down().await;
    tracing::info!("stopped");
    Ok(())
}

/// Refuses to go on after a partial of another stream, or of another number of partitions.
fn check_last(last: &PartialHeader, created_ns: i64, partition: WorkerPartition, config: &Config) -> Result<()> {
    if last.stream_created_ns != created_ns {
        bail!(
            "the stream {} was deleted and created again since worker {} last published: stop all processes, delete the stream {}, and \
             start with another input.consumer",
            config.input.stream,
            last.name(),
            config.partitions.stream
        );
    }
    if last.partitions != partition.of {
        bail!(
            "the last to publish was worker {}, this one is {partition}: start all with the same number of partitions, or with another \
             input.consumer",
            last.name(),
        );
    }
    Ok(())
}

/// What this worker reads, and whether the subjects tell which worker reads a message.
fn input_of(input: &InputConfig, partition: WorkerPartition) -> (InputConfig, bool) {
    let number = partition.index.to_string();
    let by_subject = input.subjects.iter().any(|subject| subject.contains(PARTITION_WORD));
    let consumer = format!("{}-{}-of-{}", input.consumer, partition.index + 1, partition.of);
    (InputConfig { consumer, ..with_word(input, &number) }, by_subject)
}

fn with_word(input: &InputConfig, word: &str) -> InputConfig {
    let subjects = input.subjects.iter().map(|subject| subject.replace(PARTITION_WORD, word)).collect();
    InputConfig { subjects, ..input.clone() }
}

/// Whether this worker counts a message. The result does not depend on who does, as long as exactly one does.
fn belongs_to(partition: WorkerPartition, by: PartitionBy) -> impl Fn(&Incoming) -> bool + Send + 'static {
    move |message| {
        let number = match by {
            PartitionBy::Subject => stable_hash([message.subject.as_str()]),
            PartitionBy::Sequence => message.sequence,
        };
        number % partition.of as u64 == partition.index as u64
    }
}

/// Passes on what was read. Where the subjects tell which worker reads a message, `others` asks how far the messages of the others
/// reach: nobody may wait for a worker that has none.
async fn relay(
    mut from_reader: mpsc::Receiver<RawItem<Infallible>>,
    mut others: Option<(Stream, String)>,
    mut last: u64,
    to_decoder: mpsc::Sender<RawItem<Infallible>>,
) {
    while let Some(mut next) = from_reader.recv().await {
        match &mut next {
            PipelineItem::Read(Fetched::Messages(messages)) => {
                last = messages.messages.last().map_or(last, |message| message.sequence);
            }
            PipelineItem::Read(Fetched::Idle { read_up_to, .. }) => {
                last = last.max(*read_up_to);
                if let Some((stream, consumer)) = &mut others
                    && let Some(until) = nothing_unread_until(stream, consumer, last).await
                {
                    *read_up_to = until.max(last);
                }
            }
            _ => {}
        }
        if to_decoder.send(next).await.is_err() {
            return;
        }
    }
}

/// Up to which message of the stream a consumer that delivered up to `last` has nothing more, where that is certain.
async fn nothing_unread_until(stream: &mut Stream, consumer: &str, last: u64) -> Option<u64> {
    // First the stream, then the consumer: messages that come between the two requests are pending in the second answer.
    let until = stream.info().await.ok()?.state.last_sequence;
    let state = stream.consumer_info(consumer).await.ok()?;
    (state.num_pending == 0 && state.delivered.stream_sequence <= last).then_some(until)
}

/// The publish stage: rejected input, then the partial, then the acknowledgement.
async fn publish(mut publisher: Publisher, mut writer: PartialWriter, mut results: mpsc::Receiver<WorkerResults>) -> Result<()> {
    while let Some(WorkerResults { rejected, partial: (header, bytes), acker }) = results.recv().await {
        publisher.store(Results { rejected, ..Results::default() }).await?;
        writer.store(header, &bytes).await?;
        publisher.store(Results { acker, ..Results::default() }).await?;
    }
    Ok(())
}
