//! Webhooks of systems that are not here, as they are documented: what is posted becomes an incident.

use serde_json::{Value, json};

use crate::intake::rig::Rig;

/// Posts, and wants an incident of this name on this entity.
fn becomes_an_incident(path: &str, body: &Value, name: &str, entity: &str) {
    let rig = Rig::start("");
    let answer = rig.post(path, &[("Content-Type", "application/json")], body.to_string().as_bytes());
    assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
    let incident = rig.incident(name);
    assert_eq!(incident["alerts"][0]["entity"], entity, "{path}: {incident:#}");
}

#[test]
fn the_webhooks_of_alertmanager_and_grafana() {
    let labels = json!({"alertname": "ChatDown", "severity": "critical", "service": "chat"});
    let alert = json!({
        "status": "firing", "labels": labels, "annotations": {"summary": "chat does not answer"},
        "startsAt": "2026-03-14T02:47:10Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "c5a1e0b2d3f40011",
    });
    let group = |version: &str| {
        json!({
            "version": version, "status": "firing", "receiver": "squelch", "groupLabels": {}, "commonLabels": labels,
            "commonAnnotations": {}, "externalURL": "http://localhost", "groupKey": "{}", "truncatedAlerts": 0, "alerts": [alert],
        })
    };
    becomes_an_incident("/webhooks/alertmanager", &group("4"), "ChatDown", "chat");
    becomes_an_incident("/webhooks/grafana", &group("1"), "ChatDown", "chat");
}

#[test]
fn webhooks_whose_body_is_a_template() {
    let body = |status: &str, severity: &str| json!({"name": "ChatDown", "status": status, "severity": severity, "key": "1", "summary": "chat does not answer", "service": "chat"});
    becomes_an_incident("/webhooks/datadog", &body("Triggered", "P1"), "ChatDown", "chat");
    becomes_an_incident("/webhooks/opensearch", &body("ACTIVE", "1"), "ChatDown", "chat");
    becomes_an_incident("/webhooks/kibana", &body("threshold met", "critical"), "ChatDown", "chat");
}

#[test]
fn the_webhooks_of_new_relic_and_splunk() {
    let issue = json!({
        "id": "abc", "issueUrl": "http://localhost", "title": "ChatDown", "priority": "CRITICAL", "state": "ACTIVATED",
        "updatedAt": 1_773_456_430_000_u64, "impactedEntities": ["chat"], "alertConditionNames": ["ChatDown"],
    });
    becomes_an_incident("/webhooks/newrelic", &issue, "ChatDown", "chat");
    let search = json!({
        "sid": "1", "search_name": "ChatDown", "app": "search", "owner": "admin", "results_link": "http://localhost",
        "result": {"service": "chat", "severity": "critical"},
    });
    becomes_an_incident("/webhooks/splunk", &search, "ChatDown", "chat");
}

#[test]
fn an_event_of_kubernetes_and_an_alert_of_no_system() {
    let event = json!({
        "metadata": {"name": "chat.1", "namespace": "production"},
        "involvedObject": {"kind": "Pod", "namespace": "production", "name": "chat-1"},
        "reason": "BackOff", "message": "no connection", "type": "Warning", "count": 7, "lastTimestamp": "2026-03-14T02:47:10Z",
    });
    let rig = Rig::start("");
    assert_eq!(rig.post("/kubernetes/events", &[], event.to_string().as_bytes()).status, 200);
    rig.incident("no_connection");
    let alert = json!({"ts": 1_773_456_430_000_u64, "name": "ChatDown", "severity": "critical", "service": "chat"});
    becomes_an_incident("/events/alerts", &alert, "ChatDown", "chat");
}
