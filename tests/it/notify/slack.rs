//! Slack: one message an incident, edited without sound, news in its thread, and nothing twice after a crash.

use serde_json::json;

use crate::notify::receiver::{Incidents, Notifier, Revision};
use crate::notify::slack_stand_in::{TOKEN, slack};
use crate::notify::stand_in::{Mood, StandIn, takes_all};
use crate::support::nats::NatsServer;

fn settings(stand_in: &StandIn, more: &str) -> String {
    format!(
        "notifiers:\n  chat: {{ slack: {{ token: {TOKEN}, channel: \"#alerts\", url: \"{}\"{more} }}, timeout: 1s }}\n",
        stand_in.url()
    )
}

#[test]
fn one_message_is_edited_and_news_go_into_its_thread() {
    let (server, (stand_in, channel)) = (NatsServer::start(), slack());
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &settings(&stand_in, ", mention: \"<!here>\""));
    notifier.start();
    let first = Revision::new("inc-0000000000000001", "warning").with("title", json!("<b> & checkout fails"));
    incidents.publish(&first);
    stand_in.wait("the message", |seen| seen.len() == 1);
    let root = &channel.roots()[0];
    assert_eq!(root["text"], "Warning in production: &lt;b&gt; &amp; checkout fails");
    assert_eq!(root["blocks"][0]["text"]["text"], "🟠 Warning in production: <b> & checkout fails");
    assert!(!root["blocks"][1]["text"]["text"].as_str().unwrap().contains("<!here>"), "nobody is mentioned for a warning");
    // An edit makes no sound; news do, in the thread, and critical ones mention somebody.
    let quiet = first.next();
    incidents.publish(&quiet);
    stand_in.wait("the edit", |seen| seen.len() == 2);
    let worse = quiet.next().with("severity", json!("critical")).notify(true, "severity_rose");
    incidents.publish(&worse);
    stand_in.wait("the news", |seen| seen.len() == 4);
    incidents.publish(&worse.resolved());
    incidents.wait_until_done("chat");
    let methods: Vec<String> = stand_in.seen().iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(methods, ["/chat.postMessage", "/chat.update", "/chat.update", "/chat.postMessage", "/chat.update"]);
    assert_eq!((channel.roots().len(), channel.replies().len()), (1, 1));
    assert!(channel.replies()[0]["text"].as_str().unwrap().starts_with("<!here> *Critical in production"));
    assert!(channel.roots()[0]["text"].as_str().unwrap().starts_with("Resolved in production"));
    stand_in.check();
    notifier.stop();
    assert!(!notifier.log().contains(TOKEN), "a secret stands in no log");
}

#[test]
fn what_may_have_been_sent_is_looked_for_before_it_is_sent_again() {
    let (server, (stand_in, channel)) = (NatsServer::start(), slack());
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &settings(&stand_in, ""));
    notifier.start();
    // Slack takes the message, and its answer never comes.
    stand_in.moods([Mood::TakeAndHang]);
    let first = Revision::new("inc-0000000000000002", "critical");
    incidents.publish(&first);
    stand_in.wait("the message", |seen| seen.len() == 1);
    notifier.kill();
    notifier.start();
    incidents.wait_until_done("chat");
    assert_eq!(channel.roots().len(), 1, "{:?}", channel.roots());
    // The same in the thread, without a crash.
    stand_in.moods([Mood::Slow(std::time::Duration::ZERO), Mood::TakeAndHang]);
    incidents.publish(&first.next().notify(true, "more_entities"));
    incidents.wait_until_done("chat");
    assert_eq!((channel.roots().len(), channel.replies().len()), (1, 1));
    stand_in.check();
}

#[test]
fn a_message_that_somebody_deleted_is_posted_anew() {
    let (server, (stand_in, channel)) = (NatsServer::start(), slack());
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &settings(&stand_in, ""));
    notifier.start();
    let first = Revision::new("inc-0000000000000003", "critical");
    incidents.publish(&first);
    incidents.wait_until_done("chat");
    channel.clear();
    incidents.publish(&first.next().notify(true, "more_entities"));
    incidents.wait_until_done("chat");
    assert_eq!(channel.roots().len(), 1);
    stand_in.check();
}

#[test]
fn garbage_and_refusals_of_slack_are_no_success() {
    let (server, (stand_in, channel)) = (NatsServer::start(), slack());
    let incidents = Incidents::of(&server);
    let mut notifier = Notifier::new(&server, &settings(&stand_in, ""));
    notifier.start();
    let refusal = |error: &str| Mood::Status(200, json!({"ok": false, "error": error}).to_string());
    stand_in.moods([Mood::Status(200, "<html>proxy</html>".into()), refusal("internal_error"), Mood::Busy(1)]);
    incidents.publish(&Revision::new("inc-0000000000000004", "critical"));
    incidents.wait_until_done("chat");
    assert_eq!(channel.roots().len(), 1);
    assert!(incidents.alerts().is_empty(), "a short failure is nobody's business");
    // A channel that does not exist does not go away by itself.
    stand_in.moods([refusal("channel_not_found")]);
    incidents.publish(&Revision::new("inc-0000000000000005", "critical"));
    stand_in.wait("the refusal", |seen| {
        seen.last().is_some_and(|seen| seen.path == "/chat.postMessage" && channel.roots().len() == 1)
    });
    notifier.wait_for_metric("squelch_receiver_failing{receiver=\"chat\"} 1");
    assert_eq!(incidents.alerts()[0]["labels"]["receiver"], "chat");
    assert!(notifier.log().contains("channel_not_found"));
}

#[test]
fn an_incoming_webhook_gets_a_message_for_each_news() {
    let (server, stand_in) = (NatsServer::start(), takes_all());
    let incidents = Incidents::of(&server);
    let settings =
        format!("notifiers:\n  chat: {{ slack: {{ webhook: \"{}/services/T0/B0/secret\" }}, timeout: 1s }}\n", stand_in.url());
    let mut notifier = Notifier::new(&server, &settings);
    notifier.start();
    let first = Revision::new("inc-0000000000000006", "warning");
    incidents.publish(&first);
    incidents.wait_until_done("chat");
    incidents.publish(&first.next());
    incidents.wait_until_done("chat");
    incidents.publish(&first.next().resolved());
    incidents.wait_until_done("chat");
    let seen = stand_in.seen();
    assert_eq!(seen.len(), 2, "an edit is no message");
    for seen in seen {
        crate::notify::slack_stand_in::check_message(&seen.json()).unwrap();
    }
    notifier.stop();
    assert!(!notifier.log().contains("/services/"), "the address is a secret");
}
