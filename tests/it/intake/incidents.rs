//! What is posted becomes an incident: the whole way, from a sender's request to the message that a notifier reads.

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
fn an_alert_of_no_system() {
    let alert = json!({"ts": 1_773_456_430_000_u64, "name": "ChatDown", "severity": "critical", "service": "chat"});
    becomes_an_incident("/events/alerts", &alert, "ChatDown", "chat");
}
