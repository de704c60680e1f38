//! An incident in words: what goes out of it as a revision.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::id::IncidentId;
use crate::incident::notify::Decision;
use crate::incident::revision::{Candidate, NEARLY_AS_LIKELY, Revision};
use crate::incident::status::RevisionChange;
use crate::incident::store::Incident;
use crate::model::fingerprint::Fingerprint;
use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, format_rfc3339};
use crate::topology::Stamp;

/// Names and sentences that a title or a summary holds of each kind: a page is read on a phone.
const NAMED_MAX: usize = 3;

pub(crate) fn revision_of(
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
        summary: summary(incident, &alerts, &candidates),
        started_at: incident.started_at,
        updated_at: at,
        resolved_at: incident.resolved_at,
        topology,
        candidates,
        alerts,
        links: incident.links.iter().cloned().collect(),
        merged_into: None,
        split_from: incident.split_from,
        decision,
    }
}

/// The worst thing that is said of the cause; of a cause that says nothing, who suffers.
fn title(alerts: &[Arc<Alert>], cause: Option<&Candidate>) -> String {
    let of_cause = alerts.iter().filter(|alert| cause.is_none_or(|cause| alert.entity.as_ref() == Some(&cause.entity)));
    let worst = of_cause.map(Arc::as_ref).min_by_key(worst_first);
    match (worst, cause) {
        (Some(alert), _) => said(alert),
        (None, Some(cause)) if alerts.iter().any(|alert| alert.peer.as_ref() == Some(&cause.entity)) => {
            let of_cause = alerts.iter().filter(|alert| alert.peer.as_ref() == Some(&cause.entity));
            let callees: BTreeSet<&str> = of_cause.map(|alert| alert.subject()).collect();
            format!("{}: its calls to {} suffer", cause.entity, some(callees))
        }
        (None, Some(cause)) => {
            let failing: BTreeSet<&str> = alerts.iter().map(|alert| alert.subject()).collect();
            format!("{} suspected: it would explain that {} fail", cause.entity, some(failing))
        }
        (None, None) => "an incident without alerts".into(),
    }
}

fn said(alert: &Alert) -> String {
    alert.texts.summary.clone().unwrap_or_else(|| format!("{} on {}", alert.rule, alert.subject()))
}

/// A few names, and how many more there are.
fn some(names: BTreeSet<&str>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let named = names.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// How bad it is, since when, who is thought to have caused it and how sure that is, and what fails besides: with the title, all
/// that somebody needs who was just woken.
fn summary(incident: &Incident, alerts: &[Arc<Alert>], candidates: &[Candidate]) -> String {
    let began = format_rfc3339(incident.started_at);
    let when = match incident.resolved_at {
        Some(at) => format!("from {began} to {}", format_rfc3339(at)),
        None => format!("since {began}"),
    };
    let mut text = format!("{} in {} {when}.", incident.severity, incident.env);
    match candidates {
        [] => text.push_str(" Cause unknown: its alerts name no entity."),
        [cause, next, ..] if next.score >= NEARLY_AS_LIKELY * cause.score => {
            text.push_str(&format!(" Cause: {}, or nearly as likely {}.", cause.entity, next.entity));
        }
        [cause, ..] => {
            let but = match incident.alerts.fails(&cause.entity) {
                None => ", though no alert is about it",
                Some(false) if incident.resolved_at.is_none() => ", which has recovered",
                Some(_) => "",
            };
            text.push_str(&format!(" Likeliest cause: {}{but}.", cause.entity));
        }
    }
    // Of each entity besides the cause the worst that is said of it now; of what has recovered, the names.
    let cause = candidates.first().map(|cause| cause.entity.as_ref());
    let besides = |fails: bool| {
        let others = incident.alerts.entities().filter(move |(entity, _)| Some(*entity) != cause);
        others.filter(move |(_, failing)| *failing == fails).map(|(entity, _)| entity)
    };
    let mut told: Vec<&Alert> = Vec::new();
    let fails = alerts.iter().map(Arc::as_ref).filter(|alert| alert.entity.is_some() && alert.is_firing());
    let fails = fails.filter(|alert| alert.entity.as_deref() != cause);
    while told.len() < NAMED_MAX {
        let others = fails.clone().filter(|alert| told.iter().all(|told| told.entity != alert.entity));
        let Some(worst) = others.min_by_key(worst_first) else { break };
        told.push(worst);
    }
    if !told.is_empty() {
        let more = besides(true).count() - told.len();
        let told: Vec<String> = told.into_iter().map(said).collect();
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        text.push_str(&format!(" Fails too: {}{more}.", told.join("; ")));
    }
    let recovered: BTreeSet<&str> = besides(false).collect();
    if !recovered.is_empty() {
        text.push_str(&format!(" Failed too, and recovered: {}.", some(recovered)));
    }
    text
}

/// The order in which alerts are worth reading.
fn worst_first(alert: &&Alert) -> (Reverse<Severity>, TimestampMs, Fingerprint) {
    (Reverse(alert.severity), alert.started_at, alert.fingerprint)
}
