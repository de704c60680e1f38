//! Everything that can change the engine's state: one enum, so that a run can be recorded and repeated.

use crate::engine::next_rules::NextRules;
use crate::engine::partial::result::PartialResult;
use crate::engine::self_alert::SelfAlert;
use crate::model::event::EventBatch;
use crate::topology::definition::{TopologyDefinition, TopologySource};

/// One input of the engine.
#[derive(Debug)]
pub enum Input<'a> {
    /// Decoded messages.
    Events(&'a EventBatch),
    /// What the worker of a partition counted.
    Partial {
        /// The partition, from 0.
        partition: usize,
        /// Where the result was found, so that a restart can go on behind it.
        position: u64,
        /// The result.
        partial: &'a PartialResult,
    },
    /// Nothing has arrived for this long, and nothing waits to be read.
    Idle {
        /// Since the last message.
        silence_ms: i64,
    },
    /// Other rules, between two batches. Batches after this hold the label columns of the new rules.
    Rules(Box<NextRules>),
    /// A source gives another part of the topology than before.
    Topology {
        /// Which source.
        source: TopologySource,
        /// All that it gives.
        parts: TopologyDefinition,
    },
    /// Squelch has an alert about itself.
    SelfAlert(SelfAlert),
    /// A rule used more of something than it may: it is suspended for a while.
    Quarantine {
        /// The rule's name.
        rule: &'a str,
        /// Which limit it broke.
        reason: &'a str,
    },
    /// There will be no more messages.
    End,
}
