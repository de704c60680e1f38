//! `squelch run`: the wiring. A task reads, a thread decodes, a thread evaluates, a task publishes; bounded channels between them,
//! so that whatever is slow makes lag in the stream and not memory here. Rules that change take the same way, in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::jetstream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::engine::Engine;
use crate::incident::revision::Revision;
use crate::io::decode::decoder::Decoder;
use crate::io::http;
use crate::io::nats::client::connect;
use crate::io::nats::client::streams::Streams;
use crate::io::nats::cluster::active_rules::ActiveRules;
use crate::io::nats::cluster::lease::{HeldLease, LeaseContender};
use crate::io::nats::input::Source as EventSource;
use crate::io::nats::input::lease_consumer;
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::input::topology_bucket::TopologyWatch;
use crate::io::nats::output::{Outgoing, Sink};
use crate::model::event::LabelKeys;
use crate::process::checkpoint::storage::CheckpointStorage;
use crate::process::checkpoint::{self, Resumed};
use crate::process::cli::check::load_or_explain;
use crate::process::cluster;
use crate::process::cluster::correlator::{self, PartialsReader};
use crate::process::cluster::rule_distribution;
use crate::process::cluster::standby;
use crate::process::config::Config;
use crate::process::pipeline::decode::{Decoding, ToDecoder};
use crate::process::pipeline::evaluate::{Evaluating, ToSink, outgoing};
use crate::process::pipeline::publish::{Workers, write};
use crate::process::pipeline::read::read;
use crate::process::reload::file_watcher;
use crate::process::reload::rules::{self, Reloader};
use crate::process::reload::topology::{Fragments, TopologyFile, look, watch_bucket};
use crate::process::telemetry::metrics::{Endpoint, Telemetry};
use crate::topology::definition::TopologySource;
use crate::topology::{Topology, TopologyDefinition};

/// Batches of messages between reading and decoding, and of results between evaluating and publishing.
const CHANNEL_BATCHES: usize = 4;
/// Decoded batches that wait for the engine. One is enough to keep it busy; what comes meanwhile makes the next one larger.
const DECODED_BATCHES: usize = 1;
/// How long a stop may take to publish what was read.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or Ctrl-C, then finishes what was read. With `partitions`, so many workers read and count the events.
pub fn main(config: Config, partitions: Option<usize>) -> Result<()> {
    to_its_end(run(config, partitions))
}

/// Does the work of a process.
pub(crate) fn to_its_end(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("cannot start the runtime")?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(5));
    outcome
}

/// Answers who asks how the process is.
pub(crate) async fn serve(config: &Config, telemetry: &Arc<Telemetry>) -> Result<()> {
    let Some(listen) = config.http.listen else { return Ok(()) };
    let bound = http::serve(listen, Arc::new(Endpoint(Arc::clone(telemetry))))
        .await
        .with_context(|| format!("cannot listen on {listen}: set http.listen in squelch.yaml to a free port, or to off"))?;
    tracing::info!("metrics on http://{bound}/metrics");
    Ok(())
}

/// How the work of a process ended.
enum Ended {
    /// Somebody asked for it.
    Stopped,
    /// Another process does the work now.
    LeaseLost,
}

async fn run(config: Config, partitions: Option<usize>) -> Result<()> {
    // Nobody's SIGHUP ends a process that only stands by.
    let _hangups = file_watcher::hangups()?;
    let telemetry = Arc::new(Telemetry::default());
    let fresh = || load(&config, &telemetry, partitions);
    let here = CheckpointStorage::here(&config)?;
    let loaded = fresh()?;
    let client = connect::connect(&config.nats).await?;
    let context = jetstream::new(client.clone());
    let contender = standby::contender(&config, &context).await?;
    serve(&config, &telemetry).await?;
    let mut shutdown = Shutdown::listen()?;
    let ended = match contender {
        Some(contender) => take_turns(contender, &config, &telemetry, client, loaded, &mut shutdown).await,
        None => lead(&config, &telemetry, client, loaded, here, None, &mut shutdown).await.map(drop),
    };
    if ended.is_ok() {
        tracing::info!("stopped");
    }
    ended
}

/// Stands by until this process holds the lease, and works until it loses it, again and again.
async fn take_turns(
    mut contender: LeaseContender,
    config: &Config,
    telemetry: &Arc<Telemetry>,
    client: async_nats::Client,
    mut loaded: Loaded,
    shutdown: &mut Shutdown,
) -> Result<()> {
    let partitions = loaded.partitions;
    let fresh = || load(config, telemetry, partitions);
    let context = jetstream::new(client.clone());
    loop {
        let mut watched = loaded.reloader.clone();
        // Where rules or topology are bad now, those that were good last must do: somebody has to lead.
        let mut look_at_files = || {
            if watched.look(false).is_some()
                && let Ok(good) = fresh()
            {
                loaded = good;
            }
        };
        let lease = tokio::select! {
            () = shutdown.asked_for() => return Ok(()),
            lease = standby::stand_by(&mut contender, config, &client, telemetry, &mut look_at_files) => lease,
        };
        look_at_files();
        let keeping = tokio::spawn(standby::keep(lease.clone()));
        let ended = match standby::open_store(config, &context, &lease).await? {
            Some(kept) => lead(config, telemetry, client.clone(), loaded, kept, Some(&lease), shutdown).await,
            None => Ok(Ended::LeaseLost),
        };
        if !matches!(ended, Ok(Ended::LeaseLost)) {
            lease.release().await;
            return ended.map(drop);
        }
        keeping.abort();
        if partitions.is_none() {
            lease_consumer::leave(&context, &config.input, &lease).await;
        }
        tracing::error!("standing by: another process does the work");
        telemetry.stopping.store(false, Ordering::Relaxed);
        loaded = fresh()?;
    }
}

/// Evaluates what comes, from the newest checkpoint on, until somebody asks for an end or the lease is lost.
async fn lead(
    config: &Config,
    telemetry: &Arc<Telemetry>,
    client: async_nats::Client,
    loaded: Loaded,
    kept: CheckpointStorage,
    lease: Option<&HeldLease>,
    shutdown: &mut Shutdown,
) -> Result<Ended> {
    let hangups = file_watcher::hangups()?;
    let partitions = loaded.partitions;
    let fresh = || load(config, telemetry, partitions);
    let said = |revisions: &[Revision]| outgoing(&config.output.subject, revisions);
    let (loaded, resumed) = checkpoint::resume(&kept, loaded, &fresh, |loaded| &mut loaded.engine, &said).await?;
    let context = jetstream::new(client.clone());
    correlator::check(config, kept.is_on(), &loaded.engine, partitions)?;
    let streams = Streams::new(&context, config.nats.replicas);
    let stream = match partitions {
        None => streams.input(&config.input).await?,
        Some(_) => streams.parts(&config.partitions).await?,
    };
    streams.rejected(&config.rejected).await?;
    let bucket = streams.output(&config.output).await?;
    let stood =
        resumed.as_ref().map(|Resumed { place, .. }| StreamPosition { created_ns: place.created_ns, sequence: place.sequence });
    let name = stream.cached_info().config.name.clone();
    let mut bulletin = None;
    let (reader, begin) = match (partitions, lease) {
        (None, lease) => {
            let (input, stood) = match lease {
                Some(lease) => lease_consumer::inherit(&stream, &config.input, lease, stood).await?,
                None => (config.input.clone(), stood),
            };
            let reading = Arc::clone(&telemetry.reading);
            let (source, begin) = EventSource::open(context.clone(), stream, input, stood, reading).await?;
            (Reader::Events(Box::new(source)), begin)
        }
        (Some(_), _) => {
            let born_ns = stream.cached_info().created.unix_timestamp_nanos() as i64;
            correlator::same_stream(&name, stood.map(|stood| stood.created_ns), born_ns)?;
            let sequence = stood.map_or(0, |stood| stood.sequence);
            bulletin = Some(ActiveRules::new(context.clone(), stream.clone(), &config.partitions, &config.input.consumer));
            (
                Reader::Parts(PartialsReader::new(&stream, config, loaded.engine.partitions())),
                StreamPosition { created_ns: born_ns, sequence },
            )
        }
    };
    let place = StreamPosition { created_ns: begin.created_ns, sequence: begin.sequence };
    let Loaded { mut engine, label_keys, reloader, topology_file, .. } = loaded;
    let outbox = resumed.as_ref().map(|resumed| resumed.outbox.clone()).unwrap_or_default();
    let running = partitions.map(|_| Arc::new(rule_distribution::run_by(&engine)));
    // Without a first one, what is acknowledged before the next would be lost to a process that dies; and workers are told of no rules
    // that are in none.
    let begins = if kept.is_on() && (resumed.is_none() || running.is_some()) {
        Some(checkpoint::save(&mut engine, place, &outbox)?)
    } else {
        None
    };
    let decoder = Decoder::new(&label_keys, config.time.future.0).with_sources(Arc::clone(engine.source_names()));
    let decoding = Decoding::new(decoder);
    let mut evaluating = Evaluating::new(
        engine,
        config.time.idle.0,
        config.output.subject.clone(),
        config.limits.cpu_share,
        Arc::clone(telemetry),
    );
    if kept.is_on() {
        evaluating = evaluating.with_checkpoints(Duration::from_millis(config.checkpoint.every.0 as u64), place);
    }
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    let workers = bulletin.map(|bulletin| {
        let (workers, heard) = watch::channel(None);
        tasks.push(tokio::spawn(rule_distribution::tell(bulletin, lease.cloned(), heard, stopped.clone())));
        Workers::new(workers)
    });
    let topology_bucket = match &config.topology.bucket {
        Some(name) => Some(TopologyWatch::open(streams.topology(name).await?).await?),
        None => None,
    };
    let fence = match lease {
        Some(lease) => {
            let places = resumed.as_ref().and_then(|resumed| resumed.places);
            Some(standby::fence(config, &context, lease, places, partitions.is_none()).await?)
        }
        None => None,
    };
    let sink = Sink::new(context, bucket, config.rejected.subject.clone(), Arc::clone(&telemetry.storing))
        .called(&config.input.consumer)
        .with_fence(fence);
    let (to_decoder, from_source) = mpsc::channel(CHANNEL_BATCHES);
    let (to_engine, from_decoder) = mpsc::channel(DECODED_BATCHES);
    let (to_sink, from_engine) = mpsc::channel(CHANNEL_BATCHES);
    if let Some(bucket) = topology_bucket {
        // The first event is already judged with what the bucket holds.
        let (mut fragments, status) = (Fragments::default(), Arc::clone(&telemetry.topology));
        let parts = fragments.take(bucket.entries(), &status);
        let told = to_decoder.send(ToDecoder::Topology(TopologySource::Bucket, parts)).await;
        told.map_err(|_| anyhow!("the decoder is gone"))?;
        tasks.push(tokio::spawn(watch_bucket(bucket, fragments, status, to_decoder.clone(), stopped.clone())));
    }
    if let Some(file) = topology_file {
        let hangups = file_watcher::hangups()?;
        let (to_decoder, stopped) = (to_decoder.clone(), stopped.clone());
        let watching = file_watcher::watch("the topology file", file, look, config.reload, hangups, to_decoder, stopped);
        tasks.push(tokio::spawn(watching));
    }
    tracing::info!(
        stream = name,
        rules = reloader.rules(),
        after = place.sequence,
        resumed = resumed.is_some(),
        "reading events"
    );
    telemetry.lead(lease.cloned());
    let outgoing = Outgoing { revisions: outbox, ..Outgoing::default() };
    let first = ToSink { before: begins, outgoing, after: None, rules: running };
    to_sink.send(first).await.context("the publisher is gone")?;
    let (for_rules, until) = (to_decoder.clone(), stopped.clone());
    let watching = file_watcher::watch("the folder of rules", reloader, rules::look, config.reload, hangups, for_rules, until);
    tasks.push(tokio::spawn(watching));
    let reading = match reader {
        Reader::Events(source) => {
            let reading = read(*source, client, Arc::clone(telemetry), to_decoder, stopped);
            tokio::spawn(async move {
                reading.await;
                Ok(())
            })
        }
        Reader::Parts(parts) => tokio::spawn(parts.read(client, Arc::clone(telemetry), to_decoder, stopped)),
    };
    let threads = [
        thread("decoder", move || decoding.run(from_source, &to_engine))?,
        thread("engine", move || evaluating.run(from_decoder, &to_sink))?,
    ];
    let writing = tokio::spawn(write(sink, kept, workers, Arc::clone(telemetry), from_engine));
    tokio::select! {
        () = shutdown.asked_for() => tracing::info!("stopping: finishing what was read"),
        () = ends(&threads, &reading) => tracing::error!("a thread ended by itself: stopping"),
        () = standby::lost(lease) => tracing::error!("the lease is lost: nothing more is published"),
    }
    telemetry.stopping.store(true, Ordering::Relaxed);
    stop.send_replace(true);
    // Of who lost the lease nobody waits for anything: what is left is let run out, and thrown away.
    let drain_max = if lease.is_some_and(HeldLease::is_lost) { Duration::MAX } else { DRAIN_MAX };
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
        finished = tokio::time::timeout(drain_max, finish) => finished.with_context(|| format!("not everything could be published within {} s; what was not acknowledged is read again", DRAIN_MAX.as_secs()))??,
        () = shutdown.asked_for() => bail!("stopped by a second signal; what was not acknowledged is read again"),
    }
    Ok(if lease.is_some_and(HeldLease::is_lost) { Ended::LeaseLost } else { Ended::Stopped })
}

/// SIGTERM and Ctrl-C: none is lost between two waits.
pub(crate) struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    pub(crate) fn listen() -> Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        Ok(Self { terminate, interrupt })
    }

    pub(crate) async fn asked_for(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub(crate) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
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
    Parts(PartialsReader),
}

/// What a start makes of the files that people wrote.
struct Loaded {
    engine: Engine,
    label_keys: LabelKeys,
    reloader: Reloader,
    topology_file: Option<TopologyFile>,
    /// Of a correlator: how many workers' parts it puts together.
    partitions: Option<usize>,
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
        None => (None, TopologyDefinition::default()),
    };
    if config.topology.file.is_none() && config.topology.bucket.is_none() {
        let learn = &config.topology.learn;
        let but = if learn.spans || learn.metrics { ", but over edges that events show" } else { "" };
        tracing::warn!("no topology is set: alerts of different entities are not tied{but}. Set `topology` in squelch.yaml");
    }
    let graph = Topology::new(parts);
    let params = config.engine();
    params.learn.add_label_keys(&mut book.label_keys);
    let mut reloader = Reloader::new(paths, &book, params.clone(), Arc::clone(&telemetry.reloads));
    if partitions.is_some() {
        cluster::refuse(&book.rules)?;
        reloader = reloader.for_workers();
    }
    let engine = Engine::new(book.rules, graph, &params)?.with_partitions(partitions.unwrap_or(0));
    Ok(Loaded { engine, label_keys: book.label_keys, reloader, topology_file, partitions })
}
