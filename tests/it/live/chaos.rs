//! squelch and the server beside it are killed again and again, consumers are deleted and messages stolen, while a publisher goes
//! on: subscribers get what they would have got if nothing had happened.
//!
//! `CHAOS_KILLS=50 cargo test --test it chaos` is more patient; `CHAOS_SEED` repeats a run's moments, as far as a machine can.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::{self, Context};
use futures::StreamExt;
use squelch::io::nats::client::settings::InputConfig;
use squelch::io::nats::client::streams::Streams;

use crate::support::demo::demo_files;
use crate::support::nats::NatsServer;
use crate::support::process::{Mortal, context, get, metric, read_stream, replayed, runtime, the_alerts_are_published};
use crate::support::{Rng, from_env};

const LINES_A_MESSAGE: usize = 50;
const OFTEN: &str = "time: { idle: 1h }\ncheckpoint: { dir: state, every: 200ms }\n";

fn messages() -> Vec<Vec<u8>> {
    let events = demo_files().0;
    let lines: Vec<&[u8]> = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    lines.chunks(LINES_A_MESSAGE).map(|lines| lines.join(&b'\n')).collect()
}

/// Publishes the demo as a careful collector does: each message has an id, and is tried again until the server has it.
async fn publish(mut context: Context, every: Duration) {
    context.set_timeout(Duration::from_millis(500));
    for (number, message) in messages().into_iter().enumerate() {
        loop {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", number.to_string().as_str());
            let sent = context.publish_with_headers("events.mixed.demo", headers, message.clone().into()).await;
            if let Ok(ack) = sent
                && ack.await.is_ok()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(every).await;
    }
}

/// A server or some, a squelch and a publisher of the demo.
struct Chaos {
    servers: Vec<NatsServer>,
    squelch: Mortal,
    rng: Rng,
    seed: u64,
    rounds: u64,
    /// Whether a squelch that ends by itself is started again, as systemd would: one that starts while nobody leads a stream does.
    restarts: bool,
    /// Times that squelch went on from a checkpoint.
    resumed: u64,
}

impl Chaos {
    fn new(rounds: u64) -> Self {
        Self::over(vec![NatsServer::start()], OFTEN, rounds)
    }

    fn over(servers: Vec<NatsServer>, more: &str, rounds: u64) -> Self {
        let (squelch, seed) = (Mortal::new(&servers[0], more), from_env("CHAOS_SEED", u64::from(std::process::id())));
        let restarts = servers.len() > 1;
        Self { servers, squelch, rng: Rng(seed), seed, rounds: from_env("CHAOS_KILLS", rounds), restarts, resumed: 0 }
    }

    async fn context(&self) -> Context {
        let urls: Vec<String> = self.servers.iter().map(NatsServer::url).collect();
        jetstream::new(async_nats::connect(urls).await.unwrap())
    }

    /// Disturbs while the demo is published, then compares every byte with a replay.
    fn run(&mut self, every: Duration, mut disturb: impl AsyncFnMut(&mut Self, &Context, u64)) {
        let want = replayed();
        runtime().block_on(async {
            let context = self.context().await;
            self.squelch.spawn();
            self.until_it_is_ready().await;
            let pause = every * self.rounds as u32 / messages().len() as u32;
            let publishing = tokio::spawn(publish(context.clone(), pause));
            for round in 0..self.rounds {
                disturb(self, &context, round).await;
            }
            publishing.await.unwrap();
            self.until_it_is_ready().await;
            let got = read_stream(&context, "INCIDENTS", want.len()).await;
            let (seed, log) = (self.seed, self.squelch.log());
            // A replay ends with its last event; live, the watermark still waits for what may come late.
            assert!(got.len() + 3 >= want.len(), "{} of {} revisions came, seed {seed}: {log}", got.len(), want.len());
            assert!(got.len() <= want.len(), "{} revisions came where {} should, seed {seed}", got.len(), want.len());
            for (at, (message, line)) in got.iter().zip(&want).enumerate() {
                assert_eq!(std::str::from_utf8(&message.payload).unwrap(), line, "revision {at}, seed {seed}");
            }
            the_alerts_are_published(&context, &want[..got.len()], &format!("seed {seed}")).await;
        });
    }

    /// Waits until it works, for a lease of another one's to end too.
    async fn until_it_is_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !get(self.squelch.http, "readyz").is_some_and(|said| said.contains("200 OK")) {
            assert!(Instant::now() < deadline, "it is never ready, seed {}: {}", self.seed, self.squelch.log());
            if self.squelch.has_ended() {
                assert!(self.restarts, "it ended by itself, seed {}: {}", self.seed, self.squelch.log());
                self.squelch.spawn();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn pause(&mut self, up_to_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.rng.below(up_to_ms))).await;
    }

    fn kill_squelch(&mut self) {
        self.squelch.kill();
        self.resumed += u64::from(self.squelch.log().contains("resumed=true"));
    }
}

#[test]
fn kills_at_any_moment_change_nothing() {
    let mut chaos = Chaos::new(12);
    chaos.run(Duration::from_secs(2), async |chaos, _, round| {
        // Every other time it may die while it starts.
        if round % 2 == 0 {
            until_it_reads(&chaos.squelch).await;
        }
        chaos.pause(1_500).await;
        chaos.kill_squelch();
        chaos.squelch.spawn();
    });
    let (resumed, kills) = (chaos.resumed, chaos.rounds);
    assert!(resumed * 3 > kills, "only {resumed} of {kills} went on from a checkpoint, seed {}", chaos.seed);
}

async fn until_it_reads(squelch: &Mortal) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !squelch.log().contains("reading events") {
        assert!(Instant::now() < deadline, "it never reads: {}", squelch.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The server dies and comes back, with what it had sent and not delivered; squelch lives on and is never told that something is
/// missing.
#[test]
fn a_server_that_dies_at_any_moment_changes_nothing() {
    let mut chaos = Chaos::new(8);
    chaos.run(Duration::from_secs(3), async |chaos, _, _| {
        chaos.pause(3_000).await;
        chaos.servers[0].restart();
    });
    chaos.squelch.wait_for("readyz", "200 OK");
    let gaps = metric(chaos.squelch.http, "squelch_input_gaps_total{cause=\"dropped\"}");
    assert_eq!(gaps, 0.0, "nothing was missing: {}", chaos.squelch.log());
}

/// Both die, one after the other and at once.
#[test]
fn server_and_squelch_may_die_together() {
    let mut chaos = Chaos::new(8);
    chaos.run(Duration::from_secs(4), async |chaos, _, round| {
        chaos.pause(2_500).await;
        match round % 3 {
            0 => {
                chaos.kill_squelch();
                chaos.servers[0].restart();
            }
            1 => {
                chaos.servers[0].restart();
                chaos.pause(1_500).await;
                chaos.kill_squelch();
            }
            _ => {
                chaos.kill_squelch();
                chaos.squelch.spawn();
                chaos.pause(500).await;
                chaos.servers[0].restart();
                return;
            }
        }
        chaos.squelch.spawn();
    });
    assert!(chaos.resumed > 0, "it went on from checkpoints, seed {}", chaos.seed);
}

/// Of three servers one dies at a time, whatever it leads, and comes back; now and then squelch dies with it.
#[test]
fn a_server_of_a_cluster_that_dies_at_any_moment_changes_nothing() {
    in_a_cluster("checkpoint: { dir: state, every: 200ms }");
}

/// The same where checkpoints and the lease are in the cluster as well.
#[test]
fn a_cluster_keeps_checkpoints_and_lease() {
    in_a_cluster("checkpoint: { store: SQUELCH_STATE, every: 200ms }\nstandby: { lease: 4s }");
}

fn in_a_cluster(checkpoint: &str) {
    let servers = NatsServer::cluster(3);
    let urls: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.url())).collect();
    let more = format!("nats: {{ servers: [{}], replicas: 3 }}\ntime: {{ idle: 1h }}\n{checkpoint}\n", urls.join(", "));
    let mut chaos = Chaos::over(servers, &more, 4);
    let mut held = vec!["EVENTS", "INCIDENTS", "ALERTS", "REJECTED", "KV_squelch_incidents"];
    if checkpoint.contains("store") {
        held.push("KV_SQUELCH_STATE");
    }
    runtime().block_on(async {
        let context = chaos.context().await;
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = Streams::new(&context, 3).input(&InputConfig::default()).await {
            assert!(Instant::now() < deadline, "the servers are no cluster: {error}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    chaos.run(Duration::from_secs(8), async |chaos, context, round| {
        chaos.pause(2_000).await;
        let one = chaos.rng.below(3) as usize;
        chaos.servers[one].stop();
        if round % 2 == 1 {
            chaos.kill_squelch();
            chaos.squelch.spawn();
        }
        chaos.pause(3_000).await;
        chaos.servers[one].restart();
        // Two must live at any time.
        until_all_are_current(context, &held, &chaos.squelch).await;
        chaos.until_it_is_ready().await;
    });
    let gaps = metric(chaos.squelch.http, "squelch_input_gaps_total{cause=\"dropped\"}");
    assert_eq!(gaps, 0.0, "nothing was missing: {}", chaos.squelch.log());
}

async fn until_all_are_current(context: &Context, streams: &[&str], squelch: &Mortal) {
    let deadline = Instant::now() + Duration::from_secs(60);
    for name in streams {
        loop {
            if let Ok(stream) = context.get_stream(name).await
                && let Some(cluster) = &stream.cached_info().cluster
                && cluster.leader.is_some()
                && cluster.replicas.iter().filter(|replica| replica.current && !replica.offline).count() == 2
            {
                break;
            }
            assert!(Instant::now() < deadline, "{name} is not whole again: {}", squelch.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Somebody deletes the consumer under a running squelch, or reads with it: what they took is read again, in its place.
#[test]
fn a_consumer_that_is_deleted_or_robbed_is_made_again() {
    let mut chaos = Chaos::new(8);
    let deleted = Cell::new(0);
    chaos.run(Duration::from_secs(2), async |chaos, context, round| {
        chaos.pause(1_500).await;
        let stream = context.get_stream("EVENTS").await.unwrap();
        if round % 2 == 0 {
            // It may just be on its way to be made again.
            let gone = stream.delete_consumer("squelch").await;
            deleted.set(deleted.get() + u32::from(gone.is_ok()));
        } else if let Ok(consumer) = stream.get_consumer::<PullConfig>("squelch").await {
            let mut stolen = consumer.batch().max_messages(20).expires(Duration::from_millis(300)).messages().await.unwrap();
            while stolen.next().await.is_some() {}
        }
    });
    let http = chaos.squelch.http;
    let (renewals, deleted) = (metric(http, "squelch_input_consumers_recreated_total"), deleted.get());
    // What could be deleted again had been made again; how soon is up to the machine.
    assert!(deleted >= 2 && renewals + 1.0 >= f64::from(deleted), "{renewals} after {deleted}: {}", chaos.squelch.log());
    assert_eq!(metric(http, "squelch_input_gaps_total{cause=\"dropped\"}"), 0.0, "{}", chaos.squelch.log());
}

/// While the server is away nobody knows whether there are events: time does not go on, and what comes afterwards is not late.
#[test]
fn an_outage_is_no_silence() {
    let mut server = NatsServer::start();
    let more = "time: { lateness: 0s, idle: 6s }\nnotify: { wait: 0s }\ncheckpoint: { dir: state, every: 200ms }\n";
    let mut squelch = Mortal::new(&server, more);
    let start_ms = 1_773_446_400_000_i64;
    runtime().block_on(async {
        squelch.start();
        let said = async |context: &Context, at_ms: i64| {
            let ts = start_ms + at_ms;
            let event = format!(r#"{{"ts":{ts},"name":"m","value":1,"service":"chat","env":"production"}}"#);
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", ts.to_string().as_str());
            loop {
                let sent = context.publish_with_headers("events.metrics.a", headers.clone(), event.clone().into()).await;
                if let Ok(ack) = sent
                    && ack.await.is_ok()
                {
                    break;
                }
            }
        };
        let before = context(&server).await;
        said(&before, 0).await;
        squelch.wait_for("metrics", "squelch_events_total 1");
        server.stop();
        tokio::time::sleep(Duration::from_secs(8)).await;
        server.restart();
        squelch.wait_for("readyz", "200 OK");
        // The server says now that nothing waits: collectors have yet to find it.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let after = context(&server).await;
        said(&after, 500).await;
        squelch.wait_for("metrics", "squelch_events_total 2");
        let time = watermark_ms(squelch.http) - start_ms;
        assert!(time < 2_000, "an outage of 8 s let time go on by {time} ms: {}", squelch.log());
        // In a silence of the stream itself it does.
        tokio::time::sleep(Duration::from_secs(9)).await;
        let time = watermark_ms(squelch.http) - start_ms;
        assert!(time >= 5_000, "a silence of 9 s let time go on by {time} ms only");
        squelch.stop();
    });
}

fn watermark_ms(http: u16) -> i64 {
    (metric(http, "squelch_watermark_timestamp_seconds") * 1000.0).round() as i64
}

/// The clock on the wall jumps by years, there and back. Skipped where libfaketime is not installed, loudly.
#[test]
fn the_clock_on_the_wall_decides_nothing() {
    let libraries = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64"];
    let library = libraries.iter().map(|dir| format!("{dir}/faketime/libfaketime.so.1")).find(|path| Path::new(path).exists());
    let Some(library) = library else {
        eprintln!("SKIPPED: libfaketime is not installed (apt-get install libfaketime)");
        return;
    };
    let mut chaos = Chaos::new(12);
    let offset = chaos.squelch.dir.path().join("offset");
    std::fs::write(&offset, "+0").unwrap();
    let set = |name: &str, value: &str| (name.to_string(), value.to_string());
    chaos.squelch.env = vec![
        set("LD_PRELOAD", &library),
        set("FAKETIME_TIMESTAMP_FILE", &offset.display().to_string()),
        set("FAKETIME_CACHE_DURATION", "1"),
        set("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    chaos.run(Duration::from_secs(1), async |chaos, _, _| {
        let (years, sign) = (chaos.rng.below(20), ["+", "-"][chaos.rng.below(2) as usize]);
        // Nobody may find it half written.
        let next = offset.with_extension("next");
        std::fs::write(&next, format!("{sign}{}d", years * 365)).unwrap();
        std::fs::rename(&next, &offset).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
    let log = chaos.squelch.log();
    let years: BTreeSet<&str> = log.lines().filter_map(|line| line.split_once('-')).map(|(year, _)| year).collect();
    assert!(years.len() > 3, "the clock never jumped: {years:?}");
}
