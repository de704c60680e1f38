//! The notifier is killed at random moments while receivers fail in every way: each incident's last state arrives at each of them, and nothing
//! arrives twice where a person would see it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::notify::receiver::{Incidents, Notifier, Revision};
use crate::notify::slack_stand_in::{TOKEN, slack};
use crate::notify::smtp_stand_in::{MailMood, MailStandIn, header};
use crate::notify::stand_in::{Mood, StandIn, pagerduty, takes_all};
use crate::support::Rng;
use crate::support::nats::NatsServer;

const INCIDENTS: usize = 12;

/// `KILLS=1000 SEED=7 cargo nextest run notify::kills` looks harder.
fn kills() -> usize {
    std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(15)
}

#[test]
fn every_last_state_arrives_once_through_kills_and_failures() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_314);
    eprintln!("SEED={seed}");
    let mut rng = Rng(seed);
    let (server, pager, hook, mails) = (NatsServer::start(), pagerduty(), takes_all(), MailStandIn::start());
    let (chat, channel) = slack();
    let incidents = Incidents::of(&server);
    let settings = format!(
        "notifiers:\n  oncall: {{ pagerduty: {{ routing_key: 0123456789abcdef0123456789abcdef, url: \"{}\" }}, timeout: 300ms }}\n  \
         chat: {{ slack: {{ token: {TOKEN}, channel: \"#alerts\", url: \"{}\" }}, timeout: 300ms, limit: 1000/1m }}\n  \
         mail: {{ email: {{ smtp: \"smtp://127.0.0.1:{}\", tls: none, from: s@example.com, to: [a@example.com] }}, timeout: 300ms, limit: 1000/1m }}\n  \
         hook: {{ webhook: {{ url: \"{}\" }}, timeout: 300ms }}\n",
        pager.url(),
        chat.url(),
        mails.port,
        hook.url()
    );
    let mut notifier = Notifier::new(&server, &settings);
    notifier.start();
    let mut last: BTreeMap<String, Revision> = BTreeMap::new();
    let kills = kills();
    for round in 0..kills {
        for _ in 0..1 + rng.below(6) {
            let id = format!("inc-{:016x}", rng.below(INCIDENTS as u64) + 1);
            let next = match last.get(&id) {
                None => Revision::new(&id, "critical"),
                Some(old) if old.0["status"] == "resolved" => old.next().with("status", "open".into()).notify(true, "reopened"),
                Some(old) if rng.below(3) == 0 => old.resolved(),
                Some(old) if rng.below(2) == 0 => old.next().notify(true, "more_entities"),
                Some(old) => old.next(),
            };
            incidents.publish(&next);
            last.insert(id, next);
        }
        for stand_in in [&pager, &chat, &hook] {
            let mood = match rng.below(6) {
                0 => Some(Mood::Status(500, "down".into())),
                1 => Some(Mood::TakeAndHang),
                2 => Some(Mood::Slow(Duration::from_millis(rng.below(400)))),
                3 => Some(Mood::Status(503, "<html>".into())),
                _ => None,
            };
            stand_in.moods(mood);
        }
        if rng.below(3) == 0 {
            mails.moods([MailMood::Refuse("451 later")]);
        }
        // At a random moment of what it does now.
        std::thread::sleep(Duration::from_millis(rng.below(1_500)));
        notifier.kill();
        if round % 5 == 4 {
            // Two processes, of which one has the lease.
            let mut second = Notifier::new(&server, &settings);
            second.spawn();
            notifier.spawn();
            std::thread::sleep(Duration::from_millis(rng.below(1_500)));
            second.kill();
        } else {
            notifier.spawn();
        }
    }
    // What is down longer is asked ever more rarely: the failures that nobody has met yet are no part of this test.
    [&pager, &chat, &hook].into_iter().for_each(StandIn::recover);
    mails.recover();
    for receiver in ["oncall", "chat", "mail", "hook"] {
        incidents.wait_until_done(receiver);
    }
    let open = |revision: &Revision| revision.0["status"] == "open";
    // PagerDuty: the last event of each key says whether it is open. Repeats have the same key and open nothing.
    let mut pages: BTreeMap<String, Value> = BTreeMap::new();
    for seen in pager.taken() {
        let event = seen.json();
        pages.insert(event["dedup_key"].as_str().unwrap().to_string(), event);
    }
    for (id, revision) in &last {
        match pages.get(id) {
            Some(event) => {
                assert_eq!(event["event_action"] == "trigger", open(revision), "{id} at PagerDuty: {event} {revision:?}")
            }
            // It was over before it could be paged.
            None => assert!(!open(revision), "{id} never came to PagerDuty"),
        }
    }
    // Slack: one message an incident, which shows the last state, and no reply twice.
    let roots = channel.roots();
    let of = |message: &Value| message["metadata"]["event_payload"]["incident"].as_str().unwrap().to_string();
    let posted: BTreeSet<String> = roots.iter().map(of).collect();
    assert_eq!(posted.len(), roots.len(), "a message twice: {roots:#?}");
    for root in &roots {
        let revision = &last[&of(root)];
        let title = root["text"].as_str().unwrap();
        assert_eq!(title.starts_with("Critical"), open(revision), "{title}: {revision:?}");
    }
    let replies = channel.replies();
    let news: BTreeSet<String> = replies.iter().map(|reply| reply["metadata"]["event_payload"].to_string()).collect();
    assert_eq!(news.len(), replies.len(), "a reply twice");
    assert!(last.iter().all(|(id, _)| posted.contains(id)), "every incident was posted");
    // Mail: each revision at most once but for copies with the same id, and the last state of each incident.
    let mut state_of_mail: BTreeMap<String, String> = BTreeMap::new();
    for mail in mails.mails() {
        let id = header(&mail, "Message-ID").unwrap();
        let incident = id.trim_start_matches('<').split('.').next().unwrap().to_string();
        state_of_mail.insert(incident, mail);
    }
    for (id, revision) in &last {
        let mail = &state_of_mail[id];
        assert_eq!(mail.contains("Resolved in production"), !open(revision), "{id} by mail: {mail}");
    }
    // Webhooks: the last state by the id of its revision.
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for seen in hook.taken() {
        let body = seen.json();
        let newest = newest.entry(body["id"].as_str().unwrap().to_string()).or_default();
        *newest = (*newest).max(body["revision"].as_u64().unwrap());
    }
    for (id, revision) in &last {
        if !open(revision) {
            assert_eq!(Some(&revision.0["revision"].as_u64().unwrap()), newest.get(id), "{id} by webhook");
        }
    }
    let copies =
        mails.mails().len() - mails.mails().iter().filter_map(|mail| header(mail, "Message-ID")).collect::<BTreeSet<_>>().len();
    eprintln!("{kills} kills: copies of mails with the same id: {copies}, PagerDuty keys {}", pages.len());
    for stand_in in [&pager, &chat, &hook] {
        stand_in.check();
    }
}
