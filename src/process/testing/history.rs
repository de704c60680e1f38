//! What came of a run, by time: which alerts fired at an instant, which incidents were open, who was notified.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::id::IncidentId;
use crate::incident::revision::Revision;
use crate::incident::status::Status;
use crate::model::fingerprint::Fingerprint;
use crate::model::time::TimestampMs;

/// All revisions of a run, in order.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) revisions: Vec<Revision>,
}

impl History {
    fn until(&self, at: TimestampMs) -> impl Iterator<Item = &Revision> {
        self.revisions.iter().filter(move |revision| revision.updated_at <= at)
    }

    /// The alerts that fire at `at`, by rule and labels.
    pub(crate) fn firing_at(&self, at: TimestampMs) -> Vec<&Alert> {
        let mut last: BTreeMap<Fingerprint, &Arc<Alert>> = BTreeMap::new();
        for alert in self.until(at).flat_map(|revision| &revision.changed) {
            last.insert(alert.fingerprint, alert);
        }
        let mut firing: Vec<&Alert> = last.into_values().map(Arc::as_ref).filter(|alert| alert.is_firing()).collect();
        firing.sort_by(|a, b| (&a.rule, &a.labels).cmp(&(&b.rule, &b.labels)));
        firing
    }

    /// The incidents that are open at `at`, each as its last revision until then, the oldest first.
    pub(crate) fn open_at(&self, at: TimestampMs) -> Vec<&Revision> {
        let last: BTreeMap<&IncidentId, &Revision> = self.until(at).map(|revision| (&revision.id, revision)).collect();
        let mut open: Vec<&Revision> = last.into_values().filter(|revision| revision.status == Status::Open).collect();
        open.sort_by_key(|revision| (revision.started_at, &revision.id));
        open
    }

    /// The revisions after `from`, up to `to`.
    pub(crate) fn between(&self, from: TimestampMs, to: TimestampMs) -> impl Iterator<Item = &Revision> {
        self.until(to).filter(move |revision| revision.updated_at > from)
    }
}
