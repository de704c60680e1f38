//! An incident in words: what goes out of it as a revision.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::book::Incident;
use crate::incident::{Candidate, Decision, IncidentId, Link, Revision, RevisionChange};
use crate::topology::Stamp;
use crate::words::limits::LINKS_PER_INCIDENT_MAX;
use crate::words::time::TimestampMs;

/// Keeps the strongest link of each pair, strongest first: of many, so that the same come of it however often it is done.
pub(super) fn tidy(links: &mut Vec<Link>) {
    links.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)).then_with(|| b.score.total_cmp(&a.score)));
    links.dedup_by(|a, b| a.from == b.from && a.to == b.to);
    links.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to))));
    links.truncate(LINKS_PER_INCIDENT_MAX);
}

pub(super) fn revision_of(
    id: &IncidentId,
    incident: &Incident,
    at: TimestampMs,
    change: RevisionChange,
    (topology, candidates): (Stamp, Vec<Candidate>),
    decision: Decision,
) -> Revision {
    let mut alerts: Vec<Arc<Alert>> = incident.alerts.iter().cloned().collect();
    alerts.sort_by_key(|alert| (alert.started_at, alert.fingerprint));
    Revision {
        id: *id,
        revision: incident.revision,
        change,
        status: incident.status(),
        severity: incident.severity,
        env: Arc::clone(&incident.env),
        title: title(&alerts, candidates.first()),
        started_at: incident.started_at,
        updated_at: at,
        resolved_at: incident.resolved_at,
        topology,
        candidates,
        alerts,
        links: incident.links.clone(),
        merged_into: None,
        split_from: incident.split_from,
        decision,
    }
}

/// The worst thing that is said of the cause; of a cause that says nothing, who suffers.
fn title(alerts: &[Arc<Alert>], cause: Option<&Candidate>) -> String {
    let of_cause = alerts.iter().filter(|alert| cause.is_none_or(|cause| alert.entity.as_ref() == Some(&cause.entity)));
    let worst = of_cause.min_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.started_at, alert.fingerprint));
    match (worst, cause) {
        (Some(alert), _) => alert.texts.summary.clone().unwrap_or_else(|| format!("{} on {}", alert.rule, alert.subject())),
        (None, Some(cause)) if alerts.iter().any(|alert| alert.peer.as_ref() == Some(&cause.entity)) => {
            let callees = alerts.iter().filter(|alert| alert.peer.as_ref() == Some(&cause.entity)).map(|alert| alert.subject());
            format!(
                "{}: its calls of {} suffer",
                cause.entity,
                callees.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
            )
        }
        (None, Some(cause)) => {
            let failing: BTreeSet<&str> = alerts.iter().map(|alert| alert.subject()).collect();
            format!("{} suspected: {} depend on it and fail", cause.entity, failing.into_iter().collect::<Vec<_>>().join(", "))
        }
        (None, None) => "an incident without alerts".into(),
    }
}
