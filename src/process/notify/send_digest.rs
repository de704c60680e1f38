//! The part of a receiver's task that makes and sends digests.

use crate::model::time::TimestampMs;
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::News;
use crate::notify::record::{Record, Waiting, WaitingFor};
use crate::process::notify::delivery::Outcome;
use crate::process::notify::digest_under_way::{Digest, left_behind};
use crate::process::notify::sender::Sender;

impl Sender {
    /// Makes a digest of what waits. The next turn sends it.
    pub(super) async fn begin_digest(&mut self, waiting: Vec<(String, Waiting)>, now_ms: TimestampMs) {
        let mut incidents = Vec::new();
        for (id, waiting) in waiting {
            match self.message_of(&id, &waiting).await {
                Some(Some(incident)) => incidents.push((incident, waiting)),
                Some(None) => {}
                None => return,
            }
        }
        self.digest = Digest::new(&self.delivery.built.name, incidents, now_ms);
    }

    /// The digest that the process before this one left behind.
    pub(super) async fn digest_under_way(&self, records: &[(String, Record)]) -> Result<Option<Digest>, String> {
        let Some((id, members)) = left_behind(records) else { return Ok(None) };
        let mut incidents = Vec::new();
        for member in &members {
            let Some(payload) = self.source.message(member.sequence).await? else { continue };
            if let Ok(incident) = IncidentView::parse(&payload) {
                let waiting = Waiting { until_ms: 0, since_ms: 0, why: WaitingFor::RateLimit, sequence: member.sequence };
                incidents.push((incident, waiting));
            }
        }
        let digest = Digest::new(&self.delivery.built.name, incidents, self.delivery.clock.now_ms());
        Ok(digest.map(|digest| Digest { view: IncidentView { id, ..digest.view }, members }))
    }

    pub(super) async fn send_digest(&mut self, digest: Digest) {
        let outcome = self.delivery.deliver_digest(&digest).await;
        let now_ms = self.delivery.clock.now_ms();
        let (env, name) = (digest.view.env.clone(), self.delivery.built.name.clone());
        match outcome {
            Outcome::Sent { .. } => {
                tracing::info!(receiver = name, digest = digest.view.id, incidents = digest.members.len(), "sent a digest");
                self.stats.update(&name, |stats| {
                    stats.count_sent(News::First);
                    stats.in_digests += digest.members.len() as u64;
                });
                for member in &digest.members {
                    if self.waiting.get(&member.incident).is_some_and(|waiting| waiting.sequence == member.sequence) {
                        self.waiting.remove(&member.incident);
                    }
                }
                self.failing.recovered(now_ms).await;
                return;
            }
            Outcome::Retry { why, after_ms } => self.failing.failed(&why, after_ms, &env, now_ms).await,
            Outcome::Misconfigured(why) => self.failing.misconfigured(&why, &env, now_ms).await,
            // Nothing is lost: it is tried again as long as the receiver refuses it, seldom.
            Outcome::GivenUp(why) => self.failing.misconfigured(&why, &env, now_ms).await,
            Outcome::Replaced | Outcome::LeaseLost => {}
        }
        self.digest = Some(digest);
    }
}
