//! The engine stage, a thread: the only one that touches the engine. Takes checkpoints and decides in which order they and results are
//! stored, so that a process that dies in between makes the same results again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::engine::commands::CommandResults;
use crate::engine::{Engine, Input};
use crate::incident::revision::Revision;
use crate::incident::status::Status;
use crate::io::command_message::{self, AnswerMessage, SilenceMessage};
use crate::io::incident_message::{self, alert_update};
use crate::io::nats::client::settings::{CommandsConfig, OutputConfig};
use crate::io::nats::input::messages::Fetched;
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::output::results::{AlertUpdate, CommandMessage, Results, RevisionMessage};
use crate::model::snapshot::StateSnapshot;
use crate::process::checkpoint;
use crate::process::checkpoint::pace::Pace;
use crate::process::checkpoint::progress::CheckpointInProgress;
use crate::process::cluster::rule_distribution::rule_files_of;
use crate::process::pipeline::gap_alert;
use crate::process::pipeline::messages::{
    CheckpointAfter, DecodedItem, DecodedMessages, EngineOnly, PartitionPartial, PipelineItem, PublishItem,
};
use crate::process::telemetry::Telemetry;
use crate::process::telemetry::rule_cpu::CpuWatch;
use crate::process::telemetry::snapshot::Snapshot;
use crate::process::telemetry::stopwatch::{monotonic_ns, stopwatch};

/// How often the figures for `/metrics` are renewed at most.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(500);

/// Tells the time.
pub type Clock = fn() -> Instant;

/// The state of the stage.
pub struct Evaluate {
    engine: Engine,
    idle_ms: i64,
    subjects: OutputSubjects,
    answer_subject: String,
    telemetry: Arc<Telemetry>,
    snapshot: Snapshot,
    /// The version of the graph that was logged last.
    topology_version: u64,
    /// Paces checkpoints and figures; no result depends on it.
    clock: Clock,
    snapshot_at: Instant,
    /// Where rules have a limit on processor time.
    cpu: Option<CpuWatch>,
    checkpoints: Option<(Pace, StreamPosition)>,
    /// The engine's state depends on something besides events (silence, other rules), and no checkpoint contains it yet.
    unreplayable: bool,
    in_progress: Arc<CheckpointInProgress>,
}

impl Evaluate {
    /// A stage around an engine. After `idle_ms` of silence, time goes on without events. `cpu_share` limits what a rule may take of
    /// one core.
    #[expect(clippy::disallowed_methods, reason = "paces checkpoints and figures; no result depends on it")]
    pub fn new(
        engine: Engine,
        idle_ms: i64,
        subjects: OutputSubjects,
        cpu_share: Option<f64>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let clock: Clock = Instant::now;
        Self {
            engine,
            idle_ms,
            subjects,
            answer_subject: CommandsConfig::default().subject,
            telemetry,
            snapshot: Snapshot::default(),
            topology_version: 1,
            clock,
            snapshot_at: clock(),
            cpu: cpu_share.map(CpuWatch::new),
            checkpoints: None,
            unreplayable: false,
            in_progress: Arc::default(),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Uses another clock than the machine's: the simulation's.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, snapshot_at: clock(), ..self }
    }

    /// Answers commands on subjects below this one.
    pub fn with_answers(self, answer_subject: &str) -> Self {
        Self { answer_subject: answer_subject.into(), ..self }
    }

    /// Takes checkpoints at this interval. The engine stands at `position`.
    pub fn with_checkpoints(self, every: Duration, position: StreamPosition) -> Self {
        Self { checkpoints: Some((Pace::new(every, (self.clock)()), position)), ..self }
    }

    /// Evaluates until the decode stage has ended.
    pub fn run(mut self, mut from_decoder: mpsc::Receiver<DecodedItem>, to_publisher: &mpsc::Sender<PublishItem>) {
        while let Some(next) = from_decoder.blocking_recv() {
            if let Some(out) = self.take(next)
                && to_publisher.blocking_send(out).is_err()
            {
                tracing::error!("the publisher has ended");
                return;
            }
        }
        if to_publisher.blocking_send(self.last()).is_err() {
            tracing::error!("the publisher has ended: the last checkpoint is lost, a restart goes on from the one before");
        }
    }

    /// Processes one item. Returns what is to be stored, if anything.
    pub fn take<A>(&mut self, next: DecodedItem<A>) -> Option<PublishItem<A>> {
        let DecodedItem { item, progress } = next;
        let from_events = match &item {
            PipelineItem::Read(Fetched::Messages(_)) => true,
            PipelineItem::EngineOnly(EngineOnly::Partial(taken)) => taken.partial.silence_ms.is_none(),
            _ => false,
        };
        // Silence that moved time on without results is in no checkpoint yet. Without it, what follows now would come out otherwise.
        let silence = if from_events && self.unreplayable { self.checkpoint(&[]) } else { None };
        let watermark = self.engine.watermark();
        if let Some((_, position)) = &mut self.checkpoints {
            position.sequence = position.sequence.max(progress.sequence);
            if let PipelineItem::Read(Fetched::Gap(gap)) = &item {
                *position = StreamPosition { created_ns: gap.stream_created_ns, sequence: gap.after };
            }
        }
        self.snapshot.set_progress(progress);
        let is_data = from_events || matches!(item, PipelineItem::Read(Fetched::Idle { .. }));
        let is_data = is_data || matches!(item, PipelineItem::EngineOnly(EngineOnly::Partial(_)));
        let mut active_rules = None;
        let results = match item {
            PipelineItem::Read(Fetched::Messages(decoded)) => self.events(*decoded),
            PipelineItem::Read(Fetched::Idle { silence, .. }) => self.idle(silence),
            PipelineItem::Read(Fetched::Gap(gap)) => self.step(Input::SelfAlert(gap_alert::alert(&gap))),
            PipelineItem::Rules(new) => {
                let results = self.step(Input::Rules(new.rules));
                active_rules = Some(Arc::new(rule_files_of(&self.engine)));
                results
            }
            PipelineItem::EngineOnly(EngineOnly::Partial(taken)) => self.partial(&taken),
            PipelineItem::EngineOnly(EngineOnly::Topology(source, parts)) => self.step(Input::Topology { source, parts }),
        };
        self.log_topology();
        self.watch_cpu();
        self.renew_snapshot();
        self.unreplayable |= !from_events && (!is_data || self.engine.watermark() != watermark);
        let checkpoint_before =
            if !from_events && !results.revisions.is_empty() { self.checkpoint(&results.revisions) } else { silence };
        // A disk that is slower than the pace must not fill the memory with checkpoints that wait for it.
        let idle_disk = Arc::strong_count(&self.in_progress) == 1;
        let paced = || self.checkpoints.as_ref().is_some_and(|(pace, _)| pace.is_due((self.clock)(), self.in_progress.cpu()));
        let due = checkpoint_before.is_none() && (!is_data || (idle_disk && paced()));
        // What holds silence must be stored before anything that follows from later events.
        let in_background = !self.unreplayable;
        let checkpoint_after = if due { self.checkpoint(&[]) } else { None };
        let checkpoint_after = checkpoint_after.map(|snapshot| CheckpointAfter {
            snapshot,
            in_background,
            in_progress: Some(Arc::clone(&self.in_progress)),
        });
        let out = PublishItem { checkpoint_before, results, checkpoint_after, active_rules };
        (!out.is_empty()).then_some(out)
    }

    /// The last item: after a clean stop nothing has to be read again.
    pub fn last<A>(&mut self) -> PublishItem<A> {
        let after = self.checkpoint(&[]);
        let checkpoint_after = after.map(|snapshot| CheckpointAfter { snapshot, in_background: false, in_progress: None });
        PublishItem { checkpoint_after, ..PublishItem::default() }
    }

    fn checkpoint(&mut self, outbox: &[RevisionMessage]) -> Option<StateSnapshot> {
        let (pace, position) = self.checkpoints.as_mut()?;
        let began = (self.clock)();
        let saved = checkpoint::save(&mut self.engine, *position, outbox);
        let now = (self.clock)();
        let took = now.duration_since(began);
        pace.taken(now, took);
        self.snapshot.add_stage("checkpoint", took);
        self.unreplayable &= saved.is_err();
        saved.inspect_err(|error| tracing::error!(error = format!("{error:#}"), "no checkpoint could be taken")).ok()
    }

    fn step<A>(&mut self, input: Input<'_>) -> Results<A> {
        let revisions = self.engine.step(input);
        self.results(&revisions)
    }

    fn timed_step<A>(&mut self, input: Input<'_>) -> Results<A> {
        let took = stopwatch();
        let revisions = self.engine.step(input);
        self.snapshot.add_stage("evaluate", took());
        self.results(&revisions)
    }

    /// What the last step came to, as messages.
    fn results<A>(&mut self, revisions: &[Revision]) -> Results<A> {
        let commands = command_messages(&self.answer_subject, self.engine.take_command_results());
        Results { commands, ..Results::of(revision_messages(&self.subjects, revisions)) }
    }

    fn events<A>(&mut self, decoded: DecodedMessages<A>) -> Results<A> {
        let DecodedMessages { batch, rejected, acker, .. } = decoded;
        let _evaluating = tracing::debug_span!("evaluate", events = batch.events()).entered();
        Results { rejected, acker, ..self.timed_step(Input::Events(&batch)) }
    }

    fn partial<A>(&mut self, taken: &PartitionPartial) -> Results<A> {
        let PartitionPartial { partition, sequence, partial, .. } = taken;
        let _evaluating = tracing::debug_span!("evaluate", partition, events = partial.events()).entered();
        self.timed_step(Input::Partial { partition: *partition, position: *sequence, partial })
    }

    fn idle<A>(&mut self, silence: Duration) -> Results<A> {
        let silence_ms = silence.as_millis() as i64;
        if silence_ms < self.idle_ms { Results::default() } else { self.step(Input::Idle { silence_ms }) }
    }

    fn log_topology(&mut self) {
        let graph = self.engine.topology().current();
        if graph.version() != self.topology_version {
            self.topology_version = graph.version();
            let (nodes, edges) = graph.size();
            tracing::info!(version = graph.version(), nodes, edges, "the topology changed");
        }
    }

    /// Quarantines rules that take more of the processor than they may.
    fn watch_cpu(&mut self) {
        let now = monotonic_ns();
        let Some(cpu) = self.cpu.as_mut().filter(|cpu| cpu.is_due(now)) else { return };
        let spent = self.engine.rules().map(|(rule, stats, _)| (rule.name(), stats.spent_ns));
        for rule in cpu.over_share(now, spent) {
            self.engine.step(Input::Quarantine { rule: &rule, reason: "limits.cpu_share" });
            self.unreplayable = true;
        }
    }

    fn renew_snapshot(&mut self) {
        let now = (self.clock)();
        if now.duration_since(self.snapshot_at) >= SNAPSHOT_EVERY {
            self.snapshot.set_engine(&self.engine);
            self.telemetry.publish(self.snapshot.clone());
            self.snapshot_at = now;
        }
    }
}

/// What commands came to, as messages; answers go below `subject`. Logs each of them.
fn command_messages(subject: &str, results: CommandResults) -> Vec<CommandMessage> {
    let answers = results.answers.iter().map(|answer| {
        let (command, by, id) = (answer.kind.as_str(), &answer.by, answer.id);
        match &answer.outcome {
            Ok(_) => tracing::info!(command, %by, %id, "a command was accepted"),
            Err(reason) => tracing::warn!(command, %by, %id, reason, "a command was refused"),
        }
        let body = json(&AnswerMessage::from(answer));
        CommandMessage::Answer { subject: command_message::answer_subject(subject, answer), body }
    });
    let silences = results.silences.iter().map(|(id, shown)| {
        let body = shown.as_ref().map(|(silence, state)| json(&SilenceMessage::new(silence, *state)));
        CommandMessage::Silence { id: id.to_string(), body }
    });
    silences.chain(answers).collect()
}

fn json(message: &impl Serialize) -> Bytes {
    match serde_json::to_vec(message) {
        Ok(bytes) => bytes.into(),
        Err(error) => unreachable!("texts always serialize: {error}"),
    }
}

/// How the subjects of results begin.
#[derive(Clone, Debug)]
pub struct OutputSubjects {
    /// Of revisions.
    pub incidents: String,
    /// Of what happens to alerts; `None` where nobody wants it.
    pub alerts: Option<String>,
}

impl From<&OutputConfig> for OutputSubjects {
    fn from(config: &OutputConfig) -> Self {
        Self { incidents: config.subject.clone(), alerts: config.publishes_alerts().then(|| config.alerts_subject.clone()) }
    }
}

/// Revisions as messages, with what happened to their alerts. Logs each revision.
pub fn revision_messages(subjects: &OutputSubjects, revisions: &[Revision]) -> Vec<RevisionMessage> {
    let message = |revision: &Revision| {
        tracing::info!(
            incident = %revision.id, revision = revision.revision, change = revision.change.as_str(), severity = %revision.severity,
            send = revision.decision.is_sent(), code = revision.decision.code(), reason = %revision.decision, "{}", revision.title
        );
        RevisionMessage {
            subject: incident_message::subject(&subjects.incidents, revision),
            message_id: incident_message::message_id(revision),
            incident: revision.id.to_string(),
            open: revision.status == Status::Open,
            body: Bytes::from(incident_message::to_json(revision)),
            alerts: subjects.alerts.iter().flat_map(|subject| alert_updates(subject, revision)).collect(),
        }
    };
    revisions.iter().map(message).collect()
}

fn alert_updates<'a>(subject: &'a str, revision: &'a Revision) -> impl Iterator<Item = AlertUpdate> + 'a {
    revision.changed.iter().map(move |alert| AlertUpdate {
        subject: alert_update::subject(subject, alert),
        message_id: alert_update::message_id(revision, alert),
        body: Bytes::from(alert_update::to_json(revision, alert)),
    })
}
