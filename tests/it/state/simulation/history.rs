//! What an engine took in, as the simulation knows it: by it an uninterrupted process can be asked for the same.

use std::rc::Rc;

use squelch::engine::next_rules::NextRules;
use squelch::engine::{Engine, Input};
use squelch::incident::invariants::Invariants;
use squelch::incident::revision::Revision;
use squelch::io::decode::command::CommandOrigin;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::nats::input::gap::{Gap, GapCause};
use squelch::io::nats::output::results::RevisionMessage;
use squelch::process::pipeline::evaluate::{OutputSubjects, revision_messages};
use squelch::process::pipeline::gap_alert;
use squelch::topology::Topology;
use squelch::topology::definition::TopologySource;

use super::world::World;

/// How the subjects of results begin.
pub fn subjects() -> OutputSubjects {
    OutputSubjects { incidents: "incidents".into(), alerts: Some("alerts".into()) }
}

/// The versions of what people wrote: rules, the topology's file, the topology's bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files {
    pub rules: usize,
    pub graph: usize,
    pub bucket: Option<usize>,
}

/// One thing that an engine took in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// A message, by its place in the stream.
    Message(u64),
    /// Nothing for this long.
    Idle(i64),
    Rules(usize),
    Graph(usize),
    Bucket(usize),
    /// The stream had dropped these messages, the first and the last.
    Gap(u64, u64),
    /// A process began with what one before it saved, where files had changed meanwhile.
    Began(Files),
}

impl Took {
    /// Whether no event decides it, so that nobody can tell it from the stream.
    pub fn is_undecided(self) -> bool {
        !matches!(self, Took::Message(_))
    }
}

/// What the simulation knows of a checkpoint.
#[derive(Clone)]
pub struct Kept {
    pub history: Rc<Vec<Took>>,
    pub files: Files,
    /// The last message in it.
    pub sequence: u64,
}

/// An engine that has seen nothing, and its decoder.
pub fn fresh(world: &World, files: Files) -> (Engine, Decoder) {
    let set = world.pack.set(files.rules);
    let graph = Topology::new(world.graphs[files.graph].clone());
    let engine = Engine::of(set.rules.clone(), graph, &world.params).expect("the engine starts");
    let mut label_keys = set.label_keys.clone();
    world.params.add_label_keys(&mut label_keys);
    (engine, Decoder::new(&label_keys, FUTURE_MS))
}

/// Other rules for an engine and its decoder.
pub fn next_rules(world: &World, rules: usize, decoder: &mut Decoder) -> NextRules {
    let set = world.pack.set(rules);
    let mut label_keys = set.label_keys.clone();
    world.params.add_label_keys(&mut label_keys);
    decoder.set_label_keys(&label_keys);
    NextRules::of(set.rules.clone(), &world.params).expect("the rules were tried")
}

/// When the stream was made.
pub const BORN_NS: i64 = 7;

/// What is said of messages that the stream dropped.
pub fn dropped(first: u64, last: u64) -> Gap {
    let cause = GapCause::Dropped { first, last, exact: true };
    Gap { stream: "EVENTS".into(), cause, stream_created_ns: BORN_NS, after: last }
}

/// How far ahead of the broker's clock an event may lie.
const FUTURE_MS: i64 = 60_000;

/// Decodes the message at a place in the stream.
pub fn decode(
    world: &World,
    sequence: u64,
    decoder: &mut Decoder,
    reject: &mut dyn FnMut(squelch::io::decode::rejection::Rejected),
) {
    let message = &world.messages[sequence as usize - 1];
    let source = decoder.source(message.subject);
    let command = CommandOrigin::of_subject(message.subject);
    let info = MessageInfo { received_at: Some(message.received_at), source, command, ..MessageInfo::default() };
    decoder.message(&message.body, info, reject);
}

/// What one process that never ends makes of a history, its messages in batches of `batch_of`.
pub fn uninterrupted(world: &World, began: Files, history: &[Took], batch_of: usize) -> Result<Vec<RevisionMessage>, String> {
    let (mut engine, mut decoder) = fresh(world, began);
    let mut invariants = Invariants::default();
    let mut all = Vec::new();
    let mut take = |revisions: Vec<Revision>| {
        invariants.see(&revisions)?;
        all.extend(revision_messages(&subjects(), &revisions));
        Ok::<(), String>(())
    };
    let mut rest = history;
    while let [first, after @ ..] = rest {
        rest = after;
        match *first {
            Took::Message(sequence) => {
                let mut next = Some(sequence);
                let mut batch = 0;
                while let Some(sequence) = next {
                    decode(world, sequence, &mut decoder, &mut |_| {});
                    batch += 1;
                    next = match rest {
                        [Took::Message(sequence), after @ ..] if batch < batch_of => {
                            rest = after;
                            Some(*sequence)
                        }
                        _ => None,
                    };
                }
                take(engine.step(Input::Events(&decoder.take())))?;
            }
            Took::Idle(silence_ms) => take(engine.step(Input::Idle { silence_ms }))?,
            Took::Gap(first, last) => take(engine.step(Input::SelfAlert(gap_alert::alert(&dropped(first, last)))))?,
            Took::Rules(rules) => take(engine.step(Input::Rules(Box::new(next_rules(world, rules, &mut decoder)))))?,
            Took::Graph(graph) => {
                let parts = world.graphs[graph].clone();
                take(engine.step(Input::Topology { source: TopologySource::File, parts }))?;
            }
            Took::Bucket(bucket) => {
                let parts = world.graphs[bucket].clone();
                take(engine.step(Input::Topology { source: TopologySource::Bucket, parts }))?;
            }
            Took::Began(files) => {
                let saved = engine.save().map_err(|error| error.to_string())?.into_loaded()?;
                (engine, decoder) = fresh(world, files);
                take(engine.restore(&saved).map_err(|error| error.to_string())?)?;
                decoder = decoder.with_sources(std::sync::Arc::clone(engine.source_names()));
                if let Some(bucket) = files.bucket {
                    let parts = world.graphs[bucket].clone();
                    take(engine.step(Input::Topology { source: TopologySource::Bucket, parts }))?;
                }
            }
        }
    }
    Ok(all)
}
