//! The graph that is in force: that of all sources together, made anew when one of them changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;
use crate::topology::definition::{TopologyDefinition, TopologySource};
use crate::topology::learn::{LearnCounts, LearnParams, Learner};
use crate::topology::{Stamp, Topology, learn::KeyedSpan};

/// The graph in force and what it is made of.
#[derive(Clone, Debug)]
pub struct LiveTopology {
    given: BTreeMap<TopologySource, TopologyDefinition>,
    learner: Learner,
    learned: usize,
    current: Arc<Topology>,
}

/// How large the graph is, and of what it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopologyCensus {
    /// Which version.
    pub version: u64,
    /// Nodes.
    pub nodes: usize,
    /// Edges that each source tells; several may tell the same one.
    pub edges: [(&'static str, usize); 3],
    /// How learning goes.
    pub learning: LearnCounts,
    /// Spans that wait for their parent or their children.
    pub spans_remembered: usize,
}

/// What is kept of the graph over a restart: what events told of it, and what is told anew only after the first of them.
#[derive(Serialize, Deserialize)]
pub struct SavedTopology {
    stamp: Stamp,
    learner: Learner,
    bucket: Option<TopologyDefinition>,
}

impl LiveTopology {
    /// What is to be kept over a restart.
    pub fn save(&self) -> SavedTopology {
        let bucket = self.given.get(&TopologySource::Bucket).cloned();
        SavedTopology { stamp: self.current.stamp(), learner: self.learner.clone(), bucket }
    }

    /// Goes on from what was kept, over the file as it is now. The same graph keeps its version, another one has the next.
    pub fn restore(&mut self, saved: SavedTopology) {
        self.learner.restore(saved.learner);
        self.given.extend(saved.bucket.map(|parts| (TopologySource::Bucket, parts)));
        self.renew();
        let version = saved.stamp.version + u64::from(saved.stamp.hash != self.current.stamp().hash);
        self.current = Arc::new(self.current.as_ref().clone().with_version(version));
    }

    /// The graph of the file is in force, as it is.
    pub fn new(file: Topology, learn: LearnParams) -> Self {
        let given = BTreeMap::from([(TopologySource::File, file.parts())]);
        Self { given, learner: Learner::new(learn), learned: 0, current: Arc::new(file) }
    }

    /// The graph in force.
    pub fn current(&self) -> &Arc<Topology> {
        &self.current
    }

    /// How large it is.
    pub fn census(&self) -> TopologyCensus {
        let edges = TopologySource::ALL.map(|source| match source {
            TopologySource::Learned => (source.as_str(), self.learned),
            told => (told.as_str(), self.given.get(&told).map_or(0, |parts| parts.edges.len())),
        });
        TopologyCensus {
            version: self.current.version(),
            nodes: self.current.size().0,
            edges,
            learning: self.learner.counts(),
            spans_remembered: self.learner.spans_remembered(),
        }
    }

    /// What `source` tells now, instead of what it told before. Returns whether that makes another graph.
    pub fn set(&mut self, source: TopologySource, parts: TopologyDefinition) -> bool {
        self.given.insert(source, parts);
        self.renew()
    }

    /// What is learned, and how.
    pub fn learn_params(&self) -> &LearnParams {
        self.learner.params()
    }

    /// Sees a span.
    pub fn span(&mut self, span: KeyedSpan<'_>) {
        self.learner.span(span);
    }

    /// Sees some calls.
    pub fn calls(&mut self, ts: TimestampMs, from: &str, to: &str, env: Option<&str>, number: u64) {
        self.learner.calls(ts, from, to, env, number);
    }

    /// Time has come to `at`. Returns whether what was learned until then makes another graph.
    pub fn advance(&mut self, at: TimestampMs) -> bool {
        let mut changed = false;
        while self.learner.advance(at) {
            changed |= self.renew();
        }
        changed
    }

    fn renew(&mut self) -> bool {
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
