//! All silences, which of them hold, and when that changes. What an alert's labels, incident and place in the topology have to do with a
//! silence is asked here; what follows for incidents is the store's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::incident::id::IncidentId;
use crate::incident::silence::{Silence, SilenceNotice, SilenceState, matches_alert};
use crate::model::command::{CommandId, SilenceTarget};
use crate::model::limits::SILENCE_RETENTION_MS;
use crate::model::time::TimestampMs;
use crate::topology::Topology;

/// All silences.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SilenceRegistry {
    silences: BTreeMap<CommandId, Silence>,
    /// Those that hold, with what revisions say of them.
    active: BTreeMap<CommandId, SilenceNotice>,
    /// When the state of each may change next, or it is forgotten.
    wakes: BTreeSet<(TimestampMs, CommandId)>,
    /// Those whose state was not shown since it changed.
    #[serde(skip)]
    changed: BTreeSet<CommandId>,
    /// The nodes that each active silence of a node covers, by environment, as far as they were asked for.
    #[serde(skip)]
    covered: BTreeMap<CommandId, BTreeMap<Arc<str>, BTreeSet<Arc<str>>>>,
}

/// What changed at an instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SilenceChanges {
    /// These hold from here on.
    pub started: Vec<CommandId>,
    /// These do not hold any more.
    pub ended: Vec<SilenceNotice>,
}

impl SilenceRegistry {
    /// How many there are, those included that have ended lately.
    pub fn len(&self) -> usize {
        self.silences.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.silences.is_empty()
    }

    /// How many hold now.
    pub fn active(&self) -> usize {
        self.active.len()
    }

    /// One of them.
    pub fn get(&self, id: &CommandId) -> Option<&Silence> {
        self.silences.get(id)
    }

    /// What revisions say of one that holds.
    pub fn notice(&self, id: &CommandId) -> Option<&SilenceNotice> {
        self.active.get(id)
    }

    /// When [`Self::advance`] is due.
    pub fn wake_at(&self) -> Option<TimestampMs> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Adds a silence, or another form of one. What follows is in the next [`Self::advance`], which is due at once.
    pub fn put(&mut self, silence: Silence, at: TimestampMs) {
        let id = silence.id;
        self.covered.remove(&id);
        self.silences.insert(id, silence);
        self.wakes.retain(|(_, other)| *other != id);
        self.wakes.insert((at, id));
    }

    /// Ends a silence now. What follows is in the next [`Self::advance`], which is due at once.
    pub fn expire(&mut self, id: &CommandId, at: TimestampMs) {
        if let Some(silence) = self.silences.get_mut(id) {
            silence.expired_at = Some(at);
            silence.updated_at = at;
            self.wakes.retain(|(_, other)| other != id);
            self.wakes.insert((at, *id));
        }
    }

    /// The silences of an incident that have not ended: they end with it.
    pub fn of_incident(&self, incident: &IncidentId, at: TimestampMs) -> Vec<CommandId> {
        let name = incident.to_string();
        let of = |silence: &&Silence| matches!(&silence.target, SilenceTarget::Incident(it) if it.as_ref() == name);
        let lasting = self.silences.values().filter(of).filter(|silence| silence.state(at) != SilenceState::Expired);
        lasting.map(|silence| silence.id).collect()
    }

    /// Brings the states to `at`.
    pub fn advance(&mut self, at: TimestampMs) -> SilenceChanges {
        let mut changes = SilenceChanges::default();
        while let Some((wake, id)) = self.wakes.first().filter(|(wake, _)| *wake <= at).copied() {
            self.wakes.remove(&(wake, id));
            let Some(silence) = self.silences.get(&id) else { continue };
            let notice = silence.holds_until(at).map(|until| silence.notice(until));
            let before = match &notice {
                Some(notice) => self.active.insert(id, notice.clone()),
                None => self.active.remove(&id),
            };
            if before.is_none() && notice.is_some() {
                changes.started.push(id);
            } else if before.is_some() && before != notice {
                // One that holds on in another form begins anew.
                changes.started.extend(notice.is_some().then_some(id));
                changes.ended.extend(before);
            }
            self.changed.insert(id);
            let over = silence.end().filter(|end| *end <= at).map(|end| end.saturating_add(SILENCE_RETENTION_MS));
            match over.or_else(|| silence.next_change(at)) {
                Some(forget) if over.is_some() && forget <= at => {
                    self.silences.remove(&id);
                    self.covered.remove(&id);
                }
                Some(next) => {
                    self.wakes.insert((next, id));
                }
                // A pattern that never comes again.
                None => {}
            }
        }
        changes
    }

    /// The silences that hold for an alert of an incident.
    pub fn hits(&mut self, alert: &Alert, incident: &IncidentId, topology: &Topology) -> Vec<CommandId> {
        let Self { silences, active, covered, .. } = self;
        let mut hit = |id: &&CommandId| match silences.get(*id).map(|silence| &silence.target) {
            Some(SilenceTarget::Matchers(matchers)) => matches_alert(matchers, alert),
            Some(SilenceTarget::Incident(name)) => *name.as_ref() == *incident.to_string(),
            Some(SilenceTarget::Node { name, env }) => {
                let Some(entity) = alert.entity.as_ref().filter(|_| env.as_ref().is_none_or(|env| *env == alert.env)) else {
                    return false;
                };
                let of_env = covered.entry(**id).or_default().entry(Arc::clone(&alert.env));
                let nodes = of_env.or_insert_with(|| topology.dependents(name, &alert.env, usize::MAX).into_keys().collect());
                entity == name || nodes.contains(entity)
            }
            None => false,
        };
        active.keys().filter(|id| hit(id)).copied().collect()
    }

    /// The topology is another one. Returns whether that may matter to a silence that holds.
    pub fn forget_topology(&mut self) -> bool {
        self.covered.clear();
        let of_node = |id: &CommandId| matches!(self.silences.get(id).map(|it| &it.target), Some(SilenceTarget::Node { .. }));
        self.active.keys().any(of_node)
    }

    /// Those whose state changed since this was last asked for: the silence with its state, or nothing where it was forgotten.
    pub fn take_changed(&mut self, at: TimestampMs) -> Vec<(CommandId, Option<(Silence, SilenceState)>)> {
        let changed = std::mem::take(&mut self.changed);
        let shown = |id: CommandId| (id, self.silences.get(&id).map(|silence| (silence.clone(), silence.state(at))));
        changed.into_iter().map(shown).collect()
    }

    /// Shows all of them again.
    pub fn show_all(&mut self) {
        self.changed.extend(self.silences.keys());
    }

    /// All, with their states.
    pub fn all(&self, at: TimestampMs) -> impl Iterator<Item = (&Silence, SilenceState)> {
        self.silences.values().map(move |silence| (silence, silence.state(at)))
    }
}
