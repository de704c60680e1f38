//! What a receiver has still to be sent: of each incident the newest revision alone, and whether any that came since the last message notifies a
//! person. The loudest go first, then those that wait longest.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::limits::INCIDENTS_QUEUED_MAX;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::notify::incident_view::IncidentView;

/// Incidents that have something new. `A` acknowledges a message.
pub struct Queue<A> {
    entries: BTreeMap<String, Entry<A>>,
    arrivals: u64,
}

/// One incident.
pub struct Entry<A> {
    /// The newest revision.
    pub incident: Arc<IncidentView>,
    /// Where it is in the stream.
    pub sequence: u64,
    /// When the first revision came that notifies a person, of those that are here.
    pub notified_since_ms: Option<TimestampMs>,
    /// What is to be acknowledged when it is done.
    pub acks: Vec<A>,
    /// The turn in which it came.
    arrival: u64,
}

impl<A> Default for Queue<A> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), arrivals: 0 }
    }
}

impl<A> Queue<A> {
    /// Whether another incident can be taken. What is not taken stays in the stream.
    pub fn has_room(&self) -> bool {
        self.entries.len() < INCIDENTS_QUEUED_MAX
    }

    /// How many incidents have something new.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a revision that came at `at_ms`, by the broker's clock. One that is older than what is here only adds its voice.
    pub fn add(&mut self, incident: IncidentView, sequence: u64, at_ms: TimestampMs, ack: Option<A>) {
        self.arrivals += 1;
        let since = incident.send.then_some(at_ms);
        let arrival = self.arrivals;
        let entry = self.entries.entry(incident.id.clone());
        let entry = entry.and_modify(|entry| {
            entry.notified_since_ms = [entry.notified_since_ms, since].into_iter().flatten().min();
        });
        let new =
            || Entry { incident: Arc::new(incident.clone()), sequence, notified_since_ms: since, acks: Vec::new(), arrival };
        let entry = entry.or_insert_with(new);
        if incident.revision > entry.incident.revision {
            (entry.incident, entry.sequence) = (Arc::new(incident), sequence);
        }
        entry.acks.extend(ack);
    }

    /// The incident whose turn it is.
    pub fn next(&self) -> Option<String> {
        let turn = |entry: &Entry<A>| (std::cmp::Reverse(loudness(entry)), entry.arrival);
        self.entries.iter().min_by_key(|(_, entry)| turn(entry)).map(|(id, _)| id.clone())
    }

    /// Looks at an incident.
    pub fn get(&self, id: &str) -> Option<&Entry<A>> {
        self.entries.get(id)
    }

    /// Takes an incident out.
    pub fn remove(&mut self, id: &str) -> Option<Entry<A>> {
        self.entries.remove(id)
    }
}

/// What notifies a person goes before what is only brought up to date.
fn loudness<A>(entry: &Entry<A>) -> (bool, Severity) {
    (entry.notified_since_ms.is_some(), entry.incident.severity)
}
