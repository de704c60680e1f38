//! What alerts are about, as numbers: in a storm the same names would be compared again and again.
//!
//! A node of the topology has its number there, so that the order of numbers is the order of names; what the topology does not
//! know gets a number behind those as it comes. So no result may depend on the order of numbers where such names are among them.

use std::sync::Arc;

use ahash::HashMap;

use crate::alert::Alert;
use crate::topology::Topology;

/// The number of something that alerts may be about, within one environment and one graph.
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

    /// Whether it is.
    pub fn is_node(self, topology: &Topology) -> bool {
        (self.0 as usize) < topology.size().0
    }
}

/// What an alert may be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// The entity that it is about.
    Entity,
    /// The rule, where it is about no entity.
    Rule,
    /// A label that the operator named, with its value.
    Key,
}

/// The numbers of one environment.
#[derive(Debug)]
pub struct EntityIds {
    /// By [`IdKind`].
    of_names: [HashMap<Arc<str>, EntityId>; 3],
    next: u32,
    free: Vec<EntityId>,
    nodes: u32,
}

impl EntityIds {
    /// Numbers over this graph.
    pub fn new(topology: &Topology) -> Self {
        let nodes = topology.size().0 as u32;
        Self { of_names: Default::default(), next: nodes, free: Vec::new(), nodes }
    }

    /// The number of a name that has one.
    pub fn find(&self, sort: IdKind, name: &str) -> Option<EntityId> {
        self.of_names[sort as usize].get(name).copied()
    }

    /// What an alert is about.
    pub fn of_alert(&self, alert: &Alert) -> Option<EntityId> {
        let (sort, name) = about(alert);
        self.find(sort, name)
    }

    /// The number of a name, which gets one if it has none.
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

    /// Nothing is about it any more: its number may go to another. Nodes keep theirs.
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
