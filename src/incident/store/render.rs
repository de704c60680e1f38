//! An incident in words: the title, the summary, and what else a revision publishes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::Alert;
use crate::incident::id::IncidentId;
use crate::incident::notify::decision::Decision;
use crate::incident::revision::{Candidate, LeftOut, NEARLY_AS_LIKELY, Revision, RevisionCounts};
use crate::incident::status::{RevisionChange, Status};
use crate::incident::store::incident::Incident;
use crate::model::limits::LINKS_PER_MESSAGE_MAX;
use crate::model::time::{TimestampMs, format_near};
use crate::topology::Stamp;

/// Names and sentences of each kind in a title or a summary: a page is read on a phone.
const NAMED_MAX: usize = 3;

pub(crate) fn revision_of(
    id: &IncidentId,
    incident: &Incident,
    at: TimestampMs,
    change: RevisionChange,
    (topology, candidates): (Stamp, Vec<Candidate>),
    decision: Decision,
) -> Revision {
    let alerts = incident.alerts.most_telling(candidates.first().map(|cause| &cause.entity), &incident.changed);
    let entities = incident.alerts.entities();
    let links: Vec<_> = incident.links.iter().take(LINKS_PER_MESSAGE_MAX).cloned().collect();
    let counts = RevisionCounts { by_severity: incident.alerts.by_severity(), entities: incident.alerts.entity_count() };
    let left_out = LeftOut {
        alerts: incident.alerts.left_out_by_rule(&alerts),
        entities: (counts.entities - entities.len()) as u64,
        links: (incident.links.len() - links.len()) as u64 + incident.links.dropped(),
    };
    let silences = |alert: &Arc<Alert>| incident.silenced.silences_of(alert.fingerprint).to_vec();
    let silenced = alerts.iter().map(|alert| (alert.fingerprint, silences(alert))).filter(|(_, silences)| !silences.is_empty());
    let silenced_alerts = silenced.collect();
    let titled = titled(incident, candidates.first(), &decision);
    Revision {
        teams: BTreeMap::new(),
        id: *id,
        revision: incident.revision,
        change,
        status: incident.status(),
        severity: incident.severity,
        env: Arc::clone(&incident.env),
        title: title(incident, titled, candidates.first()),
        summary: summary(incident, at, titled, &candidates, &left_out),
        started_at: incident.started_at,
        updated_at: at,
        resolved_at: incident.resolved_at,
        topology,
        candidates,
        alerts,
        changed: incident.changed.iter().filter_map(|fingerprint| incident.alerts.find(*fingerprint)).cloned().collect(),
        entities,
        links,
        counts,
        left_out,
        merged_into: None,
        split_from: incident.split_from,
        acknowledged: incident.notify.acknowledged().cloned(),
        silenced: incident.silenced.notices(),
        silenced_alerts,
        handling: incident.handling.clone(),
        decision,
    }
}

/// The alert that the title quotes: what is new, else the worst of the cause, as long as that fails or nothing does.
fn titled<'a>(incident: &'a Incident, cause: Option<&Candidate>, decision: &Decision) -> Option<&'a Arc<Alert>> {
    if let Decision::NewFault(fault) = decision {
        return incident.alerts.worst_of_rule(&fault.rule);
    }
    let Some(cause) = cause else { return incident.alerts.worst() };
    let of_cause = incident.alerts.worst_of(&cause.entity)?;
    if of_cause.is_firing() || !incident.alerts.is_firing() { Some(of_cause) } else { incident.alerts.worst() }
}

/// The worst that is known of the cause; of a cause without alerts, who suffers.
fn title(incident: &Incident, titled: Option<&Arc<Alert>>, cause: Option<&Candidate>) -> String {
    let alerts = &incident.alerts;
    match (titled, cause) {
        (Some(alert), _) => quote(alert),
        (None, Some(cause)) => {
            let of_cause = alerts.evidence().filter(|evidence| evidence.peer.as_ref() == Some(&cause.entity));
            let mut callees: Vec<&str> = of_cause.map(|evidence| evidence.entity.as_ref()).collect();
            if callees.is_empty() {
                let failing: Vec<&str> = alerts.failing_entities().map(|(entity, _)| entity.as_ref()).collect();
                let recovered: Vec<&str> = alerts.recovered_entities().iter().map(AsRef::as_ref).collect();
                let suffering = if failing.is_empty() { recovered } else { failing };
                return format!("{} is the suspected cause: {} depend on it and fail", cause.entity, some(&suffering));
            }
            callees.sort_unstable();
            callees.dedup();
            format!("{}: its calls to {} fail or are slow", cause.entity, some(&callees))
        }
        (None, None) => "an incident without alerts".into(),
    }
}

/// An alert in one line.
fn quote(alert: &Alert) -> String {
    alert.texts.summary.clone().unwrap_or_else(|| format!("{} on {}", alert.rule, alert.subject()))
}

/// A few names, and how many more there are.
fn some(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let named = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// How bad it is, since when, the likeliest cause and how sure that is, and what else fails now: with the title, all that somebody needs who
/// was just woken.
fn summary(
    incident: &Incident,
    at: TimestampMs,
    titled: Option<&Arc<Alert>>,
    candidates: &[Candidate],
    left_out: &LeftOut,
) -> String {
    let began = format_near(incident.started_at, at);
    let when = match incident.resolved_at {
        Some(ended) => format!("from {began} to {} UTC", format_near(ended, at)),
        None => format!("since {began} UTC"),
    };
    let (first, rest) = incident.severity.as_str().split_at(1);
    let severity = first.to_uppercase() + rest;
    let mut text = format!("{severity} in {} {when}.", incident.env);
    match candidates {
        [] => text.push_str(" The cause is unknown: no alert names an entity."),
        [cause, next, ..] if next.score >= NEARLY_AS_LIKELY * cause.score => {
            text.push_str(&format!(" Likeliest cause: {}, or nearly as likely {}.", cause.entity, next.entity));
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
    also_failing(incident, titled, &mut text);
    // That a cause has recovered was said above.
    let cause = candidates.first().map(|cause| &cause.entity);
    let recovered: Vec<&str> =
        incident.alerts.recovered_entities().iter().filter(|entity| Some(*entity) != cause).map(AsRef::as_ref).collect();
    if !recovered.is_empty() && incident.status() == Status::Open {
        text.push_str(&format!(" Recovered: {}.", some(&recovered)));
    } else if !recovered.is_empty() {
        text.push_str(&format!(" Also failed: {}.", some(&recovered)));
    }
    if let Some(why) = incident.ended_unknown() {
        text.push_str(&format!(" Nobody knows that all is well: {why}."));
    }
    let rules = left_out.most_left_out();
    if !rules.is_empty() {
        let more = left_out.alerts.len().saturating_sub(NAMED_MAX);
        let named: Vec<String> = rules.iter().take(NAMED_MAX).map(|(rule, count)| format!("{count} of {rule}")).collect();
        let more = if more == 0 { String::new() } else { format!(" and of {more} more rules") };
        text.push_str(&format!(" Alerts that are not listed: {}{more}.", named.join(", ")));
    }
    text
}

/// The worst of each rule and entity that fails now, besides what the title quotes: of each entity one, of the titled one another rule.
fn also_failing(incident: &Incident, titled: Option<&Arc<Alert>>, text: &mut String) {
    let mut quoted: Vec<&Arc<Alert>> = Vec::new();
    let is_titled = |alert: &Arc<Alert>| titled.is_some_and(|titled| titled.fingerprint == alert.fingerprint);
    for alert in incident.alerts.firing_representatives().filter(|alert| !is_titled(alert)) {
        if quoted.len() == NAMED_MAX {
            break;
        }
        if quoted.iter().all(|quoted| quoted.subject() != alert.subject()) {
            quoted.push(alert);
        }
    }
    if quoted.is_empty() {
        return;
    }
    let named = |entity: &Arc<str>| quoted.iter().chain(titled.as_ref()).any(|alert| alert.subject() == entity.as_ref());
    let more = incident.alerts.failing_entities().filter(|(entity, _)| !named(entity)).count();
    let quotes: Vec<String> = quoted.iter().map(|alert| quote(alert)).collect();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    text.push_str(&format!(" Also failing: {}{more}.", quotes.join("; ")));
}
