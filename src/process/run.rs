//! `squelch run`: the wiring. A task reads, a thread decodes and evaluates, a task publishes; bounded channels between them, so
//! that whatever is slow makes lag in the stream and not memory here.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::jetstream;
use bytes::Bytes;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use crate::edges::decode::{Decoder, MessageInfo, Reason, Rejected};
use crate::edges::files::topology;
use crate::edges::nats::consume::{Fetched, Incoming, Source};
use crate::edges::nats::publish::{OutRejected, OutRevision, Outgoing, Sink};
use crate::edges::nats::{connect, streams};
use crate::edges::{http, wire};
use crate::engine::{Engine, Input};
use crate::incident::{Revision, Status};
use crate::process::check::load_or_explain;
use crate::process::config::Config;
use crate::process::cpu::{CpuWatch, stopwatch_ns};
use crate::process::metrics::{Endpoint, Snapshot, Telemetry};
use crate::process::replay::stopwatch;
use crate::topology::Topology;

/// Batches of messages between reading and evaluating, and of results between evaluating and publishing.
const CHANNEL_BATCHES: usize = 4;
/// Warnings about rejected input, for each reason.
const WARNINGS_AN_HOUR: NonZeroU32 = NonZeroU32::new(6).unwrap();
/// How long a stop may take to publish what was read.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How often the snapshot for the endpoint is renewed at most.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(500);

/// Runs until SIGTERM or Ctrl-C, then finishes what was read.
pub fn main(config: Config) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("cannot start the runtime")?;
    let outcome = runtime.block_on(run(config));
    runtime.shutdown_timeout(Duration::from_secs(5));
    outcome
}

async fn run(config: Config) -> Result<()> {
    let worker = Worker::new(&config)?;
    let client = connect::connect(&config.nats).await?;
    let context = jetstream::new(client.clone());
    let stream = streams::input(&context, &config.input).await?;
    streams::rejected(&context, &config.rejected).await?;
    let bucket = streams::output(&context, &config.output).await?;
    let consumer = streams::consumer(&stream, &config.input).await?;
    let telemetry = Arc::clone(&worker.telemetry);
    let sink = Sink::new(context, bucket, config.rejected.subject.clone(), Arc::clone(&telemetry.retries));
    if let Some(listen) = config.http.listen {
        let bound = http::serve(listen, Arc::new(Endpoint(Arc::clone(&telemetry))))
            .await
            .with_context(|| format!("cannot listen on {listen}: set http.listen in squelch.yaml to a free port, or to off"))?;
        tracing::info!("metrics on http://{bound}/metrics");
    }
    let (stop, stopped) = watch::channel(false);
    let (to_engine, from_source) = mpsc::channel(CHANNEL_BATCHES);
    let (to_sink, from_engine) = mpsc::channel(CHANNEL_BATCHES);
    tracing::info!(stream = config.input.stream, rules = worker.rules, "reading events");
    let reading =
        tokio::spawn(read(Source::new(consumer, config.input.clone()), client, Arc::clone(&telemetry), to_engine, stopped));
    let working = std::thread::Builder::new()
        .name("engine".into())
        .spawn(move || worker.work(from_source, &to_sink))
        .context("cannot start the engine's thread")?;
    let writing = tokio::spawn(write(sink, Arc::clone(&telemetry), from_engine));
    tokio::select! {
        signal = shutdown_signal() => signal?,
        () = ends(&working) => tracing::error!("the engine ended by itself"),
    }
    tracing::info!("stopping: finishing what was read");
    telemetry.stopping.store(true, Ordering::Relaxed);
    stop.send_replace(true);
    let finish = async {
        reading.await.context("the reader failed")?;
        writing.await.context("the publisher failed")?;
        working.join().map_err(|_| anyhow!("the engine's thread panicked"))
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

async fn shutdown_signal() -> Result<()> {
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        signal = tokio::signal::ctrl_c() => signal.context("cannot listen for Ctrl-C"),
    }
}

async fn ends(thread: &std::thread::JoinHandle<()>) {
    while !thread.is_finished() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What reading hands to the engine.
struct Delivery {
    fetched: Fetched,
    counts: crate::edges::nats::consume::ConsumeCounts,
}

async fn read(
    mut source: Source,
    client: async_nats::Client,
    telemetry: Arc<Telemetry>,
    to_engine: mpsc::Sender<Delivery>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        telemetry.connected.store(client.connection_state() == async_nats::connection::State::Connected, Ordering::Relaxed);
        let fetched = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            fetched = source.next() => fetched,
        };
        if to_engine.send(Delivery { fetched, counts: source.counts() }).await.is_err() {
            return;
        }
    }
}

async fn write(sink: Sink, telemetry: Arc<Telemetry>, mut from_engine: mpsc::Receiver<Outgoing>) {
    while let Some(outgoing) = from_engine.recv().await {
        let publishing =
            tracing::debug_span!("publish", revisions = outgoing.revisions.len(), rejected = outgoing.rejected.len());
        let took = stopwatch();
        sink.store(outgoing).instrument(publishing).await;
        telemetry.publishing_us.fetch_add(took().as_micros() as u64, Ordering::Relaxed);
    }
}

/// The thread that owns decoder and engine.
struct Worker {
    engine: Engine,
    decoder: Decoder,
    rules: usize,
    idle_ms: i64,
    output_subject: String,
    telemetry: Arc<Telemetry>,
    /// At most a few warnings an hour for each reason.
    warnings: DefaultKeyedRateLimiter<&'static str>,
    snapshot: Snapshot,
    renewed: Instant,
    /// Where rules have a share of the processor.
    cpu: Option<CpuWatch>,
}

impl Worker {
    #[expect(clippy::disallowed_methods, reason = "says when the snapshot for operators was renewed; no result depends on it")]
    fn new(config: &Config) -> Result<Self> {
        let book =
            load_or_explain(&config.rules.paths(), false, &mut |text| text.lines().for_each(|line| tracing::error!("{line}")))?;
        let graph = match &config.topology {
            Some(path) => Topology::new(topology::read(path)?),
            None => {
                tracing::warn!("no topology is set: alerts of different entities are never tied. Set `topology` in squelch.yaml");
                Topology::default()
            }
        };
        Ok(Self {
            rules: book.rules.len(),
            decoder: Decoder::new(&book.label_keys, config.time.future.0),
            engine: Engine::new(book.rules, graph, &config.engine())?,
            idle_ms: config.time.idle.0,
            output_subject: config.output.subject.clone(),
            telemetry: Arc::new(Telemetry::default()),
            warnings: RateLimiter::keyed(Quota::per_hour(WARNINGS_AN_HOUR)),
            snapshot: Snapshot::default(),
            renewed: Instant::now(),
            cpu: config.limits.cpu_share.map(CpuWatch::new),
        })
    }

    fn work(mut self, mut from_source: mpsc::Receiver<Delivery>, to_sink: &mpsc::Sender<Outgoing>) {
        while let Some(delivery) = from_source.blocking_recv() {
            self.snapshot.consume = delivery.counts;
            let outgoing = match delivery.fetched {
                Fetched::Messages { messages, pending, acker } => {
                    self.snapshot.pending = pending;
                    Outgoing { acker: Some(acker), ..self.take_in(&messages) }
                }
                Fetched::Idle { silence } => self.idle(silence),
            };
            self.watch_cpu();
            self.renew();
            let nothing = outgoing.acker.is_none() && outgoing.revisions.is_empty();
            if !nothing && to_sink.blocking_send(outgoing).is_err() {
                tracing::error!("the publisher is gone");
                return;
            }
        }
    }

    fn take_in(&mut self, messages: &[Incoming]) -> Outgoing {
        let mut rejected = Vec::new();
        let decoding = tracing::debug_span!("decode", messages = messages.len()).entered();
        let took = stopwatch();
        for message in messages {
            self.decode(message, &mut rejected);
            self.snapshot.sequence = message.sequence;
        }
        self.spent("decode", took());
        drop(decoding);
        let batch = self.decoder.take();
        let _evaluating = tracing::debug_span!("evaluate", events = batch.events()).entered();
        let took = stopwatch();
        let revisions = self.engine.step(Input::Events(&batch));
        self.spent("evaluate", took());
        Outgoing { revisions: self.outgoing(&revisions), rejected, acker: None }
    }

    fn decode(&mut self, message: &Incoming, rejected: &mut Vec<OutRejected>) {
        let (counts, warnings) = (&mut self.snapshot.rejected, &self.warnings);
        let mut reject = |bad: Rejected| {
            *counts.entry(bad.reason.code()).or_default() += 1;
            // A collector that sends nonsense sends much of it: a few lines an hour tell an operator as much as a million.
            if warnings.check_key(&bad.reason.code()).is_ok() {
                let (subject, sequence) = (&message.subject, message.sequence);
                tracing::warn!(
                    subject,
                    sequence,
                    line = bad.line,
                    "rejected: {}; more of this kind are only counted for a while",
                    bad.reason
                );
            }
            rejected.push(OutRejected {
                subject: message.subject.clone(),
                sequence: message.sequence,
                line: bad.line,
                reason: format!("{}: {}", bad.reason.code(), bad.reason),
                bytes: bad.bytes.into(),
            });
        };
        match &message.info {
            Ok(info) => {
                let info = MessageInfo { source: self.decoder.source(&message.subject), ..*info };
                self.decoder.message(&message.payload, info, &mut reject);
            }
            Err(why) => reject(Rejected { line: 0, bytes: message.payload.to_vec(), reason: Reason::Inflate(why.clone()) }),
        }
    }

    fn idle(&mut self, silence: Duration) -> Outgoing {
        self.snapshot.pending = 0;
        let silence_ms = silence.as_millis() as i64;
        if silence_ms < self.idle_ms {
            return Outgoing::default();
        }
        let revisions = self.engine.step(Input::Idle { silence_ms });
        Outgoing { revisions: self.outgoing(&revisions), ..Outgoing::default() }
    }

    fn outgoing(&self, revisions: &[Revision]) -> Vec<OutRevision> {
        let out = revisions.iter().map(|revision| {
            tracing::info!(
                incident = %revision.id, revision = revision.revision, change = revision.change.as_str(), severity = %revision.severity,
                send = revision.decision.send, reason = revision.decision.reason, "{}", revision.title
            );
            OutRevision {
                subject: wire::subject(&self.output_subject, revision),
                message_id: wire::message_id(revision),
                incident: revision.id.to_string(),
                open: revision.status == Status::Open,
                body: Bytes::from(wire::to_json(revision)),
            }
        });
        out.collect()
    }

    /// Sends rules to rest that take more of the processor than they may.
    fn watch_cpu(&mut self) {
        let now = stopwatch_ns();
        let Some(cpu) = self.cpu.as_mut().filter(|cpu| cpu.is_due(now)) else { return };
        let spent = self.engine.rules().map(|(rule, stats, _)| (rule.name(), stats.spent_ns));
        for rule in cpu.look(now, spent) {
            self.engine.step(Input::Quarantine { rule: &rule, reason: "limits.cpu_share" });
        }
    }

    fn spent(&mut self, stage: &'static str, time: Duration) {
        *self.snapshot.stages.entry(stage).or_default() += time;
    }

    fn renew(&mut self) {
        if self.renewed.elapsed() >= SNAPSHOT_EVERY {
            self.snapshot.of_engine(&self.engine);
            self.telemetry.publish(self.snapshot.clone());
            self.renewed += self.renewed.elapsed();
        }
    }
}
