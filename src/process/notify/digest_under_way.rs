//! A digest on its way: its record names its members before it is sent, so that after a crash the same digest is sent or completed, and no
//! incident is named twice.

use crate::io::nats::notify::records::KeptRecord;
use crate::model::time::TimestampMs;
use crate::notify::digest;
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::News;
use crate::notify::record::{DigestMember, Record, Waiting, WaitingFor};
use crate::process::notify::delivery::{Delivery, Outcome};

/// A digest and what is in it.
pub struct Digest {
    /// As it is sent.
    pub view: IncidentView,
    /// The incidents in it.
    pub members: Vec<DigestMember>,
}

impl Digest {
    /// The digest of these incidents, the newest revision of each with what it waits for.
    pub fn new(receiver: &str, incidents: Vec<(IncidentView, Waiting)>, now_ms: TimestampMs) -> Option<Self> {
        let is_quiet = incidents.iter().any(|(_, waiting)| waiting.why == WaitingFor::QuietHours);
        let why = if is_quiet { WaitingFor::QuietHours } else { WaitingFor::RateLimit };
        let sequence_of =
            |id: &str| incidents.iter().find(|(incident, _)| incident.id == id).map_or(0, |(_, waiting)| waiting.sequence);
        let views: Vec<IncidentView> = incidents.iter().map(|(incident, _)| incident.clone()).collect();
        let members = digest::members(&views, sequence_of);
        Some(Self { view: digest::view(receiver, &views, why, now_ms)?, members })
    }
}

/// The digest that a process left behind, if one did: its id and its members.
pub fn left_behind(records: &[(String, Record)]) -> Option<(String, Vec<DigestMember>)> {
    let left = records.iter().find(|(id, record)| id.starts_with(digest::ID_BEGINS) && !record.digest_of.is_empty());
    left.map(|(id, record)| (id.clone(), record.digest_of.clone()))
}

impl Delivery {
    /// Sends a digest, and notes at each member that it was named.
    pub async fn deliver_digest(&self, digest: &Digest) -> Outcome {
        let id = &digest.view.id;
        let mut kept = match self.records.get(id).await {
            Ok(kept) => kept,
            Err(error) => return Outcome::Retry { why: format!("a record cannot be read: {error}"), after_ms: None },
        };
        if !kept.record.sent {
            kept.record.digest_of = digest.members.clone();
            let outcome = self.deliver(&digest.view, News::First, &mut kept).await;
            if !matches!(outcome, Outcome::Sent { .. }) {
                let recorded = self.keep(id, &mut kept).await;
                return recorded.err().unwrap_or(outcome);
            }
        }
        for member in &digest.members {
            if let Err(outcome) = self.note_digest(member, id).await {
                return outcome;
            }
        }
        kept.record.digest_of.clear();
        match self.keep(id, &mut kept).await {
            Ok(()) => Outcome::Sent { anything: true },
            Err(outcome) => outcome,
        }
    }

    async fn note_digest(&self, member: &DigestMember, id: &str) -> Result<(), Outcome> {
        loop {
            let mut kept: KeptRecord = match self.records.get(&member.incident).await {
                Ok(kept) => kept,
                Err(error) => {
                    tracing::warn!(receiver = self.built.name, error, "a record cannot be read; trying again");
                    self.pause().await;
                    if self.lease.is_lost() {
                        return Err(Outcome::LeaseLost);
                    }
                    continue;
                }
            };
            // A newer revision was handled since: it waits for itself.
            if kept.record.waiting.as_ref().is_none_or(|waiting| waiting.sequence != member.sequence) {
                return Ok(());
            }
            kept.record.waiting = None;
            kept.record.revision = kept.record.revision.max(member.revision);
            kept.record.digest = Some(id.to_string());
            match self.keep(&member.incident, &mut kept).await {
                Err(Outcome::Replaced) => {}
                done => return done,
            }
        }
    }
}
