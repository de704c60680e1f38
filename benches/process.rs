//! `squelch run` as a whole against a real nats-server, beside a client that drains the same stream and drops it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::{self, Context};
use futures::StreamExt;

use crate::nats::{NatsServer, free_port};
use crate::workload::Workload;

/// Rules, events in a second of event time, events a message, messages. A second of 2,000 events read at a million a second is a
/// backfill at 500 times its own speed: all rules are evaluated that much more often. One of 100,000 is a fleet that catches up.
const SHAPES: [(usize, usize, usize, usize); 5] = [
    (100, 2_000, 1, 200_000),
    (100, 2_000, 100, 10_000),
    (1_000, 2_000, 100, 10_000),
    (1_000, 100_000, 100, 30_000),
    (1_000, 100_000, 1_000, 3_000),
];
const BATCH_MESSAGES: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

pub fn tables() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("\nsquelch run beside a local nats-server on the same cores");
    println!(
        "| rules | events a second of event time | events a message | squelch, events/s | bare drain, events/s | squelch / drain |"
    );
    println!("|---:|---:|---:|---:|---:|---:|");
    for (rules, dense, events_a_message, messages) in SHAPES {
        let server = NatsServer::start();
        let events = events_a_message * messages;
        let workload = Workload::dense(rules, events, events_a_message, dense);
        let context = runtime.block_on(fill(&server, &workload));
        // Whoever reads first finds the server's cache cold.
        runtime.block_on(drain(&context, messages, "first"));
        let drained = events as f64 / runtime.block_on(drain(&context, messages, "drain")).as_secs_f64();
        let ran = events as f64 / squelch(&runtime, &server, &context, &workload).as_secs_f64();
        println!(
            "| {rules} | {dense} | {events_a_message} | {:.2} M | {:.2} M | {:.2} |",
            ran / 1e6,
            drained / 1e6,
            ran / drained
        );
    }
    println!("\nidle `squelch run` with the shipped rules: {:.0} MB resident", idle_megabytes());
}

async fn fill(server: &NatsServer, workload: &Workload) -> Context {
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let config = jetstream::stream::Config { name: "EVENTS".into(), subjects: vec!["events.>".into()], ..Default::default() };
    context.create_stream(config).await.unwrap();
    for block in workload.messages.chunks(1_000) {
        let mut acks = Vec::with_capacity(block.len());
        for message in block {
            acks.push(context.publish("events.metrics.bench", message.clone().into()).await.unwrap());
        }
        for ack in acks {
            ack.await.unwrap();
        }
    }
    context
}

/// Pulls everything, as squelch does, and drops it.
async fn drain(context: &Context, messages: usize, name: &str) -> Duration {
    let stream = context.get_stream("EVENTS").await.unwrap();
    let config = PullConfig {
        durable_name: Some(name.into()),
        ack_policy: AckPolicy::All,
        max_ack_pending: 500_000,
        ..Default::default()
    };
    let consumer: PullConsumer = stream.create_consumer(config).await.unwrap();
    let started = Instant::now();
    let mut taken = 0;
    while taken < messages {
        let request = consumer.batch().max_messages(BATCH_MESSAGES).max_bytes(BATCH_BYTES).expires(Duration::from_secs(1));
        let mut batch = request.messages().await.unwrap();
        let mut last = None;
        while let Some(Ok(message)) = batch.next().await {
            taken += 1;
            last = Some(message);
        }
        if let Some(message) = last {
            message.ack().await.unwrap();
        }
    }
    started.elapsed()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(dir: &std::path::Path, config: &str) -> Running {
    let file = dir.join("squelch.yaml");
    std::fs::write(&file, config).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_squelch"))
        .args(["run", "--config"])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(child.unwrap())
}

/// From the moment that its consumer exists until everything is acknowledged.
fn squelch(runtime: &tokio::runtime::Runtime, server: &NatsServer, context: &Context, workload: &Workload) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rules")).unwrap();
    for (name, text) in workload.rule_texts() {
        std::fs::write(dir.path().join("rules").join(name), text.as_bytes()).unwrap();
    }
    let config = format!("nats: {{ servers: [\"{}\"] }}\nhttp: {{ listen: \"off\" }}\n", server.url());
    let last = workload.messages.len() as u64;
    let _running = start(dir.path(), &config);
    runtime.block_on(async {
        let stream = context.get_stream("EVENTS").await.unwrap();
        let mut consumer = loop {
            match stream.get_consumer::<PullConfig>("squelch").await {
                Ok(consumer) => break consumer,
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        };
        let started = Instant::now();
        while consumer.info().await.unwrap().ack_floor.stream_sequence < last {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        started.elapsed()
    })
}

fn idle_megabytes() -> f64 {
    let server = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let port = free_port();
    let config = format!(
        "nats: {{ servers: [\"{}\"] }}\nrules: {}\nhttp: {{ listen: \"127.0.0.1:{port}\" }}\n",
        server.url(),
        rules.display()
    );
    let running = start(dir.path(), &config);
    std::thread::sleep(Duration::from_secs(5));
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kilobytes.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
