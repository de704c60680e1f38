//! Floor 2: the topology, a directed graph from dependents to dependencies. Cycles, self loops and unknown names are allowed. The only
//! place that knows petgraph.
//!
//! A topology is immutable. Which one is in force changes ([`live`]), and each has a version.

pub mod definition;
pub mod learn;
pub mod live;
pub mod node_kind;
pub mod observed_calls;
mod span_calls;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ahash::HashSet;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};

use crate::model::fingerprint::stable_hash;
use crate::model::limits::{REACH_EDGES_MAX, REACH_NODES_MAX};
pub use definition::{Edge, Node, TopologyDefinition};
use node_kind::{EdgeKind, NodeKind};

/// The dependency graph.
///
/// Nodes are numbered in the order of their names, and petgraph walks edges from the last one added to the first: as they are added
/// backwards, neighbours come in the order of their names without being sorted, and a hub need not be looked at in whole.
#[derive(Clone, Debug)]
pub struct Topology {
    graph: DiGraph<Node, EdgeFacts>,
    /// How many nodes depend on each directly. Kept because it is asked for hubs again and again.
    direct: Vec<Direct>,
    stamp: Stamp,
}

#[derive(Clone, Debug, Default)]
struct Direct {
    everywhere: usize,
    of_env: BTreeMap<String, usize>,
}

#[derive(Clone, Debug)]
struct EdgeFacts {
    kind: EdgeKind,
    env: Option<String>,
}

/// The kinds of the edges between two nodes, by environment.
type KindsByEnv = BTreeMap<Option<String>, EdgeKind>;

/// Identifies the topology that something was decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Counts the topologies of one run, from 1.
    pub version: u64,
    /// Of the content: equal topologies have equal hashes, in every run.
    pub hash: u64,
}

/// What can be reached from a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Names with the number of hops, without the start.
    pub hops: BTreeMap<Arc<str>, usize>,
    /// A limit was reached: only the nearest are here, of equals the first by name.
    pub cut: bool,
}

/// The direction of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To what a node depends on.
    Dependencies,
    /// To what depends on a node.
    Dependents,
}

impl Default for Topology {
    fn default() -> Self {
        Self::new(TopologyDefinition::default())
    }
}

impl Topology {
    /// Builds the graph, as version 1. Of a repeated node the last description wins, of a repeated edge the last kind; a self loop
    /// says nothing; an edge of one environment says nothing where the same edge holds in all.
    pub fn new(parts: TopologyDefinition) -> Self {
        let mut nodes: BTreeMap<Arc<str>, Option<Node>> = BTreeMap::new();
        let mut hosts: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut edges: BTreeMap<(Arc<str>, Arc<str>), KindsByEnv> = BTreeMap::new();
        for node in parts.nodes {
            nodes.insert(Arc::clone(&node.name), Some(node));
        }
        for Edge { from, to, kind, env } in parts.edges {
            for end in [&from, &to] {
                nodes.entry(Arc::clone(end)).or_default();
            }
            if kind == EdgeKind::RunsOn {
                hosts.insert(Arc::clone(&to));
            }
            if from != to {
                edges.entry((from, to)).or_default().insert(env, kind);
            }
        }
        for kinds in edges.values_mut().filter(|kinds| kinds.contains_key(&None)) {
            kinds.retain(|env, _| env.is_none());
        }
        let mut graph = DiGraph::with_capacity(nodes.len(), edges.len());
        let numbers: BTreeMap<Arc<str>, NodeIndex> = nodes
            .into_iter()
            .map(|(name, node)| {
                let guess = if hosts.contains(&name) { NodeKind::Host } else { NodeKind::Service };
                let node = node.unwrap_or_else(|| Node { name: Arc::clone(&name), kind: guess, env: None });
                (name, graph.add_node(node))
            })
            .collect();
        for ((from, to), kinds) in edges.into_iter().rev() {
            if let (Some(from), Some(to)) = (numbers.get(&from), numbers.get(&to)) {
                for (env, kind) in kinds.into_iter().rev() {
                    graph.add_edge(*from, *to, EdgeFacts { kind, env });
                }
            }
        }
        let stamp = Stamp { version: 1, hash: hash_of(&graph) };
        Self { direct: count_direct(&graph), graph, stamp }
    }

    /// The same graph as another version.
    pub fn with_version(self, version: u64) -> Self {
        Self { stamp: Stamp { version, ..self.stamp }, ..self }
    }

    /// Which of the graphs of one run this is, from 1.
    pub fn version(&self) -> u64 {
        self.stamp.version
    }

    /// Which graph this is.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// What it is built of, sorted: the same graph comes of it.
    pub fn parts(&self) -> TopologyDefinition {
        let edges = self.graph.edge_references().map(|edge| Edge {
            from: Arc::clone(&self.graph[edge.source()].name),
            to: Arc::clone(&self.graph[edge.target()].name),
            kind: edge.weight().kind.clone(),
            env: edge.weight().env.clone(),
        });
        let mut edges: Vec<Edge> = edges.collect();
        edges.reverse();
        TopologyDefinition { nodes: self.graph.node_weights().cloned().collect(), edges }
    }

    fn find(&self, name: &str) -> Option<NodeIndex> {
        let at = self.graph.raw_nodes().binary_search_by(|node| node.weight.name.as_ref().cmp(name)).ok()?;
        Some(NodeIndex::new(at))
    }

    /// Whether the graph has a node of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.find(name).map(|at| &self.graph[at])
    }

    /// How many nodes and edges there are.
    pub fn size(&self) -> (usize, usize) {
        (self.graph.node_count(), self.graph.edge_count())
    }

    /// What `name` depends on within `hops`, with the number of hops; not `name` itself. Nodes of other environments are no way.
    pub fn dependencies(&self, name: &str, env: &str, hops: usize) -> BTreeMap<Arc<str>, usize> {
        self.reach(name, env, hops, Way::Dependencies).hops
    }

    /// What depends on `name` within `hops`, with the number of hops; not `name` itself.
    pub fn dependents(&self, name: &str, env: &str, hops: usize) -> BTreeMap<Arc<str>, usize> {
        self.reach(name, env, hops, Way::Dependents).hops
    }

    /// How many nodes depend directly on the one with this number.
    pub fn direct_dependents(&self, number: u32, env: &str) -> usize {
        let Some(direct) = self.direct.get(number as usize) else { return 0 };
        direct.everywhere + direct.of_env.get(env).copied().unwrap_or(0)
    }

    /// The nodes on a shortest way from a dependent to a dependency, both ends included; `None` where there is none, or none is
    /// found within the limits of [`Self::reach`].
    pub fn path(&self, from: &str, to: &str, env: &str, hops: usize) -> Option<Vec<Arc<str>>> {
        let (start, goal) = (self.find(from)?, self.find(to)?);
        let mut came_from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
        self.walk(start, env, hops, Direction::Outgoing, &mut |at, next, _| {
            came_from.insert(next, at);
            next != goal
        });
        let mut path = vec![goal];
        while path.last() != Some(&start) {
            path.push(*came_from.get(path.last()?)?);
        }
        Some(path.into_iter().rev().map(|at| Arc::clone(&self.graph[at].name)).collect())
    }

    /// The number of the node of this name: nodes are numbered in the order of their names.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.find(name).map(|at| at.index() as u32)
    }

    /// The name of the node with this number.
    pub fn name(&self, number: u32) -> Option<&Arc<str>> {
        self.graph.node_weight(NodeIndex::new(number as usize)).map(|node| &node.name)
    }

    /// What can be reached from `name` within `hops`. It ends at [`REACH_NODES_MAX`] nodes and [`REACH_EDGES_MAX`] edges: a hub
    /// with a hundred thousand dependents costs no more than one with ten thousand.
    pub fn reach(&self, name: &str, env: &str, hops: usize, way: Way) -> Reach {
        let Some(start) = self.number(name) else { return Reach::default() };
        let (found, cut) = self.reach_numbers(start, env, hops, way);
        let named = found.into_iter().filter_map(|(number, hops)| Some((Arc::clone(self.name(number)?), hops)));
        Reach { hops: named.collect(), cut }
    }

    /// The same by numbers, nearest first, and whether a limit was met.
    pub fn reach_numbers(&self, start: u32, env: &str, hops: usize, way: Way) -> (Vec<(u32, usize)>, bool) {
        let direction = match way {
            Way::Dependencies => Direction::Outgoing,
            Way::Dependents => Direction::Incoming,
        };
        let mut found = Vec::new();
        let cut = self.walk(NodeIndex::new(start as usize), env, hops, direction, &mut |_, next, depth| {
            found.push((next.index() as u32, depth));
            true
        });
        (found, cut)
    }

    /// Visits nodes by their distance, each once, until `visit` (from where, which, at which distance) says no. Returns whether a
    /// limit ended it.
    fn walk(
        &self,
        start: NodeIndex,
        env: &str,
        hops: usize,
        direction: Direction,
        visit: &mut dyn FnMut(NodeIndex, NodeIndex, usize) -> bool,
    ) -> bool {
        // Never iterated: a hash set has no stable order.
        let mut seen = HashSet::from_iter([start]);
        let mut queue = VecDeque::from([(start, 0)]);
        let mut edges = 0;
        while let Some((at, depth)) = queue.pop_front() {
            if depth == hops {
                break;
            }
            for edge in self.graph.edges_directed(at, direction) {
                edges += 1;
                if edges > REACH_EDGES_MAX {
                    return true;
                }
                let Some(next) = self.here(&edge, env, direction).filter(|next| !seen.contains(next)) else { continue };
                if seen.len() > REACH_NODES_MAX {
                    return true;
                }
                seen.insert(next);
                if !visit(at, next, depth + 1) {
                    return false;
                }
                queue.push_back((next, depth + 1));
            }
        }
        false
    }

    /// The far end of an edge, where both exist in `env`.
    fn here(&self, edge: &petgraph::graph::EdgeReference<'_, EdgeFacts>, env: &str, direction: Direction) -> Option<NodeIndex> {
        let far = if direction == Direction::Outgoing { edge.target() } else { edge.source() };
        let exists = |only: &Option<String>| only.as_deref().is_none_or(|only| only == env);
        (exists(&edge.weight().env) && exists(&self.graph[far].env)).then_some(far)
    }
}

/// An edge of one environment is not there where the same edge holds in all: so nobody is counted twice.
fn count_direct(graph: &DiGraph<Node, EdgeFacts>) -> Vec<Direct> {
    let mut direct = vec![Direct::default(); graph.node_count()];
    for edge in graph.edge_references() {
        let known = &mut direct[edge.target().index()];
        match (&edge.weight().env, &graph[edge.source()].env) {
            (None, None) => known.everywhere += 1,
            (Some(one), Some(other)) if one != other => {}
            (Some(env), _) | (None, Some(env)) => *known.of_env.entry(env.clone()).or_default() += 1,
        }
    }
    direct
}

fn hash_of(graph: &DiGraph<Node, EdgeFacts>) -> u64 {
    // With the number of nodes, no edge can pass for one.
    let number = graph.node_count().to_string();
    let nodes = graph.node_weights().flat_map(|node| [node.name.as_ref(), node.kind.as_str(), env_of(&node.env)]);
    let edges = graph.edge_references().flat_map(|edge| {
        let (from, to) = (graph[edge.source()].name.as_ref(), graph[edge.target()].name.as_ref());
        [from, to, edge.weight().kind.as_str(), env_of(&edge.weight().env)]
    });
    stable_hash(std::iter::once(number.as_str()).chain(nodes).chain(edges))
}

fn env_of(env: &Option<String>) -> &str {
    env.as_deref().unwrap_or_default()
}
