//! What must hold of every stream of revisions, whatever came in: asked by tests and simulations, and by builds with debug
//! assertions of themselves.

use std::collections::BTreeMap;

use crate::incident::id::IncidentId;
use crate::incident::revision::Revision;
use crate::incident::status::{RevisionChange, Status};
use crate::model::fingerprint::Fingerprint;

/// Follows the revisions of one engine.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    last: BTreeMap<IncidentId, Last>,
    /// The open incident in which each firing alert is.
    home: BTreeMap<Fingerprint, IncidentId>,
    /// Alerts that joined an incident while another had them.
    moved: Vec<(Fingerprint, IncidentId)>,
    /// There were revisions that it did not see.
    late: bool,
}

#[derive(Clone, Debug)]
struct Last {
    revision: u32,
    status: Status,
    told: Option<Status>,
    firing: Vec<Fingerprint>,
}

impl Invariants {
    /// Follows an engine that goes on after a restart: incidents are known that were never seen.
    pub fn after_restart() -> Self {
        Self { late: true, ..Self::default() }
    }

    /// Takes the revisions of one instant or more, in order.
    ///
    /// # Errors
    ///
    /// What does not hold, and of which revision.
    pub fn see(&mut self, revisions: &[Revision]) -> Result<(), String> {
        for revision in revisions {
            self.one(revision).map_err(|what| format!("{} r{}: {what}", revision.id, revision.revision))?;
        }
        // Within one instant an alert may leave an incident after it joined another.
        for (fingerprint, id) in std::mem::take(&mut self.moved) {
            let fires_there = self.last.get(&id).is_some_and(|last| last.firing.contains(&fingerprint));
            if fires_there && self.home.get(&fingerprint) != Some(&id) {
                return Err(format!("{fingerprint} fires in two incidents, one of them {id}"));
            }
        }
        Ok(())
    }

    fn one(&mut self, revision: &Revision) -> Result<(), String> {
        let before = self.last.get(&revision.id);
        let unseen = self.late && before.is_none();
        let expected = before.map_or(1, |before| before.revision + 1);
        if revision.revision != expected && !unseen {
            return Err(format!("revisions rise by one: this should be {expected}"));
        }
        let opens = match revision.change {
            RevisionChange::Opened => true,
            RevisionChange::Split => revision.split_from.is_some() && revision.revision == 1,
            _ => false,
        };
        if opens != before.is_none() && !unseen {
            return Err(format!("the first revision and no other opens; this is {}", revision.change.as_str()));
        }
        if before.is_some_and(|before| before.status == Status::Merged) {
            return Err("it was merged, and goes on".into());
        }
        let firing: Vec<Fingerprint> =
            revision.alerts.iter().filter(|alert| alert.is_firing()).map(|alert| alert.fingerprint).collect();
        match revision.status {
            Status::Resolved if !firing.is_empty() => return Err("resolved, and alerts fire".into()),
            Status::Merged if revision.merged_into.is_none() => return Err("merged into nothing".into()),
            Status::Merged if revision.decision.is_sent() => return Err("a person is told of a merged incident".into()),
            _ => {}
        }
        if revision.resolved_at.is_some() != (revision.status == Status::Resolved) {
            return Err("when it was resolved and whether it is do not agree".into());
        }
        if revision.alerts.iter().any(|alert| alert.severity > revision.severity) {
            return Err("an alert is worse than its incident".into());
        }
        if revision.alerts.is_empty() || revision.title.is_empty() {
            return Err("an incident of nothing".into());
        }
        if !revision.candidates.is_sorted_by(|a, b| a.score >= b.score) {
            return Err("candidates are not in the order of their scores".into());
        }
        let told_before = before.and_then(|before| before.told);
        if revision.decision.is_sent() && told_before == Some(Status::Resolved) && revision.status == Status::Resolved {
            return Err("a person is told twice that it is resolved".into());
        }
        let told = if revision.decision.is_sent() { Some(revision.status) } else { told_before };
        self.move_home(revision, &firing);
        let firing = if revision.status == Status::Open { firing } else { Vec::new() };
        self.last.insert(revision.id, Last { revision: revision.revision, status: revision.status, told, firing });
        Ok(())
    }

    fn move_home(&mut self, revision: &Revision, firing: &[Fingerprint]) {
        if let Some(before) = self.last.get(&revision.id) {
            for fingerprint in &before.firing {
                if self.home.get(fingerprint) == Some(&revision.id) {
                    self.home.remove(fingerprint);
                }
            }
        }
        if revision.status == Status::Open {
            for fingerprint in firing {
                let before = self.home.insert(*fingerprint, revision.id);
                self.moved.extend(before.filter(|id| *id != revision.id).map(|id| (*fingerprint, id)));
            }
        }
    }
}
