//! The alerts of one incident, with what is asked of them again and again kept counted: in a storm nobody has time to look at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::HashMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::alert::Alert;
use crate::incident::evidence::Evidence;
use crate::model::fingerprint::Fingerprint;
use crate::model::time::TimestampMs;

/// Alerts by fingerprint, firing or ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "BTreeMap<Fingerprint, Arc<Alert>>")]
pub(crate) struct AlertSet {
    alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    /// In no order: whoever walks through them sorts.
    entities: HashMap<Arc<str>, Entity>,
    /// How many alerts of each rule fire that name no entity.
    rules: HashMap<Arc<str>, usize>,
    /// Entities and such rules of which some alert fires.
    failing: usize,
}

/// What is known of one entity.
#[derive(Clone, Debug, Default)]
struct Entity {
    /// How many of its alerts fire.
    firing: usize,
    /// What they say of it, apart for each peer; never nothing.
    said: Vec<Evidence>,
}

impl From<BTreeMap<Fingerprint, Arc<Alert>>> for AlertSet {
    fn from(alerts: BTreeMap<Fingerprint, Arc<Alert>>) -> Self {
        let mut members = Self::default();
        alerts.into_values().for_each(|alert| members.put(alert));
        members
    }
}

impl Serialize for AlertSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.alerts.serialize(serializer)
    }
}

impl AlertSet {
    /// An alert joined, or is another now.
    pub(crate) fn put(&mut self, alert: Arc<Alert>) {
        let says = Evidence::of(&alert);
        let firing = match &says {
            Some(says) => {
                let entity = self.entities.entry(Arc::clone(&says.entity)).or_default();
                match entity.said.iter_mut().find(|said| said.has_same_subject(says)) {
                    Some(said) => said.signs.add(&says.signs),
                    None => entity.said.push(says.clone()),
                }
                &mut entity.firing
            }
            None => self.rules.entry(Arc::clone(&alert.rule)).or_default(),
        };
        if alert.is_firing() {
            self.failing += usize::from(*firing == 0);
            *firing += 1;
        }
        if let Some(before) = self.alerts.insert(alert.fingerprint, alert) {
            self.gone(&before, says.as_ref());
        }
    }

    /// An alert leaves.
    pub(crate) fn take(&mut self, fingerprint: Fingerprint) -> Option<Arc<Alert>> {
        let taken = self.alerts.remove(&fingerprint)?;
        self.gone(&taken, None);
        Some(taken)
    }

    /// An alert is no more as it was; `says` is what it says now.
    fn gone(&mut self, alert: &Alert, says: Option<&Evidence>) {
        if let Some(said) = Evidence::of(alert)
            && !says.is_some_and(|says| says.has_same_subject(&said) && says.signs.covers(&said.signs))
        {
            self.ask_again(&said);
        }
        let firing = match &alert.entity {
            Some(entity) => self.entities.get_mut(entity).map(|entity| &mut entity.firing),
            None => self.rules.get_mut(&alert.rule),
        };
        if alert.is_firing()
            && let Some(firing) = firing
        {
            *firing -= 1;
            self.failing -= usize::from(*firing == 0);
        }
        if let Some(entity) = &alert.entity
            && self.entities.get(entity).is_some_and(|entity| entity.said.is_empty())
        {
            self.entities.remove(entity);
        }
    }

    /// Who said this may not say it any more: asks all about the same again.
    fn ask_again(&mut self, unsaid: &Evidence) {
        let Some(entity) = self.entities.get_mut(&unsaid.entity) else { return };
        entity.said.retain(|said| !said.has_same_subject(unsaid));
        let all = self.alerts.values().filter_map(|alert| Evidence::of(alert)).filter(|says| says.has_same_subject(unsaid));
        entity.said.extend(all.reduce(|mut said, says| {
            said.signs.add(&says.signs);
            said
        }));
    }

    /// By fingerprint.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.alerts.values()
    }

    /// What they say of each entity and each edge, in no order.
    pub(crate) fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.entities.values().flat_map(|entity| &entity.said)
    }

    /// Each entity and whether it fails now, in no order.
    pub(crate) fn entities(&self) -> impl Iterator<Item = (&str, bool)> {
        self.entities.iter().map(|(name, entity)| (name.as_ref(), entity.firing > 0))
    }

    /// Whether an entity fails now; nothing where no alert is about it.
    pub(crate) fn fails(&self, entity: &str) -> Option<bool> {
        self.entities.get(entity).map(|entity| entity.firing > 0)
    }

    pub(crate) fn len(&self) -> usize {
        self.alerts.len()
    }

    pub(crate) fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.alerts.contains_key(&fingerprint)
    }

    pub(crate) fn is_firing(&self) -> bool {
        self.failing > 0
    }

    /// How many entities fail now; a rule that names none counts as one.
    pub(crate) fn failing(&self) -> usize {
        self.failing
    }

    pub(crate) fn last_end(&self) -> Option<TimestampMs> {
        self.alerts.values().filter_map(|alert| alert.ended_at).max()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::AlertSet;
    use crate::alert::{Alert, Texts};
    use crate::incident::evidence::Evidence;
    use crate::model::fingerprint::Fingerprint;
    use crate::model::labels::Labels;
    use crate::model::severity::Severity;

    /// An alert as it is after some change: of few entities, peers and rules, so that all meet.
    fn alert() -> impl Strategy<Value = Alert> {
        let severity = prop::sample::select(vec![Severity::Info, Severity::Warning, Severity::Critical]);
        let ends = prop::option::of(any::<bool>());
        (0..4_u64, 0..3_usize, 0..3_usize, severity, 0..4_i64, 0..4_i32, ends).prop_map(
            |(rule, entity, peer, severity, started_at, score, ended)| Alert {
                fingerprint: Fingerprint(rule * 10 + entity as u64),
                rule: format!("r{rule}").into(),
                severity,
                env: "production".into(),
                entity: ["a", "b"].get(entity).map(|name| Arc::from(*name)),
                peer: ["c", "d"].get(peer).filter(|_| entity < 2).map(|name| Arc::from(*name)),
                labels: Labels::default(),
                value: 1.0,
                score: (score > 0).then_some(f64::from(score)),
                started_at,
                period_ms: 0,
                window_ms: 0,
                fired_at: started_at,
                ended_at: ended.map(|_| started_at + 1),
                texts: Texts::default(),
            },
        )
    }

    proptest! {
        /// What is kept counted is what asking all of them anew would tell.
        #[test]
        fn counted_as_if_asked_anew(steps in prop::collection::vec((alert(), prop::bool::weighted(0.2)), 1..40)) {
            let mut members = AlertSet::default();
            for (alert, leaves) in steps {
                if leaves {
                    members.take(alert.fingerprint);
                } else {
                    members.put(Arc::new(alert));
                }
                let mut said: BTreeMap<(Arc<str>, Option<Arc<str>>), Evidence> = BTreeMap::new();
                for says in members.iter().filter_map(|alert| Evidence::of(alert)) {
                    let about = (Arc::clone(&says.entity), says.peer.clone());
                    said.entry(about).and_modify(|said| said.signs.add(&says.signs)).or_insert(says);
                }
                let kept = members.evidence().map(|said| ((Arc::clone(&said.entity), said.peer.clone()), said.clone()));
                prop_assert_eq!(kept.collect::<BTreeMap<_, _>>(), said);
                let firing = || members.iter().filter(|alert| alert.is_firing());
                let subjects: BTreeSet<(bool, &str)> = firing().map(|alert| (alert.entity.is_some(), alert.subject())).collect();
                prop_assert_eq!(members.failing(), subjects.len());
                for entity in ["a", "b"] {
                    let mut about = members.iter().filter(|alert| alert.entity.as_deref() == Some(entity)).peekable();
                    let fails = about.peek().is_some().then(|| about.any(|alert| alert.is_firing()));
                    prop_assert_eq!(members.fails(entity), fails);
                }
            }
        }
    }
}
