//! The topology in force: that of all sources together, built anew when one of them changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;
use crate::topology::definition::{TopologyDefinition, TopologySource};
use crate::topology::learn::{LearnCounts, LearnParams, Learner};
use crate::topology::{Stamp, Topology, learn::KeyedSpan};

/// The topology in force and what it is built from.
#[derive(Clone, Debug)]
pub struct LiveTopology {
    given: BTreeMap<TopologySource, TopologyDefinition>,
    learner: Learner,
    learned: usize,
    current: Arc<Topology>,
}

/// How large the topology is, and where it came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopologySize {
    /// Which version.
    pub version: u64,
    /// Nodes.
    pub nodes: usize,
    /// Edges of each source. Several sources may have the same edge.
    pub edges: [(&'static str, usize); 3],
    /// What learning has counted.
    pub learning: LearnCounts,
    /// Spans that wait for their parent or their children.
    pub spans_remembered: usize,
}

/// What a restart needs: what was learned, and the bucket's part, which is read again only after the first events.
#[derive(Serialize, Deserialize)]
pub struct LiveTopologySnapshot {
    stamp: Stamp,
    learner: Learner,
    bucket: Option<TopologyDefinition>,
}

impl LiveTopology {
    /// What a restart needs.
    pub fn save(&self) -> LiveTopologySnapshot {
        let bucket = self.given.get(&TopologySource::Bucket).cloned();
        LiveTopologySnapshot { stamp: self.current.stamp(), learner: self.learner.clone(), bucket }
    }

    /// Goes on from a snapshot, with the file as it is now. The same topology keeps its version; another one gets the next.
    pub fn restore(&mut self, saved: LiveTopologySnapshot) {
        self.learner.restore(saved.learner);
        self.given.extend(saved.bucket.map(|parts| (TopologySource::Bucket, parts)));
        self.rebuild();
        let version = saved.stamp.version + u64::from(saved.stamp.hash != self.current.stamp().hash);
        self.current = Arc::new(self.current.as_ref().clone().with_version(version));
    }

    /// Only the file's topology is in force.
    pub fn new(file: Topology, learn: LearnParams) -> Self {
        let given = BTreeMap::from([(TopologySource::File, file.parts())]);
        Self { given, learner: Learner::new(learn), learned: 0, current: Arc::new(file) }
    }

    /// The topology in force.
    pub fn current(&self) -> &Arc<Topology> {
        &self.current
    }

    /// How large it is.
    pub fn size(&self) -> TopologySize {
        let edges = TopologySource::ALL.map(|source| match source {
            TopologySource::Learned => (source.as_str(), self.learned),
            given => (given.as_str(), self.given.get(&given).map_or(0, |parts| parts.edges.len())),
        });
        TopologySize {
            version: self.current.version(),
            nodes: self.current.size().0,
            edges,
            learning: self.learner.counts(),
            spans_remembered: self.learner.spans_remembered(),
        }
    }

    /// Replaces what `source` gives. Returns whether the topology is another one now.
    pub fn set(&mut self, source: TopologySource, parts: TopologyDefinition) -> bool {
        self.given.insert(source, parts);
        self.rebuild()
    }

    /// What is learned, and how.
    pub fn learn_params(&self) -> &LearnParams {
        self.learner.params()
    }

    /// Observes a span.
    pub fn span(&mut self, span: KeyedSpan<'_>) {
        self.learner.span(span);
    }

    /// Observes some calls.
    pub fn calls(&mut self, ts: TimestampMs, from: &str, to: &str, env: Option<&str>, number: u64) {
        self.learner.calls(ts, from, to, env, number);
    }

    /// Advances to `at`. Returns whether what was learned until then makes another topology.
    pub fn advance(&mut self, at: TimestampMs) -> bool {
        let mut changed = false;
        while self.learner.advance(at) {
            changed |= self.rebuild();
        }
        changed
    }

    fn rebuild(&mut self) -> bool {
        let learned: Vec<_> = self.learner.edges().collect();
        self.learned = learned.len();
        let learned = TopologyDefinition { nodes: Vec::new(), edges: learned };
        let next = Topology::new(TopologyDefinition::merged(std::iter::once(&learned).chain(self.given.values())));
        if next.stamp().hash == self.current.stamp().hash {
            return false;
        }
        self.current = Arc::new(next.with_version(self.current.version() + 1));
        true
    }
}
