//! The simulated server: what it stores once it has stored for good, and a repeat of a message id it drops.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use squelch::io::nats::output::results::{AlertUpdate, CommandMessage, RejectedLine, RevisionMessage};

/// Streams and bucket as subscribers see them.
#[derive(Default)]
pub struct Broker {
    /// The messages of incidents, in order.
    pub incidents: Vec<RevisionMessage>,
    places: HashMap<String, usize>,
    /// The messages of alerts, by id.
    pub alerts: BTreeMap<String, AlertUpdate>,
    /// Rejected input by message id.
    pub rejected: BTreeMap<(u64, usize), RejectedLine>,
    /// The newest revision of each open incident.
    pub bucket: BTreeMap<String, Bytes>,
    /// Answers to commands, by subject.
    pub answers: BTreeMap<String, Bytes>,
    /// Silences as they are shown.
    pub silences: BTreeMap<String, Bytes>,
    /// Input up to here is acknowledged.
    pub acknowledged: u64,
}

/// What the server makes of a message.
pub enum Stored {
    New,
    Again,
    /// Dropped as a repeat of this one, and says something else.
    Differs(RevisionMessage),
}

impl Broker {
    pub fn publish(&mut self, revision: &RevisionMessage) -> Stored {
        match self.places.get(&revision.message_id) {
            Some(place) if self.incidents[*place] == *revision => Stored::Again,
            Some(place) => Stored::Differs(self.incidents[*place].clone()),
            None => {
                self.places.insert(revision.message_id.clone(), self.incidents.len());
                self.incidents.push(revision.clone());
                Stored::New
            }
        }
    }

    /// Takes changes of alerts in. Returns the one that was dropped as a repeat of another that says something else.
    pub fn publish_alerts(&mut self, updates: Vec<AlertUpdate>) -> Option<AlertUpdate> {
        let differs = |update: &AlertUpdate| self.alerts.get(&update.message_id).is_some_and(|known| known != update);
        let differing = updates.iter().find(|update| differs(update)).cloned();
        for update in updates {
            self.alerts.entry(update.message_id.clone()).or_insert(update);
        }
        differing
    }

    /// Whether a revision is stored.
    pub fn has(&self, message_id: &str) -> bool {
        self.places.contains_key(message_id)
    }

    /// An answer that comes again must be the one that its sender has.
    pub fn answer(&mut self, message: &CommandMessage) -> Result<(), String> {
        match message {
            CommandMessage::Answer { subject, body } => match self.answers.get(subject) {
                Some(known) if known != body => return Err(format!("{subject} is answered twice, and not alike")),
                _ => drop(self.answers.insert(subject.clone(), body.clone())),
            },
            CommandMessage::Silence { id, body: Some(body) } => drop(self.silences.insert(id.clone(), body.clone())),
            CommandMessage::Silence { id, body: None } => drop(self.silences.remove(id)),
        }
        Ok(())
    }

    pub fn show(&mut self, revision: &RevisionMessage) {
        if revision.open {
            self.bucket.insert(revision.incident.clone(), revision.body.clone());
        } else {
            self.bucket.remove(&revision.incident);
        }
    }
}
