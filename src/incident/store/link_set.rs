//! What ties the alerts of one incident: of each pair of entities the strongest link, and of too many the strongest.

use std::sync::Arc;

use ahash::HashMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::alert::Alert;
use crate::incident::entity_ids::about;
use crate::incident::link::Link;
use crate::incident::link_score::Tie;
use crate::model::limits::LINKS_PER_INCIDENT_MAX;
use crate::topology::Topology;

/// Strongest first, then by the names of the pair: the same in whatever order they came, but that of equals the older one stays.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Vec<Arc<Link>>")]
pub(crate) struct LinkSet {
    sorted: Vec<Arc<Link>>,
    /// The score of each pair. Never walked through: the order of a hash map is nobody's.
    scores: HashMap<(Arc<str>, Arc<str>), f64>,
}

impl From<Vec<Arc<Link>>> for LinkSet {
    fn from(all: Vec<Arc<Link>>) -> Self {
        let mut links = Self::default();
        all.into_iter().for_each(|link| links.add(link));
        links
    }
}

impl Serialize for LinkSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.sorted.serialize(serializer)
    }
}

impl LinkSet {
    /// Keeps what ties `new`, unless the pair has as strong a link already: in a storm most do, and need not be put into words.
    pub(crate) fn tie(&mut self, tie: &Tie, new: &Alert, topology: &Topology) {
        let pair = (Arc::clone(about(new).1), Arc::clone(about(&tie.known).1));
        if self.scores.get(&pair).is_none_or(|known| *known < tie.score) {
            self.add(Arc::new(tie.link(new, topology)));
        }
    }

    fn add(&mut self, link: Arc<Link>) {
        let pair = (Arc::clone(&link.from), Arc::clone(&link.to));
        if let Some(known) = self.scores.get(&pair).copied() {
            if known >= link.score {
                return;
            }
            self.sorted.retain(|other| (&other.from, &other.to) != (&link.from, &link.to));
        }
        self.scores.insert(pair, link.score);
        let stronger = |other: &Arc<Link>| {
            let names = || (&other.from, &other.to).cmp(&(&link.from, &link.to));
            link.score.total_cmp(&other.score).then_with(names).is_lt()
        };
        let at = self.sorted.partition_point(stronger);
        self.sorted.insert(at, link);
        for weak in self.sorted.drain(LINKS_PER_INCIDENT_MAX.min(self.sorted.len())..) {
            self.scores.remove(&(Arc::clone(&weak.from), Arc::clone(&weak.to)));
        }
    }

    /// Those of an incident that is part of this one now.
    pub(crate) fn absorb(&mut self, others: LinkSet) {
        others.sorted.into_iter().for_each(|link| self.add(link));
    }

    /// Takes those out of which this is true.
    pub(crate) fn extract(&mut self, is_out: impl Fn(&Link) -> bool) -> LinkSet {
        let out: Vec<Arc<Link>> = self.sorted.extract_if(.., |link| is_out(link)).collect();
        for link in &out {
            self.scores.remove(&(Arc::clone(&link.from), Arc::clone(&link.to)));
        }
        out.into()
    }

    /// Strongest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.sorted.iter()
    }

    /// There were too many: the weakest are not there.
    pub(crate) fn is_full(&self) -> bool {
        self.sorted.len() >= LINKS_PER_INCIDENT_MAX
    }
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
        assert!(links.is_full());
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
