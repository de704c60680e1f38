//! The graph that is in force: that of all sources together, made anew when one of them changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::learn::{LearnCounts, LearnParams, Learner};
use super::parts::{Parts, Source};
use super::{Topology, learn::SpanFacts};
use crate::words::time::TimestampMs;

/// The graph in force and what it is made of.
#[derive(Clone, Debug)]
pub struct LiveTopology {
    given: BTreeMap<Source, Parts>,
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

impl LiveTopology {
    /// The graph of the file is in force, as it is.
    pub fn new(file: Topology, learn: LearnParams) -> Self {
        let given = BTreeMap::from([(Source::File, file.parts())]);
        Self { given, learner: Learner::new(learn), learned: 0, current: Arc::new(file) }
    }

    /// The graph in force.
    pub fn current(&self) -> &Arc<Topology> {
        &self.current
    }

    /// How large it is.
    pub fn census(&self) -> TopologyCensus {
        let edges = Source::ALL.map(|source| match source {
            Source::Learned => (source.as_str(), self.learned),
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
    pub fn set(&mut self, source: Source, parts: Parts) -> bool {
        self.given.insert(source, parts);
        self.renew()
    }

    /// What is learned, and how.
    pub fn learn_params(&self) -> &LearnParams {
        self.learner.params()
    }

    /// Sees a span.
    pub fn span(&mut self, span: SpanFacts<'_>) {
        self.learner.span(span);
    }

    /// Sees a call.
    pub fn call(&mut self, ts: TimestampMs, from: &str, to: &str, env: Option<&str>) {
        self.learner.call(ts, from, to, env);
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
        let mut all = Parts { nodes: Vec::new(), edges: learned };
        for parts in self.given.values() {
            all.nodes.extend(parts.nodes.iter().cloned());
            all.edges.extend(parts.edges.iter().cloned());
        }
        let next = Topology::new(all);
        if next.stamp().hash == self.current.stamp().hash {
            return false;
        }
        self.current = Arc::new(next.with_version(self.current.version() + 1));
        true
    }
}
