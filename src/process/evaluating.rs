//! The thread that evaluates: the only one that touches the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::edges::nats::publish::{OutRevision, Outgoing};
use crate::edges::wire;
use crate::engine::{Engine, Input};
use crate::incident::{Revision, Status};
use crate::process::checkpointing::{self, Pace, Place};
use crate::process::cpu::{CpuWatch, stopwatch_ns};
use crate::process::decoding::{Decoded, TakenPart, ToEngine, Work};
use crate::process::metrics::{Snapshot, Telemetry};
use crate::process::replay::stopwatch;

/// How often the snapshot for the endpoint is renewed at most.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(500);

/// The thread's state.
pub struct Evaluating {
    engine: Engine,
    idle_ms: i64,
    output_subject: String,
    telemetry: Arc<Telemetry>,
    snapshot: Snapshot,
    /// The graph that was last spoken of.
    topology_version: u64,
    renewed: Instant,
    /// Where rules have a share of the processor.
    cpu: Option<CpuWatch>,
    checkpoints: Option<(Pace, Place)>,
}

/// What is for the publisher to do.
pub struct ToSink {
    /// A checkpoint to be kept before anything is stored, its results in it.
    pub before: Option<Vec<u8>>,
    /// What is to be stored.
    pub outgoing: Outgoing,
    /// A checkpoint to be kept after that.
    pub after: Option<Vec<u8>>,
}

impl Evaluating {
    /// A thread's state around an engine. After `idle_ms` of silence time goes on by itself; `cpu_share` is what a rule may take
    /// of one core.
    #[expect(clippy::disallowed_methods, reason = "says when the snapshot for operators was renewed; no result depends on it")]
    pub fn new(engine: Engine, idle_ms: i64, output_subject: String, cpu_share: Option<f64>, telemetry: Arc<Telemetry>) -> Self {
        Self {
            engine,
            idle_ms,
            output_subject,
            telemetry,
            snapshot: Snapshot::default(),
            topology_version: 1,
            renewed: Instant::now(),
            cpu: cpu_share.map(CpuWatch::new),
            checkpoints: None,
        }
    }

    /// Takes a checkpoint every so often; the engine stands at `place`.
    pub fn with_checkpoints(self, every: Duration, place: Place) -> Self {
        Self { checkpoints: Some((Pace::new(every), place)), ..self }
    }

    /// Evaluates until nothing more comes.
    pub fn run(mut self, mut from_decoder: mpsc::Receiver<ToEngine>, to_sink: &mpsc::Sender<ToSink>) {
        while let Some(ToEngine { work, progress }) = from_decoder.blocking_recv() {
            if let Some((_, place)) = &mut self.checkpoints {
                place.sequence = place.sequence.max(progress.sequence);
            }
            self.snapshot.of_progress(progress);
            let by_events = match &work {
                Work::Events(_) => true,
                Work::Part(taken) => taken.part.silence_ms.is_none(),
                _ => false,
            };
            let other_files = matches!(work, Work::Rules(_) | Work::Topology(..));
            let outgoing = match work {
                Work::Events(decoded) => self.take_in(*decoded),
                Work::Part(taken) => self.take_part(&taken),
                Work::Idle(silence) => self.idle(silence),
                Work::Rules(rules) => {
                    let revisions = self.engine.set_rules(*rules);
                    Outgoing { revisions: outgoing(&self.output_subject, &revisions), ..Outgoing::default() }
                }
                Work::Topology(source, parts) => {
                    let revisions = self.engine.step(Input::Topology { source, parts });
                    Outgoing { revisions: outgoing(&self.output_subject, &revisions), ..Outgoing::default() }
                }
            };
            self.tell_topology();
            self.watch_cpu();
            self.renew();
            // What no event decided cannot be replayed.
            let before = if !by_events && !outgoing.revisions.is_empty() { self.checkpoint(&outgoing.revisions) } else { None };
            let due = other_files || self.checkpoints.as_ref().is_some_and(|(pace, _)| pace.is_due());
            let due = due && before.is_none();
            let after = if due { self.checkpoint(&[]) } else { None };
            let nothing = outgoing.acker.is_none() && outgoing.revisions.is_empty() && outgoing.rejected.is_empty();
            let nothing = nothing && after.is_none();
            if !nothing && to_sink.blocking_send(ToSink { before, outgoing, after }).is_err() {
                tracing::error!("the publisher is gone");
                return;
            }
        }
        // A stop leaves nothing to be read again.
        let last = ToSink { before: None, outgoing: Outgoing::default(), after: self.checkpoint(&[]) };
        if to_sink.blocking_send(last).is_err() {
            tracing::error!("the publisher is gone: the last checkpoint is lost, and the one before serves");
        }
    }

    fn checkpoint(&mut self, outbox: &[OutRevision]) -> Option<Vec<u8>> {
        let (pace, place) = self.checkpoints.as_mut()?;
        let took = stopwatch();
        let saved = checkpointing::save(&mut self.engine, *place, outbox);
        let took = took();
        pace.taken(took);
        *self.snapshot.stages.entry("checkpoint").or_default() += took;
        saved.inspect_err(|error| tracing::error!(error = format!("{error:#}"), "no checkpoint could be taken")).ok()
    }

    fn take_in(&mut self, decoded: Decoded) -> Outgoing {
        let Decoded { batch, rejected, acker, .. } = decoded;
        let _evaluating = tracing::debug_span!("evaluate", events = batch.events()).entered();
        let took = stopwatch();
        let revisions = self.engine.step(Input::Events(&batch));
        *self.snapshot.stages.entry("evaluate").or_default() += took();
        Outgoing { revisions: outgoing(&self.output_subject, &revisions), rejected, acker }
    }

    fn take_part(&mut self, taken: &TakenPart) -> Outgoing {
        let TakenPart { partition, place, part } = taken;
        let _evaluating = tracing::debug_span!("evaluate", partition, events = part.events()).entered();
        let took = stopwatch();
        let revisions = self.engine.step(Input::Part { partition: *partition, place: *place, part });
        *self.snapshot.stages.entry("evaluate").or_default() += took();
        Outgoing { revisions: outgoing(&self.output_subject, &revisions), ..Outgoing::default() }
    }

    fn idle(&mut self, silence: Duration) -> Outgoing {
        let silence_ms = silence.as_millis() as i64;
        if silence_ms < self.idle_ms {
            return Outgoing::default();
        }
        let revisions = self.engine.step(Input::Idle { silence_ms });
        Outgoing { revisions: outgoing(&self.output_subject, &revisions), ..Outgoing::default() }
    }

    /// Says when another graph is in force.
    fn tell_topology(&mut self) {
        let graph = self.engine.topology().current();
        if graph.version() != self.topology_version {
            self.topology_version = graph.version();
            let (nodes, edges) = graph.size();
            tracing::info!(version = graph.version(), nodes, edges, "the topology changed");
        }
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

    fn renew(&mut self) {
        if self.renewed.elapsed() >= SNAPSHOT_EVERY {
            self.snapshot.of_engine(&self.engine);
            self.telemetry.publish(self.snapshot.clone());
            self.renewed += self.renewed.elapsed();
        }
    }
}

/// Revisions as messages below `subject`.
pub fn outgoing(subject: &str, revisions: &[Revision]) -> Vec<OutRevision> {
    let out = revisions.iter().map(|revision| {
        tracing::info!(
            incident = %revision.id, revision = revision.revision, change = revision.change.as_str(), severity = %revision.severity,
            send = revision.decision.send, reason = revision.decision.reason, "{}", revision.title
        );
        OutRevision {
            subject: wire::subject(subject, revision),
            message_id: wire::message_id(revision),
            incident: revision.id.to_string(),
            open: revision.status == Status::Open,
            body: Bytes::from(wire::to_json(revision)),
        }
    });
    out.collect()
}
