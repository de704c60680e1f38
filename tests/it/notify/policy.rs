//! Who is notified, and when: escalation, quiet hours, digests; and the commands that show it.

use std::process::{Command, Output};

use serde_json::json;

use crate::notify::receiver::{Incidents, Notifier, Revision};
use crate::notify::stand_in::{pagerduty, takes_all};
use crate::support::binary;
use crate::support::nats::NatsServer;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn squelch(notifier: &Notifier, args: &[&str]) -> Output {
    Command::new(binary()).current_dir(notifier.dir.path()).args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).to_string() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_escalation_waits_and_an_acknowledgement_ends_it() {
    let (server, chat, boss) = (NatsServer::start(), takes_all(), takes_all());
    let incidents = Incidents::of(&server);
    let settings = format!(
        "notifiers:\n  chat: {{ webhook: {{ url: \"{}\" }} }}\n  boss: {{ webhook: {{ url: \"{}\" }} }}\n\
         routes:\n  - {{ to: [chat], escalate: [{{ after: 3s, to: [boss] }}] }}\n",
        chat.url(),
        boss.url()
    );
    let mut notifier = Notifier::new(&server, &settings);
    notifier.start();
    let (ignored, seen) = (Revision::new("inc-0000000000000001", "critical"), Revision::new("inc-0000000000000002", "critical"));
    incidents.publish(&ignored);
    incidents.publish(&seen);
    incidents.wait_until_done("boss");
    incidents.publish(&seen.next().with("acknowledged", json!({"by": "kim", "at": "2026-03-14T02:48:00Z"})));
    assert!(boss.seen().is_empty(), "it is not time yet");
    // What waits survives a crash.
    notifier.kill();
    notifier.start();
    // A newer revision does not begin the wait anew.
    incidents.publish(&ignored.next());
    let escalated = boss.wait("the escalation", |seen| !seen.is_empty());
    assert_eq!(
        (escalated[0].json()["id"].clone(), escalated[0].json()["revision"].clone()),
        (json!("inc-0000000000000001"), json!(2))
    );
    incidents.publish(&ignored.next().resolved());
    boss.wait("the end", |seen| seen.len() == 2);
    assert_eq!(chat.taken().len(), 3, "{:?}", chat.taken());
    notifier.wait_for_metric("squelch_receiver_silent_total{receiver=\"boss\",reason=\"acknowledged\"} 1.0");
}

#[test]
fn what_is_over_the_limit_comes_in_one_digest() {
    let (server, hook) = (NatsServer::start(), takes_all());
    let incidents = Incidents::of(&server);
    let mut notifier =
        Notifier::new(&server, &format!("notifiers:\n  hook: {{ webhook: {{ url: \"{}\" }}, limit: 3/12s }}\n", hook.url()));
    notifier.start();
    for number in 0..20 {
        incidents.publish(&Revision::new(&format!("inc-{number:016x}"), "warning"));
    }
    incidents.wait_until_done("hook");
    notifier.wait_for_metric("squelch_receiver_waiting{receiver=\"hook\"} 0");
    let seen = hook.taken();
    let digests: Vec<_> = seen.iter().map(|seen| seen.json()).filter(|body| body["notify"]["code"] == "digest").collect();
    let mut named: Vec<String> = digests
        .iter()
        .flat_map(|digest| digest["incidents"].as_array().unwrap().clone())
        .map(|id| id.as_str().unwrap().to_string())
        .collect();
    named.extend(seen.iter().map(|seen| seen.json()["id"].as_str().unwrap().to_string()).filter(|id| id.starts_with("inc-")));
    named.sort();
    let wanted: Vec<String> = (0..20).map(|number| format!("inc-{number:016x}")).collect();
    assert_eq!(named, wanted, "each incident once");
    assert!(seen.len() < 10, "{} messages", seen.len());
}

#[test]
fn warnings_wait_for_the_end_of_the_quiet_hours_and_critical_ones_do_not() {
    let (server, hook) = (NatsServer::start(), takes_all());
    let incidents = Incidents::of(&server);
    // All day but for a minute at noon of another zone: whenever this test runs, it is quiet, or it waits for a minute.
    let settings = format!(
        "time_zone: Asia/Seoul\nnotifiers:\n  hook: {{ webhook: {{ url: \"{}\" }}, quiet: {{ from: \"00:00\", to: \"23:59\" }} }}\n",
        hook.url()
    );
    let mut notifier = Notifier::new(&server, &settings);
    notifier.start();
    incidents.publish(&Revision::new("inc-0000000000000001", "critical"));
    hook.wait("the page", |seen| seen.len() == 1);
    let quiet = Revision::new("inc-0000000000000002", "warning");
    incidents.publish(&quiet);
    incidents.wait_until_done("hook");
    if hook.seen().len() == 1 {
        notifier.wait_for_metric("squelch_receiver_waiting{receiver=\"hook\"} 1");
        // It gets worse: that cannot wait.
        incidents.publish(&quiet.next().with("severity", json!("critical")).notify(true, "severity_rose"));
        hook.wait("the worse one", |seen| seen.len() == 2);
    }
}

#[test]
fn a_drill_reports_who_was_reached_after_how_long() {
    let (server, pager, hook) = (NatsServer::start(), pagerduty(), takes_all());
    let _incidents = Incidents::of(&server);
    let settings = format!(
        "notifiers:\n  oncall: {{ pagerduty: {{ routing_key: {KEY}, url: \"{}\" }} }}\n  hook: {{ webhook: {{ url: \"{}\" }} }}\n\
         routes:\n  - {{ match: {{ severity: critical }}, to: [oncall] }}\n  - {{ to: [hook] }}\n",
        pager.url(),
        hook.url()
    );
    let mut notifier = Notifier::new(&server, &settings);
    notifier.start();
    let done = squelch(&notifier, &["notify", "--drill", "--env", "production"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    assert!(
        text(&done).contains("oncall: reached after") && text(&done).contains("hook: no route leads to it"),
        "{}",
        text(&done)
    );
    let seen = pager.wait("the end of the drill", |seen| seen.len() == 2);
    assert!(seen[0].json()["payload"]["summary"].as_str().unwrap().contains("[DRILL]"));
    assert_eq!(seen[1].json()["event_action"], "resolve");
}

#[test]
fn route_explain_names_each_line_and_preview_shows_no_secret() {
    let server = NatsServer::start();
    let incidents = Incidents::of(&server);
    let settings = format!(
        "notifiers:\n  oncall: {{ pagerduty: {{ routing_key: {KEY} }} }}\n  chat: {{ slack: {{ webhook_file: no/such/file }} }}\n  \
         hook: {{ webhook: {{ url: \"https://example.com/hook\", secret_env: NO_SUCH_VARIABLE }} }}\n\
         routes:\n  - {{ match: {{ severity: critical, env: \"prod*\" }}, to: [oncall, chat], escalate: [{{ after: 10m, to: [hook] }}] }}\n  \
         - {{ match: {{ team: payments }}, to: [hook] }}\n"
    );
    let notifier = Notifier::new(&server, &settings);
    let explain = |what: &[&str]| squelch(&notifier, &[&["route", "--explain"], what].concat());
    let done = explain(&["env=production", "severity=critical"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    assert_eq!(
        text(&done),
        "line 9: matches: oncall, chat at once; hook after 10m unless acknowledged\n\
         => chat at once\n=> oncall at once\n=> hook after 10m unless acknowledged\n"
    );
    let done = explain(&["env=staging", "severity=warning", "team=search"]);
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(
        text(&done),
        "line 9: no: env is staging, not prod*\nline 10: no: no alert has team payments\n=> nobody is notified\n"
    );
    incidents.publish(&Revision::new("inc-0000000000000001", "warning"));
    let done = explain(&["inc-0000000000000001"]);
    assert!(text(&done).ends_with("line 10: matches: hook at once\n=> hook at once\n"), "{}", text(&done));
    incidents.publish(&Revision::new("inc-0000000000000002", "critical"));
    let done = squelch(&notifier, &["notify", "--preview", "inc-0000000000000002"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let shown = text(&done);
    for wanted in [
        "# oncall (pagerduty): at once",
        "POST https://events.pagerduty.com/v2/enqueue",
        "\"routing_key\": \"(hidden)\"",
        "# hook (webhook): after 10m unless acknowledged",
        "webhook-signature: (hidden)",
        "# chat (slack): at once",
    ] {
        assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
    }
    assert!(!shown.contains(KEY));
    // A real start reads the secrets, and says what is wrong with each, with its place.
    let done = squelch(&notifier, &["notify"]);
    assert_eq!(done.status.code(), Some(2));
    let wrong = text(&done);
    assert!(
        wrong.contains("no/such/file") && wrong.contains("squelch.yaml:6:") && wrong.contains("NO_SUCH_VARIABLE is not set"),
        "{wrong}"
    );
}
