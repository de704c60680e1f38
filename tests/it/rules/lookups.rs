//! What lookups do beyond the queries that join them.

use serde_json::Value;
use squelch::engine::EngineParams;
use squelch::io::incident_message;

use crate::support::root;
use crate::support::runs::Scenario;

#[test]
fn alerts_and_incidents_have_the_team_that_owns_their_entity() {
    let kind = Scenario::read(&root().join("fixtures/kinds/thresholds"));
    let (revisions, _) = kind.revisions_with(&kind.lines, 1, &EngineParams::default());
    let mut teams = Vec::new();
    for revision in &revisions {
        let message: Value = serde_json::from_str(&incident_message::to_json(revision)).unwrap();
        for alert in message["alerts"].as_array().unwrap() {
            let team = |of: &Value| of.get("team").and_then(Value::as_str).map(String::from);
            teams.push((alert["entity"].as_str().unwrap().to_string(), team(alert), team(&message)));
        }
    }
    teams.sort();
    teams.dedup();
    let owned = |entity: &str| (entity.to_string(), Some("storage".to_string()), Some("storage".to_string()));
    assert_eq!(teams, [owned("db-1"), owned("db-2"), ("web-1".into(), None, None)]);
}
