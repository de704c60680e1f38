//! Which end of a slow or failing edge is to blame, by what the incident's other alerts say of both.
//!
//! An alert about an edge names the one that is called and the one that waits. It is the callee's doing, unless the callee is
//! cleared: nothing else speaks against it, neither an alert of its own nor another caller, and the caller stands out by itself,
//! because its own values depart further than the edge's or because several of its calls suffer alike. What several edges have in
//! common is where they meet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::incident::evidence::Evidence;

/// What is known of the ends of an incident's edges.
#[derive(Default)]
pub struct EdgeBlame<'a> {
    /// How far each entity departs by alerts about itself.
    own: BTreeMap<&'a str, f64>,
    callers: BTreeMap<&'a str, BTreeSet<&'a str>>,
    callees: BTreeMap<&'a str, BTreeSet<&'a str>>,
    count: usize,
}

impl<'a> EdgeBlame<'a> {
    /// The edges that these are about.
    pub fn new(evidence: &[&'a Evidence]) -> Self {
        let mut edges = Self::default();
        if evidence.iter().all(|said| said.peer.is_none()) {
            return edges;
        }
        for said in evidence {
            if let Some(peer) = said.peer.as_deref() {
                let fresh = edges.callers.entry(&said.entity).or_default().insert(peer);
                edges.count += usize::from(fresh);
                edges.callees.entry(peer).or_default().insert(&said.entity);
            } else {
                let own = edges.own.entry(&said.entity).or_default();
                *own = own.max(said.indicators.score);
            }
        }
        edges
    }

    /// Whether no alert is about an edge.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Who complains of calls of `entity`.
    pub fn callers(&self, entity: &str) -> Vec<&'a str> {
        self.callers.get(entity).into_iter().flatten().copied().collect()
    }

    /// The end to which it points: of an edge one of the two, else the entity itself.
    pub fn blames(&self, said: &'a Evidence) -> &'a Arc<str> {
        let Evidence { entity, peer: Some(peer), .. } = said else { return &said.entity };
        let departs = self.own.get(peer.as_ref()).is_some_and(|own| *own > 0.0 && *own >= said.indicators.score);
        let several = self
            .callees
            .get(peer.as_ref())
            .is_some_and(|callees| callees.len() > 1 && callees.iter().all(|callee| self.only_one_complains(callee)));
        if self.only_one_complains(entity) && (departs || several) { peer } else { entity }
    }

    /// The share of the edges that end at `entity`, or for which it answers.
    pub fn share(&self, entity: &str, answers_for: &BTreeSet<&str>) -> f64 {
        let mine = self.callers.get(entity).map_or(0, BTreeSet::len) + answers_for.len();
        if self.is_empty() { 0.0 } else { mine as f64 / self.count as f64 }
    }

    fn only_one_complains(&self, callee: &str) -> bool {
        !self.own.contains_key(callee) && self.callers.get(callee).is_none_or(|callers| callers.len() < 2)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::EdgeBlame;
    use crate::incident::evidence::{Evidence, Indicators};
    use crate::model::severity::Severity;

    fn said(entity: &str, peer: Option<&str>, score: f64) -> Evidence {
        let indicators = Indicators { started_at: 0, window_ms: 0, period_ms: 0, severity: Severity::Warning, score };
        Evidence { entity: entity.into(), peer: peer.map(Into::into), indicators }
    }

    /// Whom the first blames.
    fn blamed(evidence: &[Evidence]) -> String {
        let all: Vec<&Evidence> = evidence.iter().collect();
        EdgeBlame::new(&all).blames(&evidence[0]).to_string()
    }

    #[test]
    fn a_slow_call_is_the_doing_of_the_one_that_is_called() {
        assert_eq!(blamed(&[said("db", Some("shop"), 9.0)]), "db");
        assert_eq!(blamed(&[said("db", Some("shop"), 9.0), said("shop", None, 5.0)]), "db", "the edge departs further");
        assert_eq!(blamed(&[said("shop", None, 5.0)]), "shop");
    }

    #[test]
    fn the_caller_answers_where_it_stands_out_by_itself() {
        assert_eq!(blamed(&[said("db", Some("shop"), 9.0), said("shop", None, 20.0)]), "shop");
        assert_eq!(blamed(&[said("db", Some("shop"), 9.0), said("mail", Some("shop"), 9.0)]), "shop", "what they have in common");
    }

    #[test]
    fn what_else_speaks_against_the_callee_keeps_the_blame_there() {
        let edge = || said("db", Some("shop"), 9.0);
        assert_eq!(blamed(&[edge(), said("shop", None, 20.0), said("db", None, 1.0)]), "db", "an alert of its own");
        assert_eq!(blamed(&[edge(), said("db", Some("cart"), 9.0), said("shop", None, 20.0)]), "db", "another caller");
        let both = [edge(), said("mail", Some("shop"), 9.0), said("mail", None, 1.0)];
        assert_eq!(blamed(&both), "db", "the other callee has trouble of its own");
    }

    #[test]
    fn the_share_counts_the_edges_that_end_there() {
        let evidence = [said("db", Some("shop"), 9.0), said("db", Some("cart"), 9.0), said("mail", Some("cart"), 9.0)];
        let all: Vec<&Evidence> = evidence.iter().collect();
        let edges = EdgeBlame::new(&all);
        assert_eq!(edges.share("db", &BTreeSet::new()), 2.0 / 3.0);
        assert_eq!(edges.share("cart", &BTreeSet::from(["mail"])), 1.0 / 3.0);
        assert_eq!(edges.callers("db"), ["cart", "shop"]);
    }
}
