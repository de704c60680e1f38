//! One squelch in a simulated world: the code that runs, between a simulated server and a simulated disk, with a simulated clock.
//! It does what [`Act`]s say, and at each step asks itself whether what must hold holds.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::FutureExt;
use squelch::engine::Engine;
use squelch::incident::revision::Revision;
use squelch::io::decode::decoder::Decoder;
use squelch::io::nats::input::messages::Fetched;
use squelch::io::nats::input::position::StreamPosition;
use squelch::io::nats::output::results::{RejectedLine, Results, RevisionMessage, WriteOp};
use squelch::model::event::LabelKeys;
use squelch::model::snapshot::StateSnapshot;
use squelch::process::checkpoint;
use squelch::process::checkpoint::progress::CheckpointInProgress;
use squelch::process::checkpoint::storage::{self, FolderStorage};
use squelch::process::pipeline::evaluate::{Evaluate, revision_messages};
use squelch::process::pipeline::messages::{
    CheckpointAfter, DecodedItem, DecodedMessages, EngineOnly, NewRules, PipelineItem, PublishItem,
};
use squelch::process::pipeline::progress::Progress;
use squelch::process::telemetry::Telemetry;
use squelch::topology::definition::TopologySource;

use super::broker::{Broker, Stored};
use super::disk::{Digest, Disk, Torn, digest};
use super::history::{BORN_NS, Files, Kept, Took, decode, dropped, fresh, next_rules, subjects};
use super::schedule::{Act, Schedule};
use super::world::World;

/// Results that wait to be stored, as many as the channel holds.
const QUEUE: usize = 4;

thread_local! {
    static NOW_MS: Cell<u64> = const { Cell::new(0) };
}

/// The simulated clock.
fn clock() -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    *BEGAN.get_or_init(Instant::now) + Duration::from_millis(NOW_MS.get())
}

/// An item for the engine.
type Item = PipelineItem<Box<DecodedMessages<u64>>, EngineOnly>;

/// One thing to be stored, or kept.
enum Step {
    Keep(Keeping),
    Do(WriteOp<u64>),
}

/// A checkpoint that is to be kept.
struct Keeping {
    saved: StateSnapshot,
    known: Kept,
    /// The results that it holds itself.
    holds: Vec<String>,
    /// Whether results may be stored meanwhile.
    behind: bool,
    /// Tells the process that no other is due while this one waits.
    _in_progress: Option<Arc<CheckpointInProgress>>,
}

/// A result, and what the engine had taken in when it came.
struct Made {
    message_id: String,
    history: Rc<Vec<Took>>,
}

/// A process, from start to death.
struct Life {
    kept: Arc<FolderStorage>,
    evaluate: Evaluate,
    decoder: Decoder,
    sequence: u64,
    history: Vec<Took>,
    files: Files,
    made: Vec<Made>,
    rejected: Vec<(u64, usize)>,
    steps: VecDeque<VecDeque<Step>>,
    /// A checkpoint that is being written while results are stored.
    behind: Option<Keeping>,
    silent_since_ms: u64,
}

impl Life {
    /// What a checkpoint holds that is taken now.
    fn known(&self) -> Kept {
        Kept { history: Rc::new(self.history.clone()), files: self.files, sequence: self.sequence }
    }
}

/// The whole.
pub struct System<'w> {
    world: &'w World,
    disk: &'w mut Disk,
    every: Duration,
    telemetry: Arc<Telemetry>,
    pub broker: Broker,
    /// What people have written.
    files: Files,
    arrived: u64,
    /// The stream holds no message up to here.
    expired: u64,
    /// Those of them that were not read, or not read again.
    pub skipped: BTreeSet<u64>,
    /// The last message that some process read.
    read: u64,
    life: Option<Life>,
    /// What the engine had taken in for each message of the stream of incidents.
    stored: Vec<(String, Rc<Vec<Took>>)>,
    /// The files with which the first engine began whose traces are left.
    pub began: Files,
    /// The last checkpoint that should be on the disk.
    last_kept: Option<Digest>,
    /// Why results may differ from those of a process that lived.
    pub excused: Option<&'static str>,
    /// How often a process began with a checkpoint.
    pub resumed: u64,
}

type Held = Result<(), String>;

impl<'w> System<'w> {
    pub fn new(world: &'w World, disk: &'w mut Disk, schedule: &Schedule, telemetry: Arc<Telemetry>) -> Self {
        NOW_MS.set(0);
        disk.wipe(schedule.segment_bytes_min);
        let files = Files { rules: 0, graph: 0, bucket: world.bucket.then_some(0) };
        Self {
            world,
            disk,
            every: Duration::from_millis(schedule.every_ms),
            telemetry,
            broker: Broker::default(),
            files,
            arrived: 0,
            expired: 0,
            skipped: BTreeSet::new(),
            read: 0,
            life: None,
            stored: Vec::new(),
            began: Files { bucket: None, ..files },
            last_kept: None,
            excused: None,
            resumed: 0,
        }
    }

    fn life(&mut self) -> &mut Life {
        self.life.as_mut().expect("a process runs")
    }

    /// What its engine took in.
    pub fn history(&self) -> &[Took] {
        self.life.as_ref().map_or(&[], |life| life.history.as_slice())
    }

    /// What a process does at its start, as `squelch run` does it.
    pub fn start(&mut self) -> Held {
        let (world, files) = (self.world, self.files);
        let kept = Arc::new(self.disk.open());
        let found = self.disk.newest(&kept);
        let said = |revisions: &[Revision]| revision_messages(&subjects(), revisions);
        let make = || Ok(fresh(world, files));
        let from = storage::CheckpointStorage::Folder(Arc::clone(&kept));
        let engine_of: fn(&mut (Engine, Decoder)) -> &mut Engine = |(engine, _)| engine;
        let resuming = checkpoint::resume(&from, fresh(world, files), &make, engine_of, &said);
        let ((mut engine, mut decoder), resumed) = resuming.now_or_never().expect("a folder is no server").expect("it starts");
        if resumed.is_some() != found.is_some() {
            return Err("a good checkpoint is not used".into());
        }
        let (mut history, mut files_then, mut outbox) = (Vec::new(), Files { bucket: None, ..files }, Vec::new());
        let mut place = StreamPosition { created_ns: BORN_NS, sequence: self.broker.acknowledged };
        let mut begins = None;
        if let (Some(resumed), Some((found, known))) = (resumed, found) {
            self.resumed += 1;
            // Rules that were exchanged leave their tables in another order than a start makes them.
            let exchanged = |took: &Took| matches!(took, Took::Rules(_) | Took::Began(_));
            let same = (known.files.rules, known.files.graph) == (files.rules, files.graph);
            let same = same && !known.history.iter().any(exchanged);
            let save = |engine: &mut Engine| checkpoint::save(engine, resumed.position, &resumed.outbox).ok()?.into_loaded().ok();
            if same && save(&mut engine).expect("it can be saved") != found {
                return Err("an engine that was restored saves other bytes than it was restored from".into());
            }
            place = resumed.position;
            if place.sequence != known.sequence {
                return Err(format!("the checkpoint of message {} says {}", known.sequence, place.sequence));
            }
            history = known.history.to_vec();
            files_then = known.files;
            outbox = resumed.outbox;
            self.excuse(&known, digest(&found))?;
        } else if self.last_kept.is_some() {
            self.excused = Some("no checkpoint could be used");
        } else {
            self.began = files_then;
            begins = Some(checkpoint::save(&mut engine, place, &[]).expect("it can be saved"));
        }
        if self.last_kept.is_some() && files_then != files {
            history.push(Took::Began(files));
            files_then = files;
        }
        decoder = decoder.with_sources(Arc::clone(engine.source_names()));
        if place.sequence < self.expired.min(self.read) {
            self.excused = Some("the stream dropped what had to be read again");
        }
        // The consumer is made anew after the checkpoint's place.
        self.broker.acknowledged = place.sequence;
        let idle_ms = world.params.idle_ms;
        let evaluate = Evaluate::new(engine, idle_ms, subjects(), None, Arc::clone(&self.telemetry));
        let evaluate = evaluate.with_clock(clock).with_checkpoints(self.every, place);
        self.life = Some(Life {
            kept,
            evaluate,
            decoder,
            sequence: place.sequence,
            history,
            files: files_then,
            made: Vec::new(),
            rejected: Vec::new(),
            steps: VecDeque::new(),
            behind: None,
            silent_since_ms: NOW_MS.get(),
        });
        let first = PublishItem { checkpoint_before: begins, results: Results::of(outbox), ..PublishItem::default() };
        self.queue(first, None);
        if let Some(bucket) = files.bucket {
            let then = self.life().files.bucket.replace(bucket);
            let parts = world.graphs[bucket].clone();
            let took = (then != Some(bucket)).then_some(Took::Bucket(bucket));
            self.work(PipelineItem::EngineOnly(EngineOnly::Topology(TopologySource::Bucket, parts)), took, place.sequence);
        }
        Ok(())
    }

    /// Whether the results that are stored will be made again, as they are, by a process that goes on from `known`; if not, whether
    /// that must be so.
    fn excuse(&mut self, known: &Kept, from: Digest) -> Held {
        let mut base = known.history.to_vec();
        if known.files != self.files {
            base.push(Took::Began(self.files));
        }
        if self.excused.is_some() {
            return Ok(());
        }
        for (message_id, history) in &self.stored {
            let made_before = known.history.starts_with(history);
            let made_again =
                history.strip_prefix(base.as_slice()).is_some_and(|more| !more.iter().any(|took| took.is_undecided()));
            if made_before || made_again {
                continue;
            }
            let common = history.iter().zip(known.history.iter()).take_while(|(a, b)| a == b).count();
            let more = &history[common..];
            // They may have been changed back since.
            let files_changed =
                |more: &[Took]| known.files != self.files || more.iter().any(|took| matches!(took, Took::Began(_)));
            if self.last_kept != Some(from) {
                self.excused = Some("the newest checkpoint could not be used");
            } else if files_changed(more) && more.iter().all(|took| matches!(took, Took::Message(_) | Took::Began(_))) {
                self.excused = Some("files had changed before the process died");
            } else {
                return Err(format!("{message_id} is stored, and no checkpoint holds what decided it: {more:?}"));
            }
        }
        Ok(())
    }

    /// The engine takes something in, the stream up to message `sequence`.
    fn work(&mut self, item: Item, took: impl IntoIterator<Item = Took>, sequence: u64) {
        let life = self.life();
        // Before events, a checkpoint may hold what was before them.
        let then = matches!(item, PipelineItem::Read(Fetched::Messages(_))).then(|| life.known());
        life.history.extend(took);
        // Of a gap only its own word tells where it ends.
        let told = if matches!(item, PipelineItem::Read(Fetched::Gap(_))) { life.sequence } else { sequence };
        life.sequence = sequence;
        let progress = Progress { sequence: told, ..Progress::default() };
        if let Some(next) = life.evaluate.take(DecodedItem { item, progress }) {
            self.queue(next, then);
        }
    }

    /// Time goes on by itself, unless it had come further already.
    fn idle(&mut self, silence_ms: u64) {
        let life = self.life();
        let before = life.evaluate.engine().watermark();
        let progress = Progress { sequence: life.sequence, ..Progress::default() };
        let idle = Fetched::Idle { silence: Duration::from_millis(silence_ms), read_up_to: life.sequence };
        let next = life.evaluate.take(DecodedItem { item: PipelineItem::Read(idle), progress });
        if life.evaluate.engine().watermark() != before {
            life.history.push(Took::Idle(silence_ms as i64));
        }
        if let Some(next) = next {
            self.queue(next, None);
        }
    }

    /// Puts results into the channel. A checkpoint before them knows what was `then`, or else all.
    fn queue(&mut self, next: PublishItem<u64>, then: Option<Kept>) {
        let life = self.life();
        let PublishItem { checkpoint_before, results, checkpoint_after, active_rules: _ } = next;
        let known = life.known();
        let history = Rc::clone(&known.history);
        let ids: Vec<String> = results.revisions.iter().map(|revision| revision.message_id.clone()).collect();
        let made = |message_id: &String| Made { message_id: message_id.clone(), history: Rc::clone(&history) };
        life.made.extend(ids.iter().map(made));
        life.rejected.extend(results.rejected.iter().map(|bad| (bad.sequence, bad.line)));
        let before = checkpoint_before.map(|saved| {
            let (known, holds) = then.map_or((known.clone(), ids), |then| (then, Vec::new()));
            Step::Keep(Keeping { saved, known, holds, behind: false, _in_progress: None })
        });
        let after = checkpoint_after.map(|CheckpointAfter { snapshot, in_background, in_progress }| {
            let (holds, behind) = (Vec::new(), in_background);
            Step::Keep(Keeping { saved: snapshot, known, holds, behind, _in_progress: in_progress })
        });
        let steps = before.into_iter().chain(results.write_ops().map(Step::Do)).chain(after);
        life.steps.push_back(steps.collect());
    }

    pub fn act(&mut self, act: Act) -> Held {
        match act {
            Act::Arrive(more) => {
                let all = self.world.messages.len() as u64;
                let (from, until) = (self.arrived, (self.arrived + more).min(all));
                let at = |sequence: u64| self.world.messages[sequence.saturating_sub(1) as usize].received_at;
                let passed = if until > from { (at(until) - at(from)).max(0) } else { 0 };
                NOW_MS.set(NOW_MS.get() + passed as u64);
                self.arrived = until;
            }
            Act::Read(most) => self.read(most),
            Act::Store(steps) => {
                for _ in 0..steps {
                    self.store(None)?;
                }
            }
            Act::Behind => self.finish_behind()?,
            Act::Refuse | Act::LoseAnswer => self.store(Some(act))?,
            Act::Silence(ms) => {
                NOW_MS.set(NOW_MS.get() + ms);
                if self.has_room() && self.life().sequence == self.arrived {
                    let silence_ms = NOW_MS.get() - self.life().silent_since_ms;
                    self.idle(silence_ms);
                }
            }
            Act::Clock(ms) => NOW_MS.set(NOW_MS.get() + ms),
            Act::Expire(messages) => {
                let until = (self.life().sequence + messages).min(self.arrived);
                self.expired = self.expired.max(until);
            }
            Act::Rules(version) => self.files.rules = version,
            Act::Graph(version) => self.files.graph = version,
            Act::Bucket(version) => self.files.bucket = self.files.bucket.and(Some(version)),
            Act::Crash => self.crash()?,
            Act::Tear(torn) => self.tear(torn)?,
            Act::Harm(harm) => _ = self.disk.harm(harm),
            Act::Stop => self.stop()?,
        }
        self.look();
        Ok(())
    }

    /// Looks at what people wrote, as soon as there is room for it.
    fn look(&mut self) {
        let (world, files) = (self.world, self.files);
        if self.has_room() && self.life().files.rules != files.rules {
            self.changed();
            let life = self.life();
            life.files.rules = files.rules;
            let rules = next_rules(world, files.rules, &mut life.decoder);
            let sequence = life.sequence;
            let new = NewRules { label_keys: LabelKeys::default(), rules: Box::new(rules) };
            self.work(PipelineItem::Rules(new), [Took::Rules(files.rules)], sequence);
        }
        if self.has_room() && self.life().files.graph != files.graph {
            self.changed();
            self.life().files.graph = files.graph;
            let (parts, sequence) = (world.graphs[files.graph].clone(), self.life().sequence);
            self.work(
                PipelineItem::EngineOnly(EngineOnly::Topology(TopologySource::File, parts)),
                [Took::Graph(files.graph)],
                sequence,
            );
        }
        if let Some(bucket) = files.bucket
            && self.has_room()
            && self.life().files.bucket != files.bucket
        {
            self.changed();
            self.life().files.bucket = files.bucket;
            let (parts, sequence) = (world.graphs[bucket].clone(), self.life().sequence);
            self.work(
                PipelineItem::EngineOnly(EngineOnly::Topology(TopologySource::Bucket, parts)),
                [Took::Bucket(bucket)],
                sequence,
            );
        }
    }

    /// What people wrote is another: results that were stored and are not made again yet may now come out otherwise.
    fn changed(&mut self) {
        let history = self.history();
        if !self.stored.iter().all(|(_, made)| history.starts_with(made)) {
            self.excused = Some("files changed while results were made again");
        }
    }

    fn has_room(&mut self) -> bool {
        self.life().steps.len() < QUEUE
    }

    fn read(&mut self, most: u64) {
        let (first, last) = (self.life().sequence + 1, self.expired);
        if self.has_room() && first <= last {
            self.skipped.extend(first..=last);
            self.read = self.read.max(last);
            self.changed();
            self.work(PipelineItem::Read(Fetched::Gap(dropped(first, last))), [Took::Gap(first, last)], last);
        }
        let (world, until) = (self.world, self.arrived.min(self.life().sequence + most));
        if !self.has_room() || until == self.life().sequence {
            return;
        }
        self.read = self.read.max(until);
        let life = self.life();
        let mut rejected = Vec::new();
        let took: Vec<Took> = (life.sequence + 1..=until).map(Took::Message).collect();
        for sequence in life.sequence + 1..=until {
            decode(world, sequence, &mut life.decoder, &mut |bad| rejected.push(out_rejected(world, sequence, bad)));
        }
        life.silent_since_ms = NOW_MS.get();
        let decoded = DecodedMessages { batch: life.decoder.take(), rejected, sequences: Vec::new(), acker: Some(until) };
        self.work(PipelineItem::Read(Fetched::Messages(Box::new(decoded))), took, until);
    }

    /// Does the next step of storing, or fails.
    fn store(&mut self, fails: Option<Act>) -> Held {
        let Some(life) = &mut self.life else { return Ok(()) };
        while life.steps.front().is_some_and(VecDeque::is_empty) {
            life.steps.pop_front();
        }
        let Some(steps) = life.steps.front_mut() else { return Ok(()) };
        let Some(step) = steps.pop_front() else { return Ok(()) };
        let op = match step {
            Step::Keep(keeping) => {
                self.finish_behind()?;
                if keeping.behind {
                    self.life().behind = Some(keeping);
                    return Ok(());
                }
                return self.keep(keeping, fails);
            }
            Step::Do(op) => op,
        };
        if fails == Some(Act::Refuse) {
            steps.push_front(Step::Do(op));
            return Ok(());
        }
        let again = match &op {
            WriteOp::Reject(bad) => WriteOp::Reject(bad.clone()),
            WriteOp::PublishAlerts(updates) => WriteOp::PublishAlerts(updates.clone()),
            WriteOp::Publish(revision) => WriteOp::Publish(revision.clone()),
            WriteOp::UpdateOpen(revision) => WriteOp::UpdateOpen(revision.clone()),
            WriteOp::Answer(message) => WriteOp::Answer(message.clone()),
            WriteOp::Acknowledge(sequence) => WriteOp::Acknowledge(*sequence),
        };
        if fails == Some(Act::LoseAnswer) {
            steps.push_front(Step::Do(again));
        }
        self.done(op)
    }

    /// A checkpoint is kept, or cannot be.
    fn keep(&mut self, keeping: Keeping, fails: Option<Act>) -> Held {
        let Some(life) = &self.life else { return Ok(()) };
        let Keeping { saved, known, holds, .. } = keeping;
        let owed = life.made.iter().filter(|made| known.history.starts_with(&made.history));
        let lost = owed.map(|made| &made.message_id).find(|id| !self.broker.has(id) && !holds.contains(id));
        if let Some(lost) = lost {
            return Err(format!("a checkpoint is kept, and {lost} is neither in it nor stored"));
        }
        // A write that fails is said loudly, and the results go out all the same.
        let refused = fails == Some(Act::Refuse);
        self.last_kept = Some(if refused { Digest::default() } else { self.disk.write(&life.kept, &saved, known) });
        Ok(())
    }

    /// The checkpoint that is written while results are stored is safe: no other comes before it.
    fn finish_behind(&mut self) -> Held {
        match self.life().behind.take() {
            Some(keeping) => self.keep(keeping, None),
            None => Ok(()),
        }
    }

    /// The server does what it is asked.
    fn done(&mut self, op: WriteOp<u64>) -> Held {
        let Self { life: Some(life), broker, stored, excused, skipped, .. } = self else { return Ok(()) };
        match op {
            WriteOp::Reject(bad) => _ = broker.rejected.entry((bad.sequence, bad.line)).or_insert(bad),
            WriteOp::PublishAlerts(updates) => match broker.publish_alerts(updates) {
                Some(differs) if excused.is_none() => {
                    return Err(format!("{} is published again and says something else", differs.message_id));
                }
                _ => {}
            },
            WriteOp::Publish(revision) => match broker.publish(&revision) {
                Stored::New => {
                    let made = life.made.iter().rev().find(|made| made.message_id == revision.message_id);
                    let history = made.map(|made| Rc::clone(&made.history)).unwrap_or_default();
                    stored.push((revision.message_id, history));
                }
                Stored::Again => {}
                Stored::Differs(known) if excused.is_none() => {
                    return Err(format!(
                        "{} is published again and says something else\n  first: {}\n  again: {}",
                        known.message_id,
                        text(&known),
                        text(&revision)
                    ));
                }
                Stored::Differs(_) => {}
            },
            WriteOp::UpdateOpen(revision) => broker.show(&revision),
            WriteOp::Answer(message) => {
                let held = broker.answer(&message);
                // What was dropped before it was read again decides as little as what changed.
                if excused.is_none() && skipped.is_empty() {
                    held?;
                }
            }
            WriteOp::Acknowledge(sequence) => {
                let by = |made: &&Made| matches!(made.history.last(), Some(Took::Message(last)) if *last <= sequence);
                let owed = life.made.iter().filter(by);
                if let Some(lost) = owed.map(|made| &made.message_id).find(|id| !broker.has(id)) {
                    return Err(format!("message {sequence} is acknowledged, and {lost} is not stored"));
                }
                let owed = life.rejected.iter().filter(|(of, _)| *of <= sequence);
                if let Some((of, line)) = owed.clone().find(|id| !broker.rejected.contains_key(id)) {
                    return Err(format!("message {sequence} is acknowledged, and rejected line {line} of {of} is not stored"));
                }
                broker.acknowledged = broker.acknowledged.max(sequence);
            }
        }
        Ok(())
    }

    fn crash(&mut self) -> Held {
        self.life = None;
        self.start()
    }

    fn tear(&mut self, torn: Torn) -> Held {
        let Some(mut life) = self.life.take() else { return Ok(()) };
        let steps = life.steps.iter_mut().find(|steps| !steps.is_empty());
        let next = match steps.and_then(VecDeque::pop_front) {
            Some(Step::Keep(keeping)) => Some(keeping),
            _ => None,
        };
        let (kept, torn_one) = (Arc::clone(&life.kept), life.behind.take().or(next));
        drop(life);
        if let Some(Keeping { saved, known, .. }) = torn_one {
            self.disk.tear(kept, &saved, known, torn);
        } else {
            drop(kept);
        }
        self.start()
    }

    /// Everything that waits is stored.
    pub fn drain(&mut self) -> Held {
        while self.life().steps.iter().any(|steps| !steps.is_empty()) {
            self.store(None)?;
        }
        self.life().steps.clear();
        self.finish_behind()
    }

    fn stop(&mut self) -> Held {
        self.drain()?;
        let last = self.life().evaluate.last();
        if last.checkpoint_after.is_none() {
            return Err("a stop takes no checkpoint".into());
        }
        self.queue(last, None);
        self.drain()?;
        self.crash()
    }

    /// All messages come, and everything that follows from them is stored; then once more a process begins.
    pub fn finish(&mut self) -> Held {
        self.act(Act::Arrive(u64::MAX / 2))?;
        while self.life().sequence < self.arrived {
            self.drain()?;
            self.look();
            self.read(7);
        }
        self.stop()?;
        let before = self.broker.incidents.len();
        self.drain()?;
        if self.broker.incidents.len() > before && self.excused.is_none() {
            return Err("a process that was stopped left results that only the next one stored".into());
        }
        Ok(())
    }
}

fn text(revision: &RevisionMessage) -> String {
    String::from_utf8_lossy(&revision.body).into_owned()
}

/// Rejected input as the decoding thread hands it on.
pub fn out_rejected(world: &World, sequence: u64, bad: squelch::io::decode::rejection::Rejected) -> RejectedLine {
    RejectedLine {
        subject: world.messages[sequence as usize - 1].subject.into(),
        sequence,
        stream_created_ns: 7,
        line: bad.line,
        reason: format!("{}: {}", bad.reason.code(), bad.reason),
        bytes: bad.bytes.into(),
    }
}
