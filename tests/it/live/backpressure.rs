//! Whatever is slow or full makes lag in the stream, says so, loses nothing, and fills no memory: the server that takes results, the
//! disk that takes checkpoints, a rule.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config as StreamConfig, DiscardPolicy};

use crate::support::nats::NatsServer;
use crate::support::process::{Mortal, context, get, metric, read_stream, runtime};

const START_MS: i64 = 1_773_446_400_000;
const EVENTS_A_MESSAGE: usize = 200;
const QUICK: &str =
    "time: { lateness: 0s, idle: 1h }\nnotify: { wait: 0s }\ncheckpoint: { dir: state, every: 200ms }\nrules: rules\n";

/// A squelch with one rule: something bad, said by one event.
fn one_rule(server: &NatsServer) -> Mortal {
    let squelch = Mortal::new(server, QUICK);
    write_rule(&squelch, "panic", "instant: true\n---*/\nSELECT env, service, 1 AS value FROM logs WHERE body = 'panic'");
    squelch
}

fn write_rule(squelch: &Mortal, name: &str, rest: &str) {
    let rules = squelch.dir.path().join("rules");
    std::fs::create_dir_all(&rules).unwrap();
    std::fs::write(rules.join(format!("{name}.sql")), format!("/*---\nrule: {name}\nseverity: critical\n{rest}")).unwrap();
}

async fn say(context: &Context, at_s: i64, body: &str) {
    let ts = START_MS + at_s * 1000;
    let event = format!(r#"{{"ts":{ts},"body":"{body}","service":"chat","env":"production"}}"#);
    context.publish("events.logs.a", event.into()).await.unwrap().await.unwrap();
}

/// So many messages that no rule is interested in, as fast as the server takes them.
async fn fill(context: &Context, messages: usize) {
    let line = format!(r#"{{"ts":{START_MS},"body":"fine, thank you","service":"chat","env":"production"}}"#);
    let message = vec![line; EVENTS_A_MESSAGE].join("\n");
    let mut acks = Vec::new();
    for number in 0..messages {
        acks.push(context.publish("events.logs.a", message.clone().into()).await.unwrap());
        if number % 200 == 199 {
            futures::future::join_all(acks.drain(..).map(IntoFuture::into_future))
                .await
                .into_iter()
                .for_each(|ack| drop(ack.unwrap()));
        }
    }
    futures::future::join_all(acks.into_iter().map(IntoFuture::into_future)).await.into_iter().for_each(|ack| drop(ack.unwrap()));
}

fn resident_mb(squelch: &Mortal) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", squelch.id())).unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kilobytes.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// The lag once it no longer changes: everything between reading and storing is full.
async fn full(squelch: &Mortal, at_least: f64) -> f64 {
    let (mut last, mut same) = (-1.0, 0);
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let now = metric(squelch.http, "squelch_input_pending_messages");
        same = if now == last { same + 1 } else { 0 };
        if same == 3 && now >= at_least {
            return now;
        }
        last = now;
    }
    panic!("the lag never settles at {at_least} or more, it is {last}: {}", squelch.log());
}

/// With the way out shut, what is published stays in the stream: the lag grows by exactly that, and memory does not. A million
/// events and more, of which a squelch that kept them would hold some hundred megabytes.
async fn only_the_stream_grows(squelch: &Mortal, context: &Context) {
    fill(context, 3_500).await;
    let before = full(squelch, 1.0).await;
    let held = resident_mb(squelch);
    fill(context, 3_000).await;
    let after = full(squelch, before + 1.0).await;
    assert_eq!(after - before, 3_000.0, "not another message was taken in: {}", squelch.log());
    assert!(resident_mb(squelch) < held + 16.0, "{held:.0} MB became {:.0} MB", resident_mb(squelch));
    assert!(metric(squelch.http, "squelch_input_unstored_messages") > 0.0);
}

/// The stream of incidents is full and refuses more, then somebody makes room.
#[test]
fn a_full_stream_of_incidents_makes_lag() {
    let server = NatsServer::start();
    let mut squelch = one_rule(&server);
    runtime().block_on(async {
        let context = context(&server).await;
        let full_stream = |max_bytes| StreamConfig {
            name: "INCIDENTS".into(),
            subjects: vec!["incidents.>".into()],
            max_bytes,
            discard: DiscardPolicy::New,
            ..Default::default()
        };
        context.create_stream(full_stream(100)).await.unwrap();
        squelch.start();
        say(&context, 0, "panic").await;
        say(&context, 2, "nothing").await;
        only_the_stream_grows(&squelch, &context).await;
        let why = squelch.wait_for("readyz", "cannot store results since");
        assert!(why.contains("503") && why.contains("a revision: ") && why.contains("maximum bytes exceeded"), "{why}");
        context.update_stream(full_stream(-1)).await.unwrap();
        squelch.wait_for("readyz", "200 OK");
        squelch.wait_for("metrics", "squelch_input_pending_messages 0");
        squelch.wait_for("metrics", &format!("squelch_events_total {}", 6_500 * EVENTS_A_MESSAGE + 2));
        assert_eq!(
            metric(squelch.http, "squelch_input_consumers_recreated_total"),
            0.0,
            "what was asked for was kept: {}",
            squelch.log()
        );
        assert_eq!(read_stream(&context, "INCIDENTS", 1).await.len(), 1);
        squelch.wait_for("metrics", "squelch_input_unstored_messages 0");
        squelch.stop();
    });
}

fn state(squelch: &Mortal, name: &str) -> PathBuf {
    squelch.dir.path().join("state").join(name)
}

fn newest(squelch: &Mortal) -> Vec<u8> {
    std::fs::read(state(squelch, "squelch.checkpoint")).unwrap()
}

/// A disk that takes minutes to write: here a pipe that nobody reads. What events decide needs no checkpoint and goes on; other rules
/// need one, and all that follows from them waits.
#[test]
fn a_disk_that_hangs_holds_up_what_cannot_be_replayed() {
    let server = NatsServer::start();
    let mut squelch = one_rule(&server);
    runtime().block_on(async {
        let context = context(&server).await;
        squelch.start();
        squelch.wait_for("metrics", "squelch_checkpoints_total 1");
        let (pipe, kept) = (state(&squelch, "squelch.checkpoint.writing"), newest(&squelch));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for at_s in 0..3 {
            say(&context, at_s, "nothing").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let why = squelch.wait_for("readyz", "cannot keep a checkpoint since");
        assert!(why.contains("503") && why.contains("a restart would go on from the one before"), "{why}");
        say(&context, 3, "panic").await;
        say(&context, 5, "nothing").await;
        assert_eq!(read_stream(&context, "INCIDENTS", 1).await.len(), 1, "results go out");
        squelch.wait_for("metrics", "squelch_input_pending_messages 0");
        write_rule(&squelch, "another", "instant: true\n---*/\nSELECT env, service, 1 AS value FROM logs WHERE body = 'help'");
        squelch.wait_for("metrics", "squelch_rule_reloads_total{result=\"ok\"} 1");
        only_the_stream_grows(&squelch, &context).await;
        squelch.wait_for("readyz", "results wait for it");
        assert!(newest(&squelch) == kept, "the one before serves");
        // The disk answers at last, with an error: a pipe cannot be brought to the disk.
        drop(tokio::task::spawn_blocking(move || std::fs::read(pipe)).await.unwrap().unwrap());
        squelch.wait_for("metrics", "squelch_checkpoint_failures_total 1");
        squelch.wait_for("readyz", "200 OK");
        squelch.wait_for("metrics", &format!("squelch_events_total {}", 6_500 * EVENTS_A_MESSAGE + 5));
        squelch.wait_for("metrics", "squelch_input_unstored_messages 0");
        assert_eq!(
            metric(squelch.http, "squelch_input_consumers_recreated_total"),
            0.0,
            "what was asked for was kept: {}",
            squelch.log()
        );
        for at_s in 10.. {
            assert!(at_s < 100, "no checkpoint is kept any more: {}", squelch.log());
            say(&context, at_s, "nothing").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            if newest(&squelch) != kept {
                break;
            }
        }
        squelch.stop();
    });
}

/// Tries until it works: squelch may be writing just now.
async fn insist(mut what: impl FnMut() -> std::io::Result<()>) {
    while what().is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A disk that takes nothing fails checkpoints and nothing else: the one before stays, results go out, and a squelch that is killed
/// meanwhile goes on from it. With room again, there is a newer one.
#[test]
fn a_full_disk_fails_checkpoints_alone() {
    let server = NatsServer::start();
    let mut squelch = one_rule(&server);
    runtime().block_on(async {
        let context = context(&server).await;
        squelch.start();
        squelch.wait_for("metrics", "squelch_checkpoints_total 1");
        let writing = state(&squelch, "squelch.checkpoint.writing");
        // No file can be written where a folder stands.
        insist(|| std::fs::create_dir(&writing)).await;
        let kept = newest(&squelch);
        for failures in 1..4 {
            say(&context, 10 * failures, "panic").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            squelch.wait_for("metrics", &format!("squelch_events_total {failures}"));
        }
        assert!(metric(squelch.http, "squelch_checkpoint_failures_total") >= 2.0);
        assert!(squelch.log().contains("the one before counts. Is the disk full?"), "{}", squelch.log());
        assert!(get(squelch.http, "readyz").unwrap().contains("200 OK"), "results go out");
        assert!(!read_stream(&context, "INCIDENTS", 1).await.is_empty());
        assert!(newest(&squelch) == kept, "what was kept is untouched");
        squelch.kill();
        squelch.start();
        squelch.wait_for("metrics", "squelch_events_total 3");
        assert!(squelch.log().contains("resumed=true"), "{}", squelch.log());
        std::fs::remove_dir(&writing).unwrap();
        squelch.wait_for("metrics", "squelch_checkpoint_age_seconds 0");
        assert!(newest(&squelch) != kept, "there is room again");
        // The kernel's own full device says what a full disk says.
        insist(|| std::os::unix::fs::symlink(Path::new("/dev/full"), &writing)).await;
        say(&context, 40, "nothing").await;
        while !squelch.log().contains("No space left on device") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(squelch.log().contains("squelch.checkpoint.writing: No space left on device"), "{}", squelch.log());
        squelch.wait_for("metrics", "squelch_events_total 4");
        squelch.stop();
    });
}

/// A limit of the file size (`ulimit -f`) is as a full disk, of checkpoints and of the log: the system's signal ends nothing, and a line
/// that cannot be logged takes no thread along.
#[test]
fn a_limit_of_the_file_size_fails_checkpoints_alone() {
    let server = NatsServer::start();
    let mut squelch = one_rule(&server);
    let limit = |squelch: &Mortal, bytes: &str| {
        let id = squelch.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &id, &format!("--fsize={bytes}")]).status().unwrap().success());
    };
    runtime().block_on(async {
        let context = context(&server).await;
        squelch.start();
        say(&context, 0, "nothing").await;
        squelch.wait_for("metrics", "squelch_events_total 1");
        squelch.wait_for("metrics", "squelch_checkpoints_total");
        tokio::time::sleep(Duration::from_millis(500)).await;
        limit(&squelch, "64:unlimited");
        let (kept, said) = (newest(&squelch), squelch.log());
        assert!(kept.len() > 64);
        let failed = || metric(squelch.http, "squelch_checkpoint_failures_total");
        for at_s in 1.. {
            assert!(at_s < 100, "no checkpoint fails");
            say(&context, at_s * 10, "panic").await;
            squelch.wait_for("metrics", &format!("squelch_events_total {}", at_s + 1));
            if failed() >= 3.0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(newest(&squelch) == kept, "what was kept is untouched");
        assert_eq!(squelch.log(), said, "nothing more could be logged");
        assert!(get(squelch.http, "readyz").unwrap().contains("200 OK"), "results go out");
        assert!(!read_stream(&context, "INCIDENTS", 1).await.is_empty());
        limit(&squelch, "unlimited:unlimited");
        let before = failed();
        say(&context, 5_000, "panic").await;
        squelch.wait_for("metrics", "squelch_checkpoint_age_seconds 0");
        for at_s in 0.. {
            assert!(at_s < 100, "no checkpoint is kept any more: {}", squelch.log());
            say(&context, 5_001 + at_s, "nothing").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            if newest(&squelch) != kept {
                break;
            }
        }
        assert!(failed() <= before + 1.0);
        squelch.stop();
    });
}

/// A rule that takes long: what is read and not yet decided shows, and squelch is as ready as before.
#[test]
fn a_slow_rule_shows_as_lag() {
    let server = NatsServer::start();
    let mut squelch = Mortal::new(&server, QUICK);
    let grouped = "(SELECT host, sum(value) AS v FROM metrics WHERE name = 'm' GROUP BY host)";
    let slow = format!(
        "window: 10m\nevery: 10s\n---*/\nSELECT a.host AS host, 1 AS value FROM {grouped} AS a JOIN {grouped} AS b ON a.v + 1 < b.v"
    );
    write_rule(&squelch, "slow", &slow);
    runtime().block_on(async {
        let context = context(&server).await;
        squelch.start();
        let event =
            |at_s: i64, host: usize| format!(r#"{{"ts":{},"name":"m","value":1,"host":"host-{host}"}}"#, START_MS + at_s * 1000);
        let hosts: Vec<String> = (0..1_500).map(|host| event(0, host)).collect();
        context.publish("events.metrics.a", hosts.join("\n").into()).await.unwrap().await.unwrap();
        for tick in 1..20 {
            context.publish("events.metrics.a", event(tick * 10, 0).into()).await.unwrap().await.unwrap();
        }
        squelch.wait_for("metrics", "squelch_input_pending_messages 0");
        let (mut most, mut ready) = (0.0_f64, true);
        while metric(squelch.http, "squelch_events_total") < 1_519.0 {
            most = most.max(metric(squelch.http, "squelch_input_unstored_messages"));
            ready &= get(squelch.http, "readyz").unwrap().contains("200 OK");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(most >= 1.0, "nothing was ever under way");
        assert!(ready, "a slow rule is no reason to take squelch away");
        squelch.wait_for("metrics", "squelch_input_unstored_messages 0");
        squelch.stop();
    });
}
