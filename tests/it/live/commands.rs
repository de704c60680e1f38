//! Commands through a real server: they count on their own subject alone, are answered, and outlive the process that decided them.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::Context;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::live::run::{Squelch, context, read_stream, runtime};
use crate::support::binary;
use crate::support::nats::NatsServer;
use crate::support::process::Mortal;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

async fn publish(context: &Context, subject: &str, body: &Value) {
    context.publish(subject.to_string(), body.to_string().into()).await.unwrap().await.unwrap();
}

/// Sends a command and waits for its answer.
async fn command(context: &Context, id: u32, kind: &str, mut body: Value) -> Value {
    let id = format!("7d5c2f0e-3a52-5d1b-9c55-{id:012x}");
    let mut answers = context.client().subscribe(format!("commands.results.{kind}.{id}")).await.unwrap();
    context.client().flush().await.unwrap();
    body["id"] = id.into();
    body["by"] = "ann".into();
    publish(context, &format!("events.commands.{kind}"), &body).await;
    let answer = tokio::time::timeout(Duration::from_secs(60), answers.next()).await.expect("it is answered").unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

async fn alert(context: &Context, service: &str) {
    let body = json!({"ts": now_ms(), "name": "Down", "status": "firing", "severity": "critical", "service": service});
    publish(context, "events.alerts.test", &body).await;
    // Time goes on.
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        publish(context, "events.logs.test", &json!({"ts": now_ms(), "body": "all is well"})).await;
    }
}

async fn silences(context: &Context) -> Vec<Value> {
    let bucket = context.get_key_value("squelch_silences").await.unwrap();
    let mut all = Vec::new();
    let mut keys = bucket.keys().await.unwrap();
    while let Some(key) = keys.next().await {
        all.extend(bucket.get(key.unwrap()).await.unwrap().map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap()));
    }
    all
}

/// Waits for a revision that is as wanted.
async fn revision(context: &Context, wanted: &dyn Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let held = context.get_stream("INCIDENTS").await.unwrap().cached_info().state.messages;
        let stored = read_stream(context, "INCIDENTS", held as usize).await;
        let all: Vec<Value> = stored.iter().map(|message| serde_json::from_slice(&message.payload).unwrap()).collect();
        if let Some(found) = all.iter().find(|revision| wanted(revision)) {
            return found.clone();
        }
        assert!(Instant::now() < deadline, "{all:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_command_is_answered_and_outlives_its_process() {
    let server = NatsServer::start();
    let mut squelch = Mortal::new(&server, "time: { lateness: 0s, idle: 1h }\ncheckpoint: { dir: state, every: 200ms }\n");
    squelch.start();
    runtime().block_on(async {
        let context = context(&server).await;
        alert(&context, "web").await;
        let opened = revision(&context, &|revision| revision["change"] == "opened").await;
        let incident = opened["id"].as_str().unwrap().to_string();

        // Neither a field nor another subject makes a command.
        let fake = json!({"ts": now_ms(), "kind": "command", "command": "acknowledge", "by": "eve", "incident": incident});
        publish(&context, "events.metrics.commands.acknowledge", &fake).await;
        publish(&context, "events.alerts.commands", &fake).await;
        let rejected = read_stream(&context, "REJECTED", 2).await;
        assert!(rejected.iter().all(|bad| bad.headers.get("Squelch-Reason").unwrap().as_str().starts_with("kind")));

        let answer = command(&context, 1, "acknowledge", json!({"incident": incident, "comment": "on it"})).await;
        assert_eq!((&answer["accepted"], &answer["incidents"][0]["id"]), (&true.into(), &incident.as_str().into()), "{answer}");
        let revised = revision(&context, &|revision| revision["change"] == "acknowledged").await;
        assert_eq!(revised["revision"], answer["incidents"][0]["revision"]);
        assert_eq!((&revised["acknowledged"]["by"], &revised["notify"]["send"]), (&"ann".into(), &false.into()));

        let refused = command(&context, 2, "acknowledge", json!({"incident": "inc-0000000000000000"})).await;
        assert_eq!(refused["accepted"], false);
        assert!(refused["reason"].as_str().unwrap().contains("there is no incident"), "{refused}");

        let matchers = json!([{"name": "service", "value": "mail|shop", "isRegex": true, "isEqual": true}]);
        let made = command(&context, 3, "silence", json!({"matchers": matchers, "for": "2h", "comment": "moving"})).await;
        assert_eq!((&made["accepted"], &made["silence"]), (&true.into(), &made["id"]), "{made}");
        let shown = silences(&context).await;
        assert_eq!((shown.len(), &shown[0]["state"], &shown[0]["id"]), (1, &"active".into(), &made["id"]));

        squelch.kill();
        squelch.start();
        alert(&context, "shop").await;
        let silenced = revision(&context, &|revision| revision["entities"][0] == "shop").await;
        assert_eq!((&silenced["notify"]["code"], &silenced["silenced"][0]["id"]), (&"silenced".into(), &made["id"]));
        let noted = command(&context, 4, "note", json!({"incident": incident, "comment": "the disk is full"})).await;
        assert_eq!(noted["accepted"], true, "{noted}");
        let noted = revision(&context, &|revision| revision["change"] == "noted").await;
        assert_eq!((&noted["acknowledged"]["by"], &noted["notes"][0]["text"]), (&"ann".into(), &"the disk is full".into()));

        let gone = command(&context, 5, "expire", json!({"silence": made["silence"]})).await;
        assert_eq!(gone["accepted"], true, "{gone}");
        assert_eq!(silences(&context).await[0]["state"], "expired");

        // What cannot be read is rejected with its reason, as all bad input.
        publish(&context, "events.commands.silence", &json!({"by": "ann", "matcher": "a=b"})).await;
        let rejected = read_stream(&context, "REJECTED", 3).await;
        assert!(rejected[2].headers.get("Squelch-Reason").unwrap().as_str().contains("unknown field"));
    });
    squelch.stop();
}

/// Runs `squelch` with these arguments; its exit code and what it prints.
fn cli(server: &NatsServer, arguments: &[&str]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let nats = ["--nats", &server.url(), "--by", "ann"];
    let done = Command::new(binary()).current_dir(dir.path()).args(arguments).args(nats).output().unwrap();
    (done.status.code(), String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap())
}

#[test]
fn commands_from_a_shell_wait_for_their_answer() {
    let server = NatsServer::start();
    let squelch = Squelch::start(&server, "time: { lateness: 0s, idle: 1h }\ncheckpoint: { dir: off }\n");
    let incident = runtime().block_on(async {
        let context = context(&server).await;
        alert(&context, "web").await;
        let opened = revision(&context, &|revision| revision["change"] == "opened").await;
        opened["id"].as_str().unwrap().to_string()
    });
    let (code, text) = cli(&server, &["silence", "service=web", "--for", "1h", "--dry-run"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 of 1 firing alerts: nobody would be notified of it"), "{text}");
    let (code, text) = cli(&server, &["silence", "service=other", "--for", "1h", "--dry-run"]);
    assert_eq!((code, text.as_str()), (Some(0), "nothing that is open now would be silenced\n"));
    let (code, text) = cli(&server, &["ack", &incident, "--for", "1h", "--comment", "on it"]);
    assert_eq!((code, text.starts_with(&format!("done: {incident} r"))), (Some(0), true), "{text}");
    let (code, text) = cli(&server, &["ack", "inc-0000000000000000"]);
    assert_eq!((code, text.starts_with("refused: there is no incident")), (Some(1), true), "{text}");
    let (code, text) = cli(&server, &["maintain", "--node", "web", "--cron", "61 * * * *", "--duration", "1h"]);
    assert_eq!((code, text.contains("is no cron pattern")), (Some(1), true), "{text}");
    let (code, text) = cli(&server, &["maintain", "--node", "web", "--for", "1h"]);
    let silence = text.strip_prefix("done: silence ").and_then(|rest| rest.split([',', '\n']).next()).unwrap_or_default();
    assert_eq!((code, silence.len()), (Some(0), 36), "{text}");
    assert_eq!(cli(&server, &["expire", silence]).0, Some(0));
    assert_eq!(cli(&server, &["note", &incident, "the disk is full"]).0, Some(0));
    assert_eq!(squelch.stop(), Some(0));
    let (code, text) = cli(&server, &["unack", &incident, "--wait", "500ms"]);
    assert_eq!((code, text.contains("not answered yet")), (Some(2), true), "{text}");
}
