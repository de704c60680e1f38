//! squelch is killed again and again while a publisher goes on: subscribers get what they would have got from one that lived.

use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use squelch::process::demo_files;

use crate::live::{context, read_stream, replayed, runtime, spawn};
use crate::support::Dice;
use crate::support::nats::{NatsServer, free_port};

const LINES_A_MESSAGE: usize = 50;

/// `CHAOS_KILLS=50 cargo test --test it chaos` is more patient; `CHAOS_SEED` repeats a run's moments, as far as a machine can.
fn from_env(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

async fn publish(context: Context, every: Duration) {
    let events = demo_files().0;
    let lines: Vec<&[u8]> = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    for lines in lines.chunks(LINES_A_MESSAGE) {
        context.publish("events.mixed.demo", lines.join(&b'\n').into()).await.unwrap().await.unwrap();
        tokio::time::sleep(every).await;
    }
}

async fn until_it_reads(dir: &tempfile::TempDir) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let log = || std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    while !log().contains("reading events") {
        assert!(Instant::now() < deadline, "it never reads: {}", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn kills_at_any_moment_change_nothing() {
    let kills = from_env("CHAOS_KILLS", 12);
    let seed = from_env("CHAOS_SEED", u64::from(std::process::id()));
    let dice = &mut Dice(seed);
    let server = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let more = "time: { idle: 1h }\ncheckpoint: { dir: state, every: 200ms }\n";
    let (http, want) = (free_port(), replayed());
    let runtime = runtime();
    let mut resumed = 0;
    runtime.block_on(async {
        let context = context(&server).await;
        let mut running = spawn(&dir, &server.url(), http, more);
        // The stream is squelch's to make.
        while context.get_stream("EVENTS").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let messages = demo_files().0.split(|byte| *byte == b'\n').count() / LINES_A_MESSAGE;
        let every = Duration::from_secs(2 * kills) / messages as u32;
        let publishing = tokio::spawn(publish(context.clone(), every));
        for kill in 0..kills {
            // Every other time it may die while it starts.
            if kill % 2 == 0 {
                until_it_reads(&dir).await;
            }
            tokio::time::sleep(Duration::from_millis(dice.below(1_500))).await;
            running.kill().unwrap();
            running.wait().unwrap();
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
            resumed += usize::from(log.contains("resumed=true"));
            running = spawn(&dir, &server.url(), http, more);
        }
        publishing.await.unwrap();
        let got = read_stream(&context, "INCIDENTS", want.len()).await;
        running.kill().unwrap();
        running.wait().unwrap();
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        // A replay ends with its last event; live, the watermark still waits for what may come late.
        assert!(got.len() + 3 >= want.len(), "{} of {} revisions came, seed {seed}: {log}", got.len(), want.len());
        assert!(got.len() <= want.len(), "{} revisions came where {} should, seed {seed}", got.len(), want.len());
        for (at, (message, line)) in got.iter().zip(&want).enumerate() {
            assert_eq!(std::str::from_utf8(&message.payload).unwrap(), line, "revision {at}, seed {seed}");
        }
    });
    assert!(resumed * 3 > kills as usize, "only {resumed} of {kills} went on from a checkpoint, seed {seed}");
}
