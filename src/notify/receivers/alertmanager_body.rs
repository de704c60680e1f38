//! An incident in the form of Alertmanager's webhook, version 4: every receiver that understands Alertmanager takes it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::notify::incident_view::{AlertView, IncidentView};

/// Alertmanager writes a time that is not set like this.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The body.
pub fn body(receiver: &str, incident: &IncidentView, link: Option<&str>) -> Value {
    let alerts: Vec<Value> = incident.alerts.iter().map(|alert| one(alert, incident, link)).collect();
    let labels: Vec<BTreeMap<&str, &str>> = incident.alerts.iter().map(|alert| labels(alert, incident)).collect();
    let left_out = incident.body["left_out"]["alerts"].as_u64().unwrap_or(0);
    json!({
        "version": "4",
        "groupKey": format!("squelch/{}", incident.id),
        "truncatedAlerts": left_out,
        "status": if incident.is_open() { "firing" } else { "resolved" },
        "receiver": receiver,
        "groupLabels": { "incident": incident.id },
        "commonLabels": common(&labels),
        "commonAnnotations": { "title": incident.title, "summary": incident.summary },
        "externalURL": link.unwrap_or_default(),
        "alerts": alerts,
    })
}

fn one(alert: &AlertView, incident: &IncidentView, link: Option<&str>) -> Value {
    let mut annotations = BTreeMap::new();
    for (key, value) in [("summary", &alert.summary), ("runbook_url", &alert.runbook)] {
        if let Some(value) = value {
            annotations.insert(key, value.as_str());
        }
    }
    json!({
        "status": if alert.firing { "firing" } else { "resolved" },
        "labels": labels(alert, incident),
        "annotations": annotations,
        "startsAt": alert.started_at,
        "endsAt": alert.ended_at.as_deref().unwrap_or(NO_TIME),
        "generatorURL": link.unwrap_or_default(),
        "fingerprint": alert.fingerprint,
    })
}

fn labels<'a>(alert: &'a AlertView, incident: &'a IncidentView) -> BTreeMap<&'a str, &'a str> {
    let own = alert.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let given =
        [("alertname", alert.rule.as_str()), ("severity", incident.severity.as_str()), ("incident", incident.id.as_str())];
    given.into_iter().chain(own).collect()
}

fn common<'a>(labels: &[BTreeMap<&'a str, &'a str>]) -> BTreeMap<&'a str, &'a str> {
    let Some((first, others)) = labels.split_first() else { return BTreeMap::new() };
    first
        .iter()
        .filter(|(name, value)| others.iter().all(|other| other.get(*name) == Some(*value)))
        .map(|(k, v)| (*k, *v))
        .collect()
}
