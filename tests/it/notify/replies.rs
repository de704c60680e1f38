//! What people answer in PagerDuty and Slack reaches the incident, in their name; what is not signed reaches nothing.

use ring::hmac;
use serde_json::json;

use crate::intake::rig::{Answer, Rig, request};
use crate::notify::stand_in::{pagerduty, takes_all};

const PAGERDUTY_SECRET: &str = "pd-webhook-secret";
const SLACK_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";

fn signature(secret: &str, signed: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, signed.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A webhook of PagerDuty, as its documents show them.
fn webhook(id: &str, event: &str, incident: &str) -> String {
    let user = json!({"id": "PLH1HKV", "type": "user_reference", "summary": "Kim Lee"});
    let data = json!({"id": "PGR0VU2", "type": "incident", "incident_key": incident});
    let event = json!({"id": id, "event_type": event, "resource_type": "incident", "occurred_at": "2026-03-14T02:49:00Z", "agent": user, "data": data});
    json!({ "event": event }).to_string()
}

fn press(rig: &Rig, secret: &str, action: &str, incident: &str) -> Answer {
    let pressed = json!({"action_id": action, "value": incident, "type": "button", "action_ts": "1773456430.1"});
    let payload = json!({"type": "block_actions", "user": {"id": "U1", "name": "ann"}, "actions": [pressed]});
    let body = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
    let signed = format!("v0={}", signature(secret, &format!("v0:{now}:{body}")));
    let headers = [("x-slack-request-timestamp", now.as_str()), ("x-slack-signature", signed.as_str())];
    rig.post("/replies/chat", &headers, body.as_bytes())
}

#[test]
fn who_answers_at_a_receiver_acknowledges_and_silences_in_his_name() {
    let (pager, chat) = (pagerduty(), takes_all());
    let settings = format!(
        "notifiers:\n  oncall: {{ pagerduty: {{ routing_key: 0123456789abcdef0123456789abcdef, url: \"{}\", webhook_secret: {PAGERDUTY_SECRET} }} }}\n  \
         chat: {{ slack: {{ webhook: \"{}\", signing_secret: {SLACK_SECRET} }} }}\n",
        pager.url(),
        chat.url()
    );
    let rig = Rig::start(&settings);
    let alerts = br#"[{"labels": {"alertname": "DiskFull", "severity": "critical", "service": "db", "env": "prod"}}]"#;
    assert_eq!(rig.post("/api/v2/alerts", &[("content-type", "application/json")], alerts).status, 200);
    let incident = rig.incident("DiskFull")["id"].as_str().unwrap().to_string();
    pager.wait("the page", |seen| !seen.is_empty());
    let answer = |id: &str, event: &str, secret: &str| {
        let body = webhook(id, event, &incident);
        let signed = format!("v1={}", signature(secret, &body));
        rig.post("/replies/oncall", &[("x-pagerduty-signature", &signed)], body.as_bytes())
    };
    let refused = answer("01A", "incident.acknowledged", "another");
    assert_eq!((refused.status, refused.text().contains("signature")), (401, true), "{}", refused.text());
    assert_eq!(press(&rig, "another", "acknowledge", &incident).status, 401);
    assert_eq!(rig.post("/replies/nobody", &[], b"").status, 404);
    // The service sends it twice, as it does where the first answer was lost.
    for _ in 0..2 {
        let taken = answer("01B", "incident.acknowledged", PAGERDUTY_SECRET);
        assert_eq!(taken.status, 200, "{}", taken.text());
    }
    let acknowledged = rig.revision("an acknowledgement", |revision| !revision["acknowledged"].is_null());
    assert_eq!((&acknowledged["id"], &acknowledged["acknowledged"]["by"]), (&json!(incident), &json!("Kim Lee")));
    assert_eq!(press(&rig, SLACK_SECRET, "silence_1h", &incident).status, 200);
    let silenced = rig.revision("a silence", |revision| revision["change"] == "silenced");
    assert!(silenced["silenced"].to_string().contains("ann"), "{silenced}");
    // The page was shown as acknowledged; the button for it is gone from the chat's newest message.
    pager.wait("the acknowledgement", |seen| seen.iter().any(|seen| seen.json()["event_action"] == "acknowledge"));
    let buttons = chat.seen()[0].json()["blocks"].to_string();
    assert!(
        buttons.contains("\"acknowledge\"") && buttons.contains("\"silence_1h\"") && buttons.contains(&incident),
        "{buttons}"
    );
    let metrics = crate::support::process::get(rig.squelch.http, "metrics").unwrap();
    for wanted in [
        "squelch_receiver_replies_total{receiver=\"oncall\",result=\"taken\"} 2.0",
        "squelch_receiver_replies_total{receiver=\"oncall\",result=\"refused\"} 1.0",
        "squelch_receiver_replies_total{receiver=\"chat\",result=\"taken\"} 1.0",
        "squelch_receiver_replies_total{receiver=\"chat\",result=\"refused\"} 1.0",
    ] {
        assert!(metrics.lines().any(|line| line == wanted), "{wanted} is not in\n{metrics}");
    }
    let too_large = request(rig.squelch.http, "POST", "/replies/chat", &[], &vec![b'x'; (1 << 20) + 1]);
    assert_eq!(too_large.status, 413);
}
