//! `squelch run`: the wiring. A task reads, a thread decodes, a thread evaluates, a task publishes; bounded channels between them,
//! so that whatever is slow makes lag in the stream and not memory here. Rules that change take the same way, in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::jetstream;
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use crate::edges::decode::Decoder;
use crate::edges::files::checkpoint::Checkpoints;
use crate::edges::http;
use crate::edges::nats::consume::Source as EventSource;
use crate::edges::nats::consume::look::Begin;
use crate::edges::nats::publish::{Outgoing, Sink};
use crate::edges::nats::topology::TopologyWatch;
use crate::edges::nats::{connect, partials, streams};
use crate::engine::Engine;
use crate::incident::Revision;
use crate::process::check::load_or_explain;
use crate::process::checkpointing::{self, Place, Resumed};
use crate::process::config::Config;
use crate::process::cpu::stopwatch_ns;
use crate::process::decoding::{Decoding, ToDecoder};
use crate::process::evaluating::{Evaluating, ToSink, outgoing};
use crate::process::looking;
use crate::process::metrics::{Endpoint, Telemetry};
use crate::process::reading::read;
use crate::process::reload::{self, Reloader};
use crate::process::replay::stopwatch;
use crate::process::role;
use crate::process::role::correlate::{self, PartReader};
use crate::process::topology::{Fragments, TopologyFile, look, watch_bucket};
use crate::topology::parts::Source;
use crate::topology::{Parts, Topology};
use crate::words::event::LabelKeys;

/// Batches of messages between reading and decoding, and of results between evaluating and publishing.
const CHANNEL_BATCHES: usize = 4;
/// Decoded batches that wait for the engine. One is enough to keep it busy; what comes meanwhile makes the next one larger.
const DECODED_BATCHES: usize = 1;
/// How long a stop may take to publish what was read.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or Ctrl-C, then finishes what was read. With `partitions`, so many workers read and count the events.
pub fn main(config: Config, partitions: Option<usize>) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("cannot start the runtime")?;
    let outcome = runtime.block_on(run(config, partitions));
    runtime.shutdown_timeout(Duration::from_secs(5));
    outcome
}

async fn run(config: Config, partitions: Option<usize>) -> Result<()> {
    let hangups = looking::hangups()?;
    let telemetry = Arc::new(Telemetry::default());
    let fresh = || load(&config, &telemetry, partitions);
    let kept = config.checkpoint.dir.as_deref().map(|dir| Checkpoints::open(dir, &config.input.consumer)).transpose();
    let kept =
        kept.context("cannot keep checkpoints: set checkpoint.dir in squelch.yaml to a folder that can be written, or to off")?;
    let (loaded, resumed) = match &kept {
        Some(kept) => {
            let said = |revisions: &[Revision]| outgoing(&config.output.subject, revisions);
            checkpointing::resume(kept, &fresh, |loaded| &mut loaded.engine, &said)?
        }
        None => (fresh()?, None),
    };
    correlate::check(&config, kept.is_some(), &loaded.engine, partitions)?;
    let client = connect::connect(&config.nats).await?;
    let context = jetstream::new(client.clone());
    let stream = match partitions {
        None => streams::input(&context, &config.input).await?,
        Some(_) => partials::stream(&context, &config.partitions).await?,
    };
    streams::rejected(&context, &config.rejected).await?;
    let bucket = streams::output(&context, &config.output).await?;
    let stood = resumed.as_ref().map(|Resumed { place, .. }| Begin { born_ns: place.born_ns, sequence: place.sequence });
    let name = stream.cached_info().config.name.clone();
    let (reader, begin) = match partitions {
        None => {
            let reading = Arc::clone(&telemetry.reading);
            let (source, begin) = EventSource::open(context.clone(), stream, config.input.clone(), stood, reading).await?;
            (Reader::Events(Box::new(source)), begin)
        }
        Some(_) => {
            let born_ns = stream.cached_info().created.unix_timestamp_nanos() as i64;
            correlate::same_stream(&name, stood.map(|stood| stood.born_ns), born_ns)?;
            let sequence = stood.map_or(0, |stood| stood.sequence);
            (Reader::Parts(PartReader::new(&stream, &config, loaded.engine.lanes())), Begin { born_ns, sequence })
        }
    };
    let place = Place { born_ns: begin.born_ns, sequence: begin.sequence };
    let Loaded { mut engine, label_keys, reloader, topology_file } = loaded;
    // Without a first one, what is acknowledged before the next would be lost to a process that dies.
    let begins = match (&kept, &resumed) {
        (Some(_), None) => Some(checkpointing::save(&mut engine, place, &[])?),
        _ => None,
    };
    let decoder = Decoder::new(&label_keys, config.time.future.0).with_sources(Arc::clone(engine.source_names()));
    let decoding = Decoding::new(decoder);
    let mut evaluating = Evaluating::new(
        engine,
        config.time.idle.0,
        config.output.subject.clone(),
        config.limits.cpu_share,
        Arc::clone(&telemetry),
    );
    if kept.is_some() {
        evaluating = evaluating.with_checkpoints(Duration::from_millis(config.checkpoint.every.0 as u64), place);
    }
    let topology_bucket = match &config.topology.bucket {
        Some(name) => Some(TopologyWatch::open(streams::topology(&context, name).await?).await?),
        None => None,
    };
    let sink = Sink::new(context, bucket, config.rejected.subject.clone(), Arc::clone(&telemetry.storing));
    if let Some(listen) = config.http.listen {
        let bound = http::serve(listen, Arc::new(Endpoint(Arc::clone(&telemetry))))
            .await
            .with_context(|| format!("cannot listen on {listen}: set http.listen in squelch.yaml to a free port, or to off"))?;
        tracing::info!("metrics on http://{bound}/metrics");
    }
    let (stop, stopped) = watch::channel(false);
    let (to_decoder, from_source) = mpsc::channel(CHANNEL_BATCHES);
    let (to_engine, from_decoder) = mpsc::channel(DECODED_BATCHES);
    let (to_sink, from_engine) = mpsc::channel(CHANNEL_BATCHES);
    let mut tasks = Vec::new();
    if let Some(bucket) = topology_bucket {
        // The first event is already judged with what the bucket holds.
        let (mut fragments, status) = (Fragments::default(), Arc::clone(&telemetry.topology));
        let parts = fragments.take(bucket.entries(), &status);
        let told = to_decoder.send(ToDecoder::Topology(Source::Bucket, parts)).await;
        told.map_err(|_| anyhow!("the decoder is gone"))?;
        tasks.push(tokio::spawn(watch_bucket(bucket, fragments, status, to_decoder.clone(), stopped.clone())));
    }
    if let Some(file) = topology_file {
        let hangups = looking::hangups()?;
        let (to_decoder, stopped) = (to_decoder.clone(), stopped.clone());
        let watching = looking::watch("the topology file", file, look, config.reload, hangups, to_decoder, stopped);
        tasks.push(tokio::spawn(watching));
    }
    tracing::info!(
        stream = name,
        rules = reloader.rules(),
        after = place.sequence,
        resumed = resumed.is_some(),
        "reading events"
    );
    let outbox = resumed.map(|resumed| resumed.outbox).unwrap_or_default();
    let first =
        ToSink { before: begins, outgoing: Outgoing { revisions: outbox, ..Outgoing::default() }, after: None, under_way: None };
    to_sink.send(first).await.context("the publisher is gone")?;
    if partitions.is_none() {
        let (for_rules, until) = (to_decoder.clone(), stopped.clone());
        let watching = looking::watch("the folder of rules", reloader, reload::look, config.reload, hangups, for_rules, until);
        tasks.push(tokio::spawn(watching));
    }
    let reading = match reader {
        Reader::Events(source) => {
            let reading = read(*source, client, Arc::clone(&telemetry), to_decoder, stopped);
            tokio::spawn(async move {
                reading.await;
                Ok(())
            })
        }
        Reader::Parts(parts) => tokio::spawn(parts.read(client, Arc::clone(&telemetry), to_decoder, stopped)),
    };
    let threads = [
        thread("decoder", move || decoding.run(from_source, &to_engine))?,
        thread("engine", move || evaluating.run(from_decoder, &to_sink))?,
    ];
    let writing = tokio::spawn(write(sink, kept, Arc::clone(&telemetry), from_engine));
    tokio::select! {
        signal = shutdown_signal() => signal?,
        () = ends(&threads, &reading) => tracing::error!("a thread ended by itself"),
    }
    tracing::info!("stopping: finishing what was read");
    telemetry.stopping.store(true, Ordering::Relaxed);
    stop.send_replace(true);
    let finish = async {
        for task in tasks {
            task.await.context("a look at rules or topology failed")?;
        }
        reading.await.context("the reader failed")??;
        writing.await.context("the publisher failed")?;
        let ended = threads.map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked")));
        ended.into_iter().collect::<Result<()>>()
    };
    tokio::select! {
        finished = tokio::time::timeout(DRAIN_MAX, finish) => finished.with_context(|| format!("not everything could be published within {} s; what was not acknowledged is read again", DRAIN_MAX.as_secs()))??,
        signal = shutdown_signal() => {
            signal?;
            bail!("stopped by a second signal; what was not acknowledged is read again");
        }
    }
    tracing::info!("stopped");
    Ok(())
}

pub(super) async fn shutdown_signal() -> Result<()> {
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        signal = tokio::signal::ctrl_c() => signal.context("cannot listen for Ctrl-C"),
    }
}

pub(super) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(work).with_context(|| format!("cannot start the thread `{name}`"))
}

async fn ends(threads: &[JoinHandle<()>], reading: &tokio::task::JoinHandle<Result<()>>) {
    while !threads.iter().any(JoinHandle::is_finished) && !reading.is_finished() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Where messages come from.
enum Reader {
    Events(Box<EventSource>),
    Parts(PartReader),
}

/// What a start makes of the files that people wrote.
struct Loaded {
    engine: Engine,
    label_keys: LabelKeys,
    reloader: Reloader,
    topology_file: Option<TopologyFile>,
}

/// Loads rules and topology.
fn load(config: &Config, telemetry: &Arc<Telemetry>, partitions: Option<usize>) -> Result<Loaded> {
    let paths = config.rules.paths();
    let mut book = load_or_explain(&paths, false, &mut |text| text.lines().for_each(|line| tracing::error!("{line}")))?;
    let (topology_file, parts) = match &config.topology.file {
        Some(path) => {
            let (file, parts) = TopologyFile::open(path.clone(), Arc::clone(&telemetry.topology))?;
            (Some(file), parts)
        }
        None => (None, Parts::default()),
    };
    if config.topology.file.is_none() && config.topology.bucket.is_none() {
        let learn = &config.topology.learn;
        let but = if learn.spans || learn.metrics { ", but over edges that events show" } else { "" };
        tracing::warn!("no topology is set: alerts of different entities are not tied{but}. Set `topology` in squelch.yaml");
    }
    let graph = Topology::new(parts);
    let params = config.engine();
    params.learn.add_label_keys(&mut book.label_keys);
    let reloader = Reloader::new(paths, &book, params.clone(), Arc::clone(&telemetry.reloads));
    if partitions.is_some() {
        role::refuse(&book.rules)?;
    }
    let engine = Engine::new(book.rules, graph, &params)?.with_partitions(partitions.unwrap_or(0));
    Ok(Loaded { engine, label_keys: book.label_keys, reloader, topology_file })
}

async fn write(sink: Sink, kept: Option<Checkpoints>, telemetry: Arc<Telemetry>, mut from_engine: mpsc::Receiver<ToSink>) {
    let kept = kept.map(Arc::new);
    while let Some(ToSink { before, outgoing, after, under_way }) = from_engine.recv().await {
        keep(&kept, before, &telemetry).await;
        let publishing =
            tracing::debug_span!("publish", revisions = outgoing.revisions.len(), rejected = outgoing.rejected.len());
        let took = stopwatch();
        sink.store(outgoing).instrument(publishing).await;
        telemetry.publishing_us.fetch_add(took().as_micros() as u64, Ordering::Relaxed);
        keep(&kept, after, &telemetry).await;
        drop(under_way);
    }
}

/// Brings a checkpoint to the disk. One that cannot be kept leaves the one before: a restart has more to read again.
async fn keep(kept: &Option<Arc<Checkpoints>>, content: Option<Vec<u8>>, telemetry: &Telemetry) {
    let (Some(kept), Some(content)) = (kept, content) else { return };
    let (kept, bytes) = (Arc::clone(kept), content.len() as u64);
    telemetry.keeping.failed("the disk takes its time".into());
    let failed = match tokio::task::spawn_blocking(move || kept.write(&content)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    telemetry.keeping.over();
    match failed {
        None => {
            telemetry.checkpoints.fetch_add(1, Ordering::Relaxed);
            telemetry.checkpoint_at_ns.store(stopwatch_ns().max(1), Ordering::Relaxed);
            telemetry.checkpoint_bytes.store(bytes, Ordering::Relaxed);
        }
        Some(error) => {
            telemetry.checkpoint_failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(error, "a checkpoint could not be kept; the one before stays. Is the disk full?");
        }
    }
}
