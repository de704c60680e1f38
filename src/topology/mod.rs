//! Floor 2: the topology, a directed graph from dependents to dependencies. Cycles, self loops and unknown names are all fine.
//! The only place that knows petgraph.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

/// A node: something that can fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name, as alerts call the entity.
    pub name: Arc<str>,
    /// service, host, database, queue, external, client, …: for people.
    pub kind: String,
    /// The environment, where the node exists in one only.
    pub env: Option<String>,
}

/// What a graph is built of: edges may name nodes that the list of nodes leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Nodes with what is known of them.
    pub nodes: Vec<Node>,
    /// (dependent, dependency, what it does: calls, uses, runs_on, …).
    pub edges: Vec<(String, String, String)>,
}

/// The dependency graph.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    graph: DiGraph<Node, String>,
    by_name: BTreeMap<Arc<str>, NodeIndex>,
}

impl Topology {
    /// Builds the graph. Of a repeated node the last description wins; a repeated edge is one edge; a self loop says nothing.
    pub fn new(parts: Parts) -> Self {
        let mut topology = Self::default();
        for node in parts.nodes {
            let at = topology.node(&node.name);
            topology.graph[at] = node;
        }
        for (from, to, kind) in parts.edges {
            let (from, to) = (topology.node(&from), topology.node(&to));
            if from != to {
                topology.graph.update_edge(from, to, kind);
            }
        }
        topology
    }

    fn node(&mut self, name: &str) -> NodeIndex {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let name: Arc<str> = name.into();
        let at = self.graph.add_node(Node { name: Arc::clone(&name), kind: "service".into(), env: None });
        self.by_name.insert(name, at);
        at
    }

    /// Whether the graph has a node of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// How many nodes and edges there are.
    pub fn size(&self) -> (usize, usize) {
        (self.graph.node_count(), self.graph.edge_count())
    }

    /// What `name` depends on within `hops`, with the number of hops; not `name` itself. Nodes of other environments are no way.
    pub fn dependencies(&self, name: &str, env: &str, hops: usize) -> BTreeMap<Arc<str>, usize> {
        self.reach(name, env, hops, Direction::Outgoing)
    }

    /// What depends on `name` within `hops`, with the number of hops; not `name` itself.
    pub fn dependents(&self, name: &str, env: &str, hops: usize) -> BTreeMap<Arc<str>, usize> {
        self.reach(name, env, hops, Direction::Incoming)
    }

    /// How many nodes depend on `name` directly.
    pub fn direct_dependents(&self, name: &str, env: &str) -> usize {
        self.by_name.get(name).map_or(0, |at| self.neighbors(*at, env, Direction::Incoming).len())
    }

    /// The nodes on a shortest way from a dependent to a dependency, both ends included; `None` where there is none.
    pub fn path(&self, from: &str, to: &str, env: &str, hops: usize) -> Option<Vec<Arc<str>>> {
        let (start, goal) = (*self.by_name.get(from)?, *self.by_name.get(to)?);
        let mut came_from: BTreeMap<NodeIndex, (NodeIndex, usize)> = BTreeMap::from([(start, (start, 0))]);
        let mut queue = VecDeque::from([start]);
        while let Some(at) = queue.pop_front() {
            if at == goal {
                let mut path = vec![Arc::clone(&self.graph[at].name)];
                let mut node = at;
                while node != start {
                    node = came_from.get(&node)?.0;
                    path.push(Arc::clone(&self.graph[node].name));
                }
                path.reverse();
                return Some(path);
            }
            let depth = came_from.get(&at)?.1;
            if depth < hops {
                for next in self.neighbors(at, env, Direction::Outgoing) {
                    came_from.entry(next).or_insert_with(|| {
                        queue.push_back(next);
                        (at, depth + 1)
                    });
                }
            }
        }
        None
    }

    fn reach(&self, name: &str, env: &str, hops: usize, direction: Direction) -> BTreeMap<Arc<str>, usize> {
        let Some(start) = self.by_name.get(name) else { return BTreeMap::new() };
        let mut seen: BTreeMap<NodeIndex, usize> = BTreeMap::from([(*start, 0)]);
        let mut queue = VecDeque::from([(*start, 0)]);
        while let Some((at, depth)) = queue.pop_front() {
            if depth == hops {
                continue;
            }
            for next in self.neighbors(at, env, direction) {
                seen.entry(next).or_insert_with(|| {
                    queue.push_back((next, depth + 1));
                    depth + 1
                });
            }
        }
        seen.remove(start);
        seen.into_iter().map(|(at, depth)| (Arc::clone(&self.graph[at].name), depth)).collect()
    }

    /// Neighbours that exist in `env`, in the order of their names: petgraph's own order depends on the order of the file.
    fn neighbors(&self, at: NodeIndex, env: &str, direction: Direction) -> Vec<NodeIndex> {
        let here = |next: &NodeIndex| self.graph[*next].env.as_deref().is_none_or(|only| only == env);
        let mut all: Vec<NodeIndex> = self.graph.neighbors_directed(at, direction).filter(here).collect();
        all.sort_by(|a, b| self.graph[*a].name.cmp(&self.graph[*b].name));
        all
    }
}
