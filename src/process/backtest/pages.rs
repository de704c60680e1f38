//! What a set of rules makes of events: its incidents with the first notification of each.

use std::collections::{BTreeMap, BTreeSet};

use crate::incident::id::IncidentId;
use crate::incident::revision::Revision;
use crate::incident::status::Status;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// An incident of which a person was notified.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page {
    pub(crate) id: IncidentId,
    /// The first notification: when, how loud, and how it read.
    pub(crate) at: TimestampMs,
    pub(crate) severity: Severity,
    pub(crate) title: String,
    pub(crate) cause: Option<String>,
    pub(crate) env: String,
    pub(crate) started_at: TimestampMs,
    /// `None` while it is open at the end of the events.
    pub(crate) ended_at: Option<TimestampMs>,
    pub(crate) entities: BTreeSet<String>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct RunResult {
    /// In order of time.
    pub(crate) pages: Vec<Page>,
    pub(crate) alerts: u64,
    pub(crate) incidents: u64,
    pub(crate) notifications: u64,
    /// Alerts of each rule.
    pub(crate) by_rule: BTreeMap<String, u64>,
}

/// Collects the revisions of a run.
#[derive(Debug, Default)]
pub(crate) struct PageCollector {
    pages: BTreeMap<IncidentId, Page>,
    last: BTreeMap<IncidentId, Incident>,
    result: RunResult,
}

/// What is known of an incident so far.
#[derive(Debug, Default)]
struct Incident {
    ended_at: Option<TimestampMs>,
    entities: BTreeSet<String>,
}

impl PageCollector {
    pub(crate) fn take(&mut self, revision: &Revision) {
        let known = self.last.entry(revision.id).or_insert_with(|| {
            self.result.incidents += 1;
            Incident::default()
        });
        known.entities.extend(revision.entity_names().into_iter().map(String::from));
        known.ended_at = (revision.status != Status::Open).then(|| revision.resolved_at.unwrap_or(revision.updated_at));
        for alert in revision.changed.iter().filter(|alert| alert.is_firing() && alert.fired_at == revision.updated_at) {
            self.result.alerts += 1;
            *self.result.by_rule.entry(alert.rule.to_string()).or_default() += 1;
        }
        if revision.decision.is_sent() {
            self.result.notifications += 1;
            self.pages.entry(revision.id).or_insert_with(|| Page {
                id: revision.id,
                at: revision.updated_at,
                severity: revision.severity,
                title: revision.title.clone(),
                cause: revision.root_cause().map(|cause| cause.entity.to_string()),
                env: revision.env.to_string(),
                started_at: revision.started_at,
                ended_at: None,
                entities: BTreeSet::new(),
            });
        }
        // It may become louder after its first notification.
        if let Some(page) = self.pages.get_mut(&revision.id) {
            page.severity = page.severity.max(revision.severity);
        }
    }

    pub(crate) fn finish(mut self) -> RunResult {
        for (id, page) in &mut self.pages {
            if let Some(incident) = self.last.remove(id) {
                (page.ended_at, page.entities) = (incident.ended_at, incident.entities);
            }
        }
        self.result.pages = self.pages.into_values().collect();
        self.result.pages.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        self.result
    }
}
