//! What alerts are about, as numbers: in a storm the same names would be compared again and again.
//!
//! A node of the topology keeps its number there, so the order of these ids is the order of names. Other names get higher ids in the order
//! in which they come. So no result may depend on the order of ids where such names may be among them.

use std::sync::Arc;

use ahash::HashMap;

use crate::alert::Alert;
use crate::topology::Topology;

/// The id of something that alerts are about, within one environment and one topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(u32);

impl EntityId {
    /// The node with this number.
    pub fn of_node(number: u32) -> Self {
        Self(number)
    }

    /// Its number in the topology, if it is a node there.
    pub fn number(self) -> u32 {
        self.0
    }

    /// Whether it is a node of the topology.
    pub fn is_node(self, topology: &Topology) -> bool {
        (self.0 as usize) < topology.size().0
    }
}

/// By what an alert can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// The entity that it is about.
    Entity,
    /// The rule, where the alert names no entity.
    Rule,
    /// A label of `correlation.keys`, with its value.
    Key,
}

/// The ids of one environment.
#[derive(Debug)]
pub struct EntityIds {
    /// By [`IdKind`].
    of_names: [HashMap<Arc<str>, EntityId>; 3],
    next: u32,
    free: Vec<EntityId>,
    nodes: u32,
}

impl EntityIds {
    /// Ids over this topology.
    pub fn new(topology: &Topology) -> Self {
        let nodes = topology.size().0 as u32;
        Self { of_names: Default::default(), next: nodes, free: Vec::new(), nodes }
    }

    /// The id of a name that has one.
    pub fn find(&self, sort: IdKind, name: &str) -> Option<EntityId> {
        self.of_names[sort as usize].get(name).copied()
    }

    /// The id of what an alert is about.
    pub fn of_alert(&self, alert: &Alert) -> Option<EntityId> {
        let (sort, name) = about(alert);
        self.find(sort, name)
    }

    /// The id of a name; a new one where it has none.
    pub fn number(&mut self, sort: IdKind, name: &Arc<str>, topology: &Topology) -> EntityId {
        if let Some(known) = self.find(sort, name) {
            return known;
        }
        let of_graph = if sort == IdKind::Entity { topology.number(name).map(EntityId) } else { None };
        let spot = of_graph.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.next += 1;
            EntityId(self.next - 1)
        });
        self.of_names[sort as usize].insert(Arc::clone(name), spot);
        spot
    }

    /// Frees the id of a name that nothing is about any more. Nodes keep theirs.
    pub fn forget(&mut self, sort: IdKind, name: &str) {
        if let Some(spot) = self.of_names[sort as usize].remove(name).filter(|spot| spot.0 >= self.nodes) {
            self.free.push(spot);
        }
    }
}

/// What an alert is about: its entity, else its rule.
pub fn about(alert: &Alert) -> (IdKind, &Arc<str>) {
    match &alert.entity {
        Some(entity) => (IdKind::Entity, entity),
        None => (IdKind::Rule, &alert.rule),
    }
}
