//! What the stages of the pipeline hand to each other: [`PipelineItem`] from the readers to the engine, [`PublishItem`] from the engine
//! to the publisher. Holds data only.
//!
//! One enum goes the whole way. The reader fills it with raw messages, the decode stage replaces them by events, and everything that
//! is not a message passes the decode stage in order, unchanged.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::next_rules::NextRules;
use crate::engine::partial::result::PartialResult;
use crate::io::nats::cluster::active_rules::RuleFiles;
use crate::io::nats::input::messages::{Ack, Fetched, RawMessages};
use crate::io::nats::output::results::{RejectedLine, Results};
use crate::model::event::{EventBatch, LabelKeys};
use crate::model::snapshot::StateSnapshot;
use crate::process::checkpoint::progress::CheckpointInProgress;
use crate::process::pipeline::progress::Progress;
use crate::topology::TopologyDefinition;
use crate::topology::definition::TopologySource;

/// One item on its way to the engine. `M` is what the messages of the stream have become so far. `O` is what only a process with an
/// engine receives; a worker has none and counts instead.
pub enum PipelineItem<M, O = EngineOnly> {
    /// What was read from the stream of events.
    Read(Fetched<M>),
    /// From here on these rules are in force.
    Rules(NewRules),
    /// What only a process with an engine receives.
    EngineOnly(O),
}

/// An item as it comes from the readers.
pub type RawItem<O = EngineOnly> = PipelineItem<RawMessages, O>;

/// What a process with an engine receives besides events and rules.
pub enum EngineOnly {
    /// From here on this source describes the topology so.
    Topology(TopologySource, TopologyDefinition),
    /// What a worker has counted.
    Partial(Box<PartitionPartial>),
}

/// How an item that passes the decode stage unchanged counts as progress.
pub trait CountsAsProgress {
    /// Adds it.
    fn add_to(&self, progress: &mut Progress);
}

impl CountsAsProgress for EngineOnly {
    fn add_to(&self, progress: &mut Progress) {
        if let EngineOnly::Partial(partial) = self {
            progress.sequence = progress.sequence.max(partial.sequence);
            progress.decoding += partial.decoding;
        }
    }
}

impl CountsAsProgress for Infallible {
    fn add_to(&self, _: &mut Progress) {}
}

/// Rules that were checked and planned, ready to replace those in force.
pub struct NewRules {
    /// The labels that the rules read.
    pub label_keys: LabelKeys,
    /// The rules.
    pub rules: Box<NextRules>,
}

/// What the worker of one partition has counted.
pub struct PartitionPartial {
    /// The partition, from 0.
    pub partition: usize,
    /// Its sequence number in the stream of partials.
    pub sequence: u64,
    /// The counts.
    pub partial: PartialResult,
    /// How long decoding took.
    pub decoding: Duration,
}

/// An item after the decode stage, with the progress up to and including it. `A` acknowledges messages.
pub struct DecodedItem<A = Ack, O = EngineOnly> {
    /// The item.
    pub item: PipelineItem<Box<DecodedMessages<A>>, O>,
    /// The progress.
    pub progress: Progress,
}

/// Messages, decoded.
pub struct DecodedMessages<A = Ack> {
    /// Their events.
    pub batch: EventBatch,
    /// The sequence number of each of the batch's messages.
    pub sequences: Vec<u64>,
    /// The lines that could not be decoded.
    pub rejected: Vec<RejectedLine>,
    /// Acknowledges these messages and all before them. Where the last one is decoded in part, it acknowledges those before it.
    pub acker: Option<A>,
}

/// What the publisher has to store. `A` acknowledges messages.
pub struct PublishItem<A = Ack> {
    /// A checkpoint to store before the results. It contains them.
    pub checkpoint_before: Option<StateSnapshot>,
    /// The results.
    pub results: Results<A>,
    /// A checkpoint to store after the results.
    pub checkpoint_after: Option<CheckpointAfter>,
    /// The rules in force from here on, where they changed. Workers may know of them once a checkpoint has them.
    pub active_rules: Option<Arc<RuleFiles>>,
}

impl<A> Default for PublishItem<A> {
    fn default() -> Self {
        Self { checkpoint_before: None, results: Results::default(), checkpoint_after: None, active_rules: None }
    }
}

impl<A> PublishItem<A> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Self { checkpoint_before, results, checkpoint_after, active_rules } = self;
        checkpoint_before.is_none() && results.is_empty() && checkpoint_after.is_none() && active_rules.is_none()
    }
}

/// A checkpoint to store after results.
pub struct CheckpointAfter {
    /// The checkpoint.
    pub snapshot: StateSnapshot,
    /// Whether later results may be stored meanwhile: without this checkpoint they would only be made again.
    pub in_background: bool,
    /// Held until the checkpoint is stored.
    pub in_progress: Option<Arc<CheckpointInProgress>>,
}
