//! `squelch run` notifies by itself: the demo's outage from the events to the pager, and no request over TLS that cannot be trusted.

use std::collections::BTreeSet;

use serde_json::Value;
use squelch::model::time::parse_rfc3339;

use crate::notify::receiver::{Incidents, Notifier, Revision};
use crate::notify::stand_in::{pagerduty, takes_all};
use crate::support::demo::demo_files;
use crate::support::nats::NatsServer;
use crate::support::process::{Squelch, context, replayed, runtime};

const LINES_A_MESSAGE: usize = 200;

#[test]
fn the_demo_pages_for_its_critical_incidents_and_for_no_other() {
    let (server, pager) = (NatsServer::start(), pagerduty());
    let settings = format!(
        "notifiers:\n  oncall: {{ pagerduty: {{ routing_key: 0123456789abcdef0123456789abcdef, url: \"{}\" }} }}\n",
        pager.url()
    );
    let squelch = Squelch::start(&server, &format!("time: {{ idle: 1h }}\n{settings}"));
    squelch.wait_for("metrics", "squelch_receiver_failing{receiver=\"oncall\"} 0");
    let revisions: Vec<Value> = replayed().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_page = |revision: &&Value| {
        revision["severity"] == "critical" && revision["notify"]["send"] == true && revision["status"] == "open"
    };
    let critical: BTreeSet<String> = revisions.iter().filter(is_page).map(|page| page["id"].as_str().unwrap().into()).collect();
    let first = revisions.iter().find(is_page).expect("the demo has a critical incident");
    // The events end while that incident lasts: what is over before its page could be sent pages nobody.
    let until = parse_rfc3339(first["updated_at"].as_str().unwrap()).unwrap() + 30_000;
    runtime().block_on(async {
        let context = context(&server).await;
        let events = demo_files().0;
        let lines = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<&[u8]> = lines.filter(|line| time_of(line) <= until).collect();
        for block in lines.chunks(LINES_A_MESSAGE) {
            context.publish("events.mixed.demo", block.join(&b'\n').into()).await.unwrap().await.unwrap();
        }
    });
    let seen = pager.wait("the page", |seen| seen.iter().any(|seen| seen.json()["dedup_key"] == first["id"]));
    for seen in seen {
        let key = seen.json()["dedup_key"].as_str().unwrap().to_string();
        assert!(critical.contains(&key), "{key} is paged, of {critical:?}");
    }
    assert_eq!(squelch.stop(), Some(0));
}

fn time_of(line: &[u8]) -> i64 {
    let event: Value = serde_json::from_slice(line).unwrap();
    event["ts"].as_i64().or_else(|| parse_rfc3339(event["ts"].as_str()?)).unwrap()
}

#[test]
fn a_receiver_that_does_not_speak_tls_gets_nothing() {
    let (server, plain) = (NatsServer::start(), takes_all());
    let incidents = Incidents::of(&server);
    let url = plain.url().replace("http://", "https://");
    let mut notifier =
        Notifier::new(&server, &format!("notifiers:\n  hook: {{ webhook: {{ url: \"{url}/secret-path\" }}, timeout: 1s }}\n"));
    notifier.start();
    incidents.publish(&Revision::new("inc-0000000000000001", "critical"));
    notifier.wait_for_metric("squelch_receiver_failing{receiver=\"hook\"} 1");
    assert!(plain.seen().is_empty());
    assert!(!notifier.log().contains("secret-path"), "{}", notifier.log());
}
