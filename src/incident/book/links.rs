//! What ties the alerts of one incident: of each pair of entities the strongest link, and of too many the strongest.

use std::sync::Arc;

use ahash::HashMap;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::incident::Link;
use crate::incident::relate::Tie;
use crate::topology::Topology;
use crate::words::limits::LINKS_PER_INCIDENT_MAX;

/// Strongest first, then by the names of the pair: the same in whatever order they came, but that of equals the older one stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Arc<Link>>", into = "Vec<Arc<Link>>")]
pub(super) struct Links {
    sorted: Vec<Arc<Link>>,
    /// The score of each pair. Never walked through: the order of a hash map is nobody's.
    scores: HashMap<(Arc<str>, Arc<str>), f64>,
}

impl From<Vec<Arc<Link>>> for Links {
    fn from(all: Vec<Arc<Link>>) -> Self {
        let mut links = Self::default();
        all.into_iter().for_each(|link| links.add(link));
        links
    }
}

impl From<Links> for Vec<Arc<Link>> {
    fn from(links: Links) -> Self {
        links.sorted
    }
}

impl Links {
    /// Keeps what ties `new`, unless the pair has as strong a link already: in a storm most do, and need not be put into words.
    pub(super) fn tie(&mut self, tie: &Tie, new: &Alert, topology: &Topology) {
        let (from, to) = (subject(new), subject(&tie.known));
        if self.scores.get(&(from, to)).is_none_or(|known| *known < tie.score) {
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
    pub(super) fn absorb(&mut self, others: Links) {
        others.sorted.into_iter().for_each(|link| self.add(link));
    }

    /// Takes those out of which this is true.
    pub(super) fn extract(&mut self, is_out: impl Fn(&Link) -> bool) -> Links {
        let out: Vec<Arc<Link>> = self.sorted.extract_if(.., |link| is_out(link)).collect();
        for link in &out {
            self.scores.remove(&(Arc::clone(&link.from), Arc::clone(&link.to)));
        }
        out.into()
    }

    /// Strongest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.sorted.iter()
    }

    /// There were too many: the weakest are not there.
    pub(super) fn is_full(&self) -> bool {
        self.sorted.len() >= LINKS_PER_INCIDENT_MAX
    }
}

fn subject(alert: &Alert) -> Arc<str> {
    Arc::clone(alert.entity.as_ref().unwrap_or(&alert.rule))
}
