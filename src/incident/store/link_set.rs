//! The links of one incident: of each pair of entities the strongest, and of too many the strongest.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::HashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::alert::Alert;
use crate::incident::entity_ids::about;
use crate::incident::link::{Link, LinkBasis};
use crate::incident::link_score::Tie;
use crate::model::limits::LINKS_PER_INCIDENT_MAX;
use crate::topology::Topology;

/// Strongest first, then by the names of the pair: the same in whatever order they came. Scores have three digits.
type Order = (Reverse<u32>, Arc<str>, Arc<str>);

/// The links of one incident.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkSet {
    ordered: BTreeMap<Order, Arc<Link>>,
    /// The score of each pair, in thousandths. Never walked through: the order of a hash map is nobody's.
    scores: HashMap<(Arc<str>, Arc<str>), u32>,
    /// Links that were too weak to stay.
    dropped: u64,
}

impl Serialize for LinkSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.iter().collect::<Vec<_>>(), self.dropped).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LinkSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (links, dropped): (Vec<Arc<Link>>, u64) = Deserialize::deserialize(deserializer)?;
        let mut set = Self::default();
        links.into_iter().for_each(|link| set.add(link));
        set.dropped = dropped;
        Ok(set)
    }
}

impl LinkSet {
    /// Keeps what ties `new`, unless the pair has as strong a link already: in a storm most do, and need not be put into words.
    pub(crate) fn tie(&mut self, tie: &Tie, new: &Alert, topology: &Topology) {
        let pair = (Arc::clone(about(new).1), Arc::clone(about(&tie.known).1));
        if self.scores.get(&pair).is_none_or(|known| *known < thousandths(tie.score)) {
            self.add(Arc::new(tie.link(new, topology)));
        }
    }

    /// Keeps a link that a person made.
    pub(crate) fn tie_by_hand(&mut self, from: &str, to: &str, by: &str, topology: &Topology) {
        let (from, to, reason) = (from.into(), to.into(), format!("put together by {by}"));
        let topology_version = topology.version();
        self.add(Arc::new(Link { from, to, score: 1.0, reason, ground: LinkBasis::Alerts, topology_version }));
    }

    fn add(&mut self, link: Arc<Link>) {
        let score = thousandths(link.score);
        let pair = (Arc::clone(&link.from), Arc::clone(&link.to));
        if let Some(known) = self.scores.get(&pair).copied() {
            if known >= score {
                return;
            }
            self.ordered.remove(&order(known, &link));
        }
        self.scores.insert(pair, score);
        self.ordered.insert(order(score, &link), link);
        if self.ordered.len() > LINKS_PER_INCIDENT_MAX
            && let Some((_, weakest)) = self.ordered.pop_last()
        {
            self.scores.remove(&(Arc::clone(&weakest.from), Arc::clone(&weakest.to)));
            self.dropped += 1;
        }
    }

    /// Those of an incident that is part of this one now.
    pub(crate) fn absorb(&mut self, others: LinkSet) {
        others.ordered.into_values().for_each(|link| self.add(link));
        self.dropped += others.dropped;
    }

    /// Takes those out of which this is true.
    pub(crate) fn extract(&mut self, is_out: impl Fn(&Link) -> bool) -> LinkSet {
        let mut out = LinkSet::default();
        self.ordered.retain(|_, link| {
            let stays = !is_out(link);
            if !stays {
                out.add(Arc::clone(link));
            }
            stays
        });
        for link in out.ordered.values() {
            self.scores.remove(&(Arc::clone(&link.from), Arc::clone(&link.to)));
        }
        out
    }

    /// Strongest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.ordered.values()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ordered.len()
    }

    /// How many were too weak to stay.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn order(score: u32, link: &Link) -> Order {
    (Reverse(score), Arc::clone(&link.from), Arc::clone(&link.to))
}

fn thousandths(score: f64) -> u32 {
    (score * 1_000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::LinkSet;
    use crate::incident::link::Link;
    use crate::incident::link::LinkBasis;
    use crate::model::limits::LINKS_PER_INCIDENT_MAX;

    fn link(from: u32, to: u32, score: u32) -> Arc<Link> {
        let (from, to) = (format!("s{from}").into(), format!("s{to}").into());
        Arc::new(Link {
            from,
            to,
            score: f64::from(score) / 10.0,
            reason: String::new(),
            ground: LinkBasis::Alerts,
            topology_version: 1,
        })
    }

    proptest! {
        /// Whatever the order, the strongest of each pair stays, strongest first; what was taken out may come again.
        #[test]
        fn the_strongest_of_each_pair(all in prop::collection::vec((0..4_u32, 0..4_u32, 0..10_u32), 0..60)) {
            let mut links = LinkSet::default();
            all.iter().for_each(|(from, to, score)| links.add(link(*from, *to, *score)));
            let mut want: Vec<Arc<Link>> = all.iter().map(|(from, to, score)| link(*from, *to, *score)).collect();
            want.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)).then_with(|| b.score.total_cmp(&a.score)));
            want.dedup_by(|a, b| a.from == b.from && a.to == b.to);
            want.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to))));
            prop_assert_eq!(links.iter().cloned().collect::<Vec<_>>(), want.clone());
            let out = links.extract(|link| link.score > 0.5);
            prop_assert!(out.iter().all(|link| link.score > 0.5) && links.iter().all(|link| link.score <= 0.5));
            links.absorb(out);
            prop_assert_eq!(links.iter().cloned().collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn of_too_many_the_strongest_stay() {
        let many = LINKS_PER_INCIDENT_MAX as u32 + 10;
        let mut links = LinkSet::default();
        (0..many).for_each(|nth| links.add(link(nth, nth + 1, nth)));
        assert!(links.dropped() > 0);
        let weakest = links.iter().map(|link| link.score).fold(f64::INFINITY, f64::min);
        assert_eq!((links.iter().count(), weakest), (LINKS_PER_INCIDENT_MAX, 1.0));
        links.add(link(0, 1, many));
        assert_eq!(
            links.iter().next().map(|link| link.from.to_string()),
            Some("s0".into()),
            "what was dropped may come again, stronger"
        );
    }
}
