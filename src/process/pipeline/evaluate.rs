//! The thread that evaluates: the only one that touches the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::engine::{Engine, Input};
use crate::incident::revision::Revision;
use crate::incident::status::Status;
use crate::io::incident_message;
use crate::io::nats::cluster::active_rules::RuleFiles;
use crate::io::nats::input::Ack;
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::output::{OutRevision, Outgoing};
use crate::model::snapshot::StateSnapshot;
use crate::process::checkpoint::{self, Pace};
use crate::process::cli::replay::stopwatch;
use crate::process::cluster::rule_distribution::run_by;
use crate::process::pipeline::decode::{Decoded, TakenPart, ToEngine, Work};
use crate::process::pipeline::gap_alert;
use crate::process::telemetry::metrics::{Snapshot, Telemetry};
use crate::process::telemetry::rule_cpu::{CpuWatch, stopwatch_ns};

/// How often the snapshot for the endpoint is renewed at most.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(500);

/// What time it is.
pub type Clock = fn() -> Instant;

/// The thread's state.
pub struct Evaluating {
    engine: Engine,
    idle_ms: i64,
    output_subject: String,
    telemetry: Arc<Telemetry>,
    snapshot: Snapshot,
    /// The graph that was last spoken of.
    topology_version: u64,
    /// Paces checkpoints and figures; no result depends on it.
    clock: Clock,
    renewed: Instant,
    /// Where rules have a share of the processor.
    cpu: Option<CpuWatch>,
    checkpoints: Option<(Pace, StreamPosition)>,
    /// The engine holds what no event decided, and no checkpoint does.
    undecided: bool,
    under_way: Arc<UnderWay>,
}

/// What is for the publisher to do. `A` acknowledges messages.
pub struct ToSink<A = Ack> {
    /// A checkpoint to be kept before anything is stored, its results in it.
    pub before: Option<StateSnapshot>,
    /// What is to be stored.
    pub outgoing: Outgoing<A>,
    /// A checkpoint to be kept after that.
    pub after: Option<After>,
    /// Where others run from here on: what they are, for workers to be told of once the checkpoints are kept.
    pub rules: Option<Arc<RuleFiles>>,
}

/// A checkpoint that is kept after results.
pub struct After {
    /// It.
    pub saved: StateSnapshot,
    /// Whether what comes next may be stored meanwhile: then it would only be made again without it.
    pub behind: bool,
    /// Held until it is kept.
    pub under_way: Option<Arc<UnderWay>>,
}

/// Whoever has a checkpoint to keep holds it, and says what keeping it took.
#[derive(Debug, Default)]
pub struct UnderWay {
    spent_ns: AtomicU64,
}

impl UnderWay {
    /// The checkpoint is kept: that took so much of a processor.
    pub fn is_kept(&self, spent: Duration) {
        self.spent_ns.store(spent.as_nanos() as u64, Ordering::Relaxed);
    }

    fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent_ns.load(Ordering::Relaxed))
    }
}

impl Evaluating {
    /// A thread's state around an engine. After `idle_ms` of silence time goes on by itself; `cpu_share` is what a rule may take
    /// of one core.
    #[expect(clippy::disallowed_methods, reason = "paces checkpoints and figures; no result depends on it")]
    pub fn new(engine: Engine, idle_ms: i64, output_subject: String, cpu_share: Option<f64>, telemetry: Arc<Telemetry>) -> Self {
        let clock: Clock = Instant::now;
        Self {
            engine,
            idle_ms,
            output_subject,
            telemetry,
            snapshot: Snapshot::default(),
            topology_version: 1,
            clock,
            renewed: clock(),
            cpu: cpu_share.map(CpuWatch::new),
            checkpoints: None,
            undecided: false,
            under_way: Arc::default(),
        }
    }

    /// The engine as it is.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Goes by another clock than the machine's: the simulation's.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, renewed: clock(), ..self }
    }

    /// Takes a checkpoint every so often; the engine stands at `place`.
    pub fn with_checkpoints(self, every: Duration, place: StreamPosition) -> Self {
        Self { checkpoints: Some((Pace::new(every, (self.clock)()), place)), ..self }
    }

    /// Evaluates until nothing more comes.
    pub fn run(mut self, mut from_decoder: mpsc::Receiver<ToEngine>, to_sink: &mpsc::Sender<ToSink>) {
        while let Some(next) = from_decoder.blocking_recv() {
            if let Some(out) = self.take(next)
                && to_sink.blocking_send(out).is_err()
            {
                tracing::error!("the publisher is gone");
                return;
            }
        }
        if to_sink.blocking_send(self.last()).is_err() {
            tracing::error!("the publisher is gone: the last checkpoint is lost, and the one before serves");
        }
    }

    /// Does one piece of work. Yields what is to be stored, where anything is.
    pub fn take<A>(&mut self, next: ToEngine<A>) -> Option<ToSink<A>> {
        let ToEngine { work, progress } = next;
        let by_events = match &work {
            Work::Events(_) => true,
            Work::Part(taken) => taken.part.silence_ms.is_none(),
            _ => false,
        };
        // Silence that moved time on and had no results is in no checkpoint yet: what now follows would come out otherwise without it.
        let silence = if by_events && self.undecided { self.checkpoint(&[]) } else { None };
        let watermark = self.engine.watermark();
        if let Some((_, place)) = &mut self.checkpoints {
            place.sequence = place.sequence.max(progress.sequence);
            if let Work::Gap(gap) = &work {
                *place = StreamPosition { created_ns: gap.born_ns, sequence: gap.after };
            }
        }
        self.snapshot.of_progress(progress);
        let mut others = None;
        let unread = matches!(work, Work::Rules(_) | Work::Topology(..) | Work::Gap(_));
        let outgoing = match work {
            Work::Events(decoded) => self.take_in(*decoded),
            Work::Part(taken) => self.take_part(&taken),
            Work::Idle(silence) => self.idle(silence),
            Work::Gap(gap) => {
                let revisions = self.engine.step(Input::SelfAlert(gap_alert::alert(&gap)));
                Outgoing { revisions: outgoing(&self.output_subject, &revisions), ..Outgoing::default() }
            }
            Work::Rules(rules) => {
                let revisions = self.engine.step(Input::Rules(rules));
                others = Some(Arc::new(run_by(&self.engine)));
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
        self.undecided |= !by_events && (unread || self.engine.watermark() != watermark);
        let before = if !by_events && !outgoing.revisions.is_empty() { self.checkpoint(&outgoing.revisions) } else { silence };
        // A disk that is slower than the pace must not fill the memory with checkpoints that wait for it.
        let paced = || self.checkpoints.as_ref().is_some_and(|(pace, _)| pace.is_due((self.clock)(), self.under_way.spent()));
        let due = unread || (Arc::strong_count(&self.under_way) == 1 && paced());
        let due = due && before.is_none();
        // What holds silence must be kept before anything that follows from later events.
        let behind = !self.undecided;
        let after = if due { self.checkpoint(&[]) } else { None };
        let after = after.map(|saved| After { saved, behind, under_way: Some(Arc::clone(&self.under_way)) });
        let nothing = outgoing.acker.is_none() && outgoing.revisions.is_empty() && outgoing.rejected.is_empty();
        let nothing = nothing && before.is_none() && after.is_none() && others.is_none();
        (!nothing).then_some(ToSink { before, outgoing, after, rules: others })
    }

    /// A stop leaves nothing to be read again.
    pub fn last<A>(&mut self) -> ToSink<A> {
        let after = self.checkpoint(&[]).map(|saved| After { saved, behind: false, under_way: None });
        ToSink { before: None, outgoing: Outgoing::default(), after, rules: None }
    }

    fn checkpoint(&mut self, outbox: &[OutRevision]) -> Option<StateSnapshot> {
        let (pace, place) = self.checkpoints.as_mut()?;
        let began = (self.clock)();
        let saved = checkpoint::save(&mut self.engine, *place, outbox);
        let now = (self.clock)();
        let took = now.duration_since(began);
        pace.taken(now, took);
        *self.snapshot.stages.entry("checkpoint").or_default() += took;
        self.undecided &= saved.is_err();
        saved.inspect_err(|error| tracing::error!(error = format!("{error:#}"), "no checkpoint could be taken")).ok()
    }

    fn take_in<A>(&mut self, decoded: Decoded<A>) -> Outgoing<A> {
        let Decoded { batch, rejected, acker, .. } = decoded;
        let _evaluating = tracing::debug_span!("evaluate", events = batch.events()).entered();
        let took = stopwatch();
        let revisions = self.engine.step(Input::Events(&batch));
        *self.snapshot.stages.entry("evaluate").or_default() += took();
        Outgoing { revisions: outgoing(&self.output_subject, &revisions), rejected, acker }
    }

    fn take_part<A>(&mut self, taken: &TakenPart) -> Outgoing<A> {
        let TakenPart { partition, place, part } = taken;
        let _evaluating = tracing::debug_span!("evaluate", partition, events = part.events()).entered();
        let took = stopwatch();
        let revisions = self.engine.step(Input::Partial { partition: *partition, position: *place, partial: part });
        *self.snapshot.stages.entry("evaluate").or_default() += took();
        Outgoing { revisions: outgoing(&self.output_subject, &revisions), ..Outgoing::default() }
    }

    fn idle<A>(&mut self, silence: Duration) -> Outgoing<A> {
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
            self.undecided = true;
        }
    }

    fn renew(&mut self) {
        let now = (self.clock)();
        if now.duration_since(self.renewed) >= SNAPSHOT_EVERY {
            self.snapshot.of_engine(&self.engine);
            self.telemetry.publish(self.snapshot.clone());
            self.renewed = now;
        }
    }
}

/// Revisions as messages below `subject`.
pub fn outgoing(subject: &str, revisions: &[Revision]) -> Vec<OutRevision> {
    let out = revisions.iter().map(|revision| {
        tracing::info!(
            incident = %revision.id, revision = revision.revision, change = revision.change.as_str(), severity = %revision.severity,
            send = revision.decision.is_sent(), code = revision.decision.code(), reason = %revision.decision, "{}", revision.title
        );
        OutRevision {
            subject: incident_message::subject(subject, revision),
            message_id: incident_message::message_id(revision),
            incident: revision.id.to_string(),
            open: revision.status == Status::Open,
            body: Bytes::from(incident_message::to_json(revision)),
        }
    });
    out.collect()
}
