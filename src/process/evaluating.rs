//! The thread that evaluates: the only one that touches the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::edges::nats::publish::{OutRevision, Outgoing};
use crate::edges::wire;
use crate::engine::{Engine, Input};
use crate::incident::{Revision, Status};
use crate::process::cpu::{CpuWatch, stopwatch_ns};
use crate::process::decoding::{Decoded, ToEngine, Work};
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
        }
    }

    /// Evaluates until nothing more comes.
    pub fn run(mut self, mut from_decoder: mpsc::Receiver<ToEngine>, to_sink: &mpsc::Sender<Outgoing>) {
        while let Some(ToEngine { work, progress }) = from_decoder.blocking_recv() {
            self.snapshot.of_progress(progress);
            let outgoing = match work {
                Work::Events(decoded) => self.take_in(*decoded),
                Work::Idle(silence) => self.idle(silence),
                Work::Rules(rules) => {
                    let revisions = self.engine.set_rules(*rules);
                    Outgoing { revisions: self.outgoing(&revisions), ..Outgoing::default() }
                }
                Work::Topology(source, parts) => {
                    let revisions = self.engine.step(Input::Topology { source, parts });
                    Outgoing { revisions: self.outgoing(&revisions), ..Outgoing::default() }
                }
            };
            self.tell_topology();
            self.watch_cpu();
            self.renew();
            let nothing = outgoing.acker.is_none() && outgoing.revisions.is_empty() && outgoing.rejected.is_empty();
            if !nothing && to_sink.blocking_send(outgoing).is_err() {
                tracing::error!("the publisher is gone");
                return;
            }
        }
    }

    fn take_in(&mut self, decoded: Decoded) -> Outgoing {
        let Decoded { batch, rejected, acker } = decoded;
        let _evaluating = tracing::debug_span!("evaluate", events = batch.events()).entered();
        let took = stopwatch();
        let revisions = self.engine.step(Input::Events(&batch));
        *self.snapshot.stages.entry("evaluate").or_default() += took();
        Outgoing { revisions: self.outgoing(&revisions), rejected, acker }
    }

    fn idle(&mut self, silence: Duration) -> Outgoing {
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
