//! The simulated server: what it stores once it has stored for good, and a repeat of a message id it drops.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use squelch::io::nats::output::results::{RejectedLine, RevisionMessage};

/// Streams and bucket as subscribers see them.
#[derive(Default)]
pub struct Broker {
    /// The messages of incidents, in order.
    pub incidents: Vec<RevisionMessage>,
    places: HashMap<String, usize>,
    /// Rejected input by message id.
    pub rejected: BTreeMap<(u64, usize), RejectedLine>,
    /// The newest revision of each open incident.
    pub bucket: BTreeMap<String, Bytes>,
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

    /// Whether a revision is stored.
    pub fn has(&self, message_id: &str) -> bool {
        self.places.contains_key(message_id)
    }

    pub fn show(&mut self, revision: &RevisionMessage) {
        if revision.open {
            self.bucket.insert(revision.incident.clone(), revision.body.clone());
        } else {
            self.bucket.remove(&revision.incident);
        }
    }
}
