//! The users of docs/streams.md, in a server that is started with exactly that text: each does its work, and nothing that is
//! another's.

use std::process::Command;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, Context};
use async_nats::{ConnectOptions, HeaderMap};
use futures::StreamExt;
use squelch::io::nats::client::settings::{CommandsConfig, InputConfig, OutputConfig, PartitionsConfig, RejectedConfig};
use squelch::io::nats::client::streams::Streams;

use crate::live::run::{Squelch, read_stream, runtime};
use crate::support::demo::demo_files;
use crate::support::nats::NatsServer;
use crate::support::{binary, root};

fn configuration() -> String {
    let text = std::fs::read_to_string(root().join("docs/streams.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Permissions\n")).unwrap();
    section.split("```text\n").nth(1).unwrap().split("```").next().unwrap().to_string()
}

/// The password of a user, as the text has it.
fn password(user: &str) -> String {
    let text = configuration();
    let after = text.split(&format!("user: {user}, password: \"")).nth(1).unwrap();
    after.split('"').next().unwrap().to_string()
}

async fn sign_in(server: &NatsServer, user: &str) -> Context {
    let options =
        ConnectOptions::new().user_and_password(user.into(), password(user)).request_timeout(Some(Duration::from_secs(2)));
    let mut context = jetstream::new(options.connect(server.url()).await.unwrap());
    context.set_timeout(Duration::from_secs(2));
    context
}

fn sign_in_of(server: &NatsServer, user: &str) -> String {
    format!("nats: {{ servers: [\"{}\"], user: {user}, password: \"{}\" }}\n", server.url(), password(user))
}

fn denials(server: &NatsServer) -> Vec<String> {
    let log = std::fs::read_to_string(server.dir.path().join("nats.log")).unwrap();
    log.lines().filter(|line| line.contains("Violation")).map(String::from).collect()
}

async fn held(context: &Context, stream: &str) -> u64 {
    context.get_stream(stream).await.unwrap().cached_info().state.messages
}

/// Who makes the streams and buckets beforehand, once it has.
async fn operator(server: &NatsServer) -> Context {
    let operator = sign_in(server, "operator").await;
    Streams::new(&operator, 1).input(&InputConfig::default()).await.unwrap();
    Streams::new(&operator, 1).rejected(&RejectedConfig::default()).await.unwrap();
    Streams::new(&operator, 1).output(&OutputConfig::default()).await.unwrap();
    Streams::new(&operator, 1).state("SQUELCH_STATE").await.unwrap();
    Streams::new(&operator, 1).commands(&CommandsConfig::default()).await.unwrap();
    operator
}

/// One half of the demo's events, and a message that nobody can read.
async fn publish(context: &Context, half: usize) {
    let events = demo_files().0;
    let lines: Vec<&[u8]> = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    for lines in [first, second][half].chunks(100) {
        context.publish("events.mixed.demo", lines.join(&b'\n').into()).await.unwrap().await.unwrap();
    }
    context.publish("events.mixed.demo", format!("nonsense {half}").into()).await.unwrap().await.unwrap();
}

#[test]
fn everybody_does_its_work_and_nothing_else() {
    let server = NatsServer::with(&["-js"], &configuration());
    runtime().block_on(async {
        let operator = operator(&server).await;

        let collector = sign_in(&server, "collector").await;
        publish(&collector, 0).await;

        let alone = Squelch::start(&server, &(sign_in_of(&server, "squelch") + "checkpoint: { dir: off }\n"));
        wait_for(&operator, 5).await;
        assert_eq!(alone.stop(), Some(0));

        let more =
            sign_in_of(&server, "standby") + "checkpoint: { store: SQUELCH_STATE, every: 200ms }\nstandby: { lease: 1h }\n";
        let first = Squelch::start(&server, &more);
        let second = Squelch::spawn(&server, &more);
        second.wait_for("readyz", "standing by");
        let before = held(&operator, "INCIDENTS").await;
        publish(&collector, 1).await;
        wait_for(&operator, before + 5).await;
        assert_eq!(first.stop(), Some(0));
        second.wait_for("readyz", "ready\n");
        assert_eq!(second.stop(), Some(0));

        let notifier = sign_in(&server, "notifier").await;
        let wanted = pull::Config {
            durable_name: Some("notifier".into()),
            filter_subject: "incidents.production.>".into(),
            ack_policy: AckPolicy::Explicit,
            ..pull::Config::default()
        };
        let incidents = notifier.get_stream("INCIDENTS").await.unwrap();
        let consumer = incidents.create_consumer(wanted).await.unwrap();
        let mut pull = consumer.fetch().max_messages(1).messages().await.unwrap();
        let told = pull.next().await.unwrap().unwrap();
        told.ack().await.unwrap();
        assert!(told.subject.starts_with("incidents.production."));

        let told: serde_json::Value = serde_json::from_slice(&told.payload).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("squelch.yaml"), sign_in_of(&server, "explain")).unwrap();
        let explain =
            Command::new(binary()).current_dir(dir.path()).args(["explain", told["id"].as_str().unwrap()]).output().unwrap();
        assert_eq!(explain.status.code(), Some(0), "{}", String::from_utf8_lossy(&explain.stderr));
        assert_eq!(denials(&server), Vec::<String>::new(), "nobody needs more");

        let others = [
            ("collector", "incidents.production.critical.chat", "INCIDENTS"),
            ("collector", "rejected.events", "REJECTED"),
            ("collector", "events.commands.silence", "EVENTS"),
            ("collector", "commands.results.silence.x", "COMMANDS"),
            ("oncall", "events.metrics.a", "EVENTS"),
            ("oncall", "$KV.squelch_silences.x", "KV_squelch_silences"),
            ("notifier", "events.commands.silence", "EVENTS"),
            ("collector", "$KV.SQUELCH_STATE.squelch.lease", "KV_SQUELCH_STATE"),
            ("squelch", "events.metrics.a", "EVENTS"),
            ("squelch", "$KV.SQUELCH_STATE.squelch.lease", "KV_SQUELCH_STATE"),
            ("standby", "events.metrics.a", "EVENTS"),
            ("standby", "$KV.SQUELCH_STATE.another.lease", "KV_SQUELCH_STATE"),
            ("notifier", "incidents.production.critical.chat", "INCIDENTS"),
            ("notifier", "$KV.squelch_incidents.inc-1", "KV_squelch_incidents"),
            ("explain", "events.metrics.a", "EVENTS"),
            ("explain", "$KV.squelch_incidents.inc-1", "KV_squelch_incidents"),
        ];
        denied(&server, &operator, &others).await;
    });
}

/// The parts of a squelch of several processes.
#[test]
fn every_role_does_its_work_and_nothing_else() {
    let server = NatsServer::with(&["-js"], &configuration());
    runtime().block_on(async {
        let operator = operator(&server).await;
        Streams::new(&operator, 1).partials(&PartitionsConfig::default()).await.unwrap();
        let by_turns = |user: &str| sign_in_of(&server, user) + "partitions: { by: sequence }\n";
        let start = |user: &str, more: &str, role: &[&str]| Squelch::spawn_as(&server, &(by_turns(user) + more), role);
        let workers = [("worker", "1/2"), ("operator", "2/2")];
        let workers = workers.map(|(user, which)| start(user, "", &["--role", "worker", "--partition", which]));
        let stored = "checkpoint: { store: SQUELCH_STATE, every: 200ms }\nstandby: { lease: 1h }\n";
        let correlator = || start("correlator", stored, &["--role", "correlator", "--partitions", "2"]);
        let first = correlator();
        first.wait_for("metrics", "\nsquelch_leader 1\n");
        let second = correlator();
        second.wait_for("readyz", "standing by");
        publish(&operator, 0).await;
        wait_for(&operator, 5).await;
        let before = held(&operator, "INCIDENTS").await;
        assert_eq!(first.stop(), Some(0));
        publish(&operator, 1).await;
        wait_for(&operator, before + 5).await;
        assert_eq!(read_stream(&operator, "REJECTED", 2).await.len(), 2);
        assert_eq!(second.stop(), Some(0));
        assert_eq!(workers.map(Squelch::stop), [Some(0), Some(0)]);
        let alone = start("correlator", "checkpoint: { dir: state }\n", &["--role", "correlator", "--partitions", "2"]);
        alone.wait_for("metrics", "\nsquelch_leader 1\n");
        assert_eq!(alone.stop(), Some(0));
        assert_eq!(denials(&server), Vec::<String>::new(), "nobody needs more");
        let others = [
            ("worker", "incidents.production.critical.chat", "INCIDENTS"),
            ("worker", "squelch.parts.squelch.2", "SQUELCH_PARTS"),
            ("worker", "squelch.parts.squelch.rules", "SQUELCH_PARTS"),
            ("worker", "$KV.SQUELCH_STATE.squelch.lease", "KV_SQUELCH_STATE"),
            ("correlator", "squelch.parts.squelch.1", "SQUELCH_PARTS"),
            ("correlator", "rejected.events", "REJECTED"),
            ("correlator", "events.metrics.a", "EVENTS"),
        ];
        denied(&server, &operator, &others).await;
    });
}

/// What a user publishes there does not come.
async fn denied(server: &NatsServer, operator: &Context, others: &[(&'static str, &'static str, &'static str)]) {
    for &(user, subject, stream) in others {
        let (before, denied) = (held(operator, stream).await, denials(server).len());
        let context = sign_in(server, user).await;
        let client = context.client();
        client.publish_with_headers(subject, HeaderMap::new(), "mine".into()).await.unwrap();
        client.flush().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while denials(server).len() == denied {
            assert!(Instant::now() < deadline, "{user} may publish to {subject}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(held(operator, stream).await, before, "{user} published to {subject}");
    }
}

async fn wait_for(operator: &Context, incidents: u64) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while held(operator, "INCIDENTS").await < incidents {
        assert!(Instant::now() < deadline, "{} revisions came", held(operator, "INCIDENTS").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
