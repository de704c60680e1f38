//! Delivery: each incident's last state arrives, once where the other side cannot tell repeats, through every failure.

use std::time::Duration;

use base64::Engine as _;
use serde_json::json;

use crate::notify::receiver::{Incidents, Notifier, Revision};
use crate::notify::stand_in::{Mood, pagerduty, takes_all};
use crate::support::nats::NatsServer;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn with_pager(url: &str) -> String {
    format!("notifiers:\n  oncall: {{ pagerduty: {{ routing_key: {KEY}, url: \"{url}\" }}, timeout: 1s }}\n")
}

#[test]
fn pagerduty_gets_one_key_an_incident_from_the_page_to_its_end() {
    let (server, pager) = (NatsServer::start(), pagerduty());
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &with_pager(&pager.url()));
    notifier.start();
    let first = Revision::new("inc-0000000000000001", "critical");
    let waiting = first.clone().notify(false, "waiting_for_related");
    incidents.publish(&waiting);
    incidents.wait_until_done("oncall");
    assert!(pager.seen().is_empty(), "nobody is to be notified yet");
    let due = waiting.next().notify(true, "first_notification");
    incidents.publish(&due);
    pager.wait("the page", |seen| seen.len() == 1);
    // An acknowledgement is handed on, a revision without news is not.
    let quiet = due.next();
    incidents.publish(&quiet);
    let acknowledged = quiet.next().with("acknowledged", json!({"by": "kim"}));
    incidents.publish(&acknowledged);
    pager.wait("the acknowledgement", |seen| seen.len() == 2);
    incidents.publish(&acknowledged.resolved());
    incidents.wait_until_done("oncall");
    let seen = pager.wait("the end", |seen| seen.len() == 3);
    let actions: Vec<_> = seen.iter().map(|seen| seen.json()["event_action"].as_str().unwrap().to_string()).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    assert!(seen.iter().all(|seen| seen.json()["dedup_key"] == "inc-0000000000000001"));
    let page = seen[0].json();
    assert_eq!(page["payload"]["summary"], "Critical in production: inc-0000000000000001: checkout fails");
    assert_eq!(page["payload"]["source"], "checkout");
    assert_eq!(page["links"], json!([{"href": "https://runbooks.example.com/error-rate", "text": "Runbook"}]));
    notifier.wait_for_metric("squelch_receiver_messages_total{receiver=\"oncall\",kind=\"first\"} 1.0");
    notifier.stop();
    assert!(!notifier.log().contains(KEY), "a secret stands in no log");
}

#[test]
fn a_webhook_is_signed_and_has_one_id_a_revision() {
    let (server, hook) = (NatsServer::start(), takes_all());
    let secret = base64::engine::general_purpose::STANDARD.encode([7_u8; 32]);
    let incidents = Incidents::of(&server);
    let settings = format!(
        "notifiers:\n  hook: {{ webhook: {{ url: \"{}/hook\", secret: \"whsec_{secret}\" }}, timeout: 1s }}\n",
        hook.url()
    );
    let mut notifier = Notifier::new(&server, &settings);
    notifier.start();
    // The first try fails in a way that may have arrived: the id of the second is the same.
    hook.moods([Mood::Status(503, "down".into())]);
    let revision = Revision::new("inc-0000000000000002", "warning");
    incidents.publish(&revision);
    incidents.wait_until_done("hook");
    let seen = hook.wait("both tries", |seen| seen.len() == 2);
    for seen in &seen {
        assert_eq!(seen.header("webhook-id"), "inc-0000000000000002-1");
        let signed = [b"inc-0000000000000002-1.", seen.header("webhook-timestamp").as_bytes(), b".", &seen.body].concat();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[7; 32]);
        let signature = base64::engine::general_purpose::STANDARD.decode(&seen.header("webhook-signature")[3..]).unwrap();
        ring::hmac::verify(&key, &signed, &signature).unwrap();
    }
    assert_eq!(seen[1].json(), revision.0);
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(1), "it waits before it tries again");
}

#[test]
fn a_receiver_that_fails_gets_the_newest_state_when_it_works_again_and_is_reported() {
    let (server, pager, hook) = (NatsServer::start(), pagerduty(), takes_all());
    let incidents = Incidents::of(&server);
    let settings = format!("{}  hook: {{ webhook: {{ url: \"{}\" }}, timeout: 1s }}\n", with_pager(&pager.url()), hook.url());
    let mut notifier = Notifier::new(&server, &settings);
    notifier.start();
    // It refuses the secret: that does not go away by itself, and is reported at once.
    hook.moods([Mood::Status(401, "who are you".into())]);
    let mut revision = Revision::new("inc-0000000000000003", "critical");
    incidents.publish(&revision);
    hook.wait("the refusal", |seen| seen.len() == 1);
    for _ in 0..5 {
        revision = revision.next().notify(true, "more_entities");
        incidents.publish(&revision);
    }
    incidents.publish(&revision.resolved());
    incidents.wait_until_done("oncall");
    pager.wait("the end", |seen| seen.last().is_some_and(|seen| seen.json()["event_action"] == "resolve"));
    let alerts = incidents.alerts();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((&alerts[0]["name"], &alerts[0]["status"]), (&json!("squelch_receiver_failing"), &json!("firing")));
    assert_eq!(alerts[0]["labels"], json!({"receiver": "hook", "kind": "webhook"}));
    notifier.wait_for_metric("squelch_receiver_failing{receiver=\"hook\"} 1");
    // Somebody mends it and starts anew: the newest state alone is sent.
    notifier.stop();
    notifier.start();
    incidents.wait_until_done("hook");
    let seen = hook.wait("the newest state", |seen| seen.len() == 2);
    assert_eq!(seen[1].json()["status"], "resolved");
    assert_eq!(seen[1].json()["revision"], 7);
}

#[test]
fn a_busy_receiver_is_left_alone_for_as_long_as_it_asks() {
    let (server, hook) = (NatsServer::start(), takes_all());
    let incidents = Incidents::of(&server);
    let mut notifier =
        Notifier::new(&server, &format!("notifiers:\n  hook: {{ webhook: {{ url: \"{}\" }}, timeout: 1s }}\n", hook.url()));
    notifier.start();
    hook.moods([Mood::Busy(3)]);
    for number in 0..3 {
        incidents.publish(&Revision::new(&format!("inc-000000000000001{number}"), "warning"));
    }
    incidents.wait_until_done("hook");
    let seen = hook.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(3), "Retry-After is honoured");
}

#[test]
fn an_answer_that_is_final_gives_up_one_message_and_says_so() {
    let (server, hook) = (NatsServer::start(), takes_all());
    let incidents = Incidents::of(&server);
    let mut notifier =
        Notifier::new(&server, &format!("notifiers:\n  hook: {{ webhook: {{ url: \"{}\" }}, timeout: 1s }}\n", hook.url()));
    notifier.start();
    hook.moods([Mood::Status(422, "no such field".into())]);
    let revision = Revision::new("inc-0000000000000004", "warning");
    incidents.publish(&revision);
    incidents.wait_until_done("hook");
    notifier.wait_for_metric("squelch_receiver_given_up_total{receiver=\"hook\"} 1.0");
    assert!(notifier.log().contains("no such field"));
    assert_eq!(incidents.alerts().len(), 1);
    // The next revision is tried anew, and the alert ends.
    incidents.publish(&revision.next().notify(true, "severity_rose"));
    incidents.wait_until_done("hook");
    assert_eq!(hook.taken().len(), 1);
    let statuses: Vec<_> = incidents.alerts().iter().map(|alert| alert["status"].as_str().unwrap().to_string()).collect();
    assert_eq!(statuses, ["firing", "resolved"]);
}
