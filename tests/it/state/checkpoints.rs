//! Checkpoints that share what they have in common hold what a whole one holds, whatever happened to the windows between them.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use squelch::engine::next_rules::NextRules;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::files::checkpoint_folder::CheckpointFolder;
use squelch::io::nats::client::streams::Streams;
use squelch::io::nats::cluster::checkpoint_store::{CheckpointStore, OutputPositions};
use squelch::io::nats::cluster::lease::{HeldLease, LeaseContender, LeaseStatus};
use squelch::process::checkpoint::storage::{BucketStorage, CheckpointCost, CheckpointStorage, FolderStorage};
use squelch::process::telemetry::Telemetry;
use squelch::rule::Rule;
use squelch::rule::check::{LoadedRules, from_texts};
use squelch::topology::Topology;

use crate::support::nats::NatsServer;
use crate::support::process::{context, runtime};

const START_MS: i64 = 1_773_446_400_000;
const MEAN: &str = "SELECT host, avg(value) AS value FROM metrics WHERE name = 'load' GROUP BY host HAVING avg(value) > 1e9";
const WORST: &str = "SELECT host, max(value) AS value FROM metrics WHERE name = 'load' GROUP BY host HAVING max(value) > 1e9";
const ROWS: &str = "SELECT m.host, n.value FROM metrics m JOIN metrics n ON m.host = n.host AND m.ts < n.ts \
                    WHERE m.name = 'rare' AND n.name = 'rare' AND n.value > 1e9";

fn book(rules: &[(&str, &str)]) -> LoadedRules {
    let text =
        |query: &str| format!("/*---\nrule: NAME\nseverity: warning\nwindow: 2m\nevery: 10s\nentity: host\n---*/\n{query}");
    let files =
        rules.iter().map(|(name, query)| (PathBuf::from(format!("{name}.sql")), Arc::from(text(query).replace("NAME", name))));
    from_texts(files.collect()).unwrap_or_else(|_| panic!("good rules"))
}

/// Two engines that take in the same; checkpoints are kept of one of them.
struct Twins {
    kept: Engine,
    plain: Engine,
    decoder: Decoder,
    keeper: CheckpointStorage,
    telemetry: Telemetry,
}

fn folder(dir: &tempfile::TempDir) -> CheckpointStorage {
    CheckpointStorage::Folder(Arc::new(FolderStorage::new(CheckpointFolder::open(dir.path(), "twin").unwrap(), 1).unwrap()))
}

impl Twins {
    fn new(keeper: CheckpointStorage, rules: &[(&str, &str)]) -> Self {
        let book = book(rules);
        let decoder = Decoder::new(&book.label_keys, i64::MAX);
        let rules: Vec<Arc<Rule>> = book.rules.into_iter().map(Arc::new).collect();
        let engine = || Engine::of(rules.clone(), Topology::default(), &EngineParams::default()).unwrap();
        Self { kept: engine(), plain: engine(), decoder, keeper, telemetry: Telemetry::default() }
    }

    /// Ten seconds of events.
    fn take_in(&mut self, tick: i64, hosts: std::ops::Range<u64>) {
        let mut body = String::new();
        for host in hosts {
            let at = START_MS + tick * 10_000 + (host % 9_000) as i64;
            let name = if host % 50 == 0 { "rare" } else { "load" };
            writeln!(body, r#"{{"kind":"metric","ts":{at},"name":"{name}","value":{host},"host":"host-{host}"}}"#).unwrap();
        }
        self.decoder.message(body.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{bad:?}"));
        let events = self.decoder.take();
        for engine in [&mut self.kept, &mut self.plain] {
            engine.step(Input::Events(&events));
        }
    }

    fn set_rules(&mut self, rules: &[(&str, &str)]) {
        for engine in [&mut self.kept, &mut self.plain] {
            let rules = book(rules).rules.into_iter().map(Arc::new).collect();
            engine.step(Input::Rules(Box::new(NextRules::of(rules, &EngineParams::default()).unwrap())));
        }
    }

    /// Keeps a checkpoint, and holds it against all that there is.
    async fn keep(&mut self) -> CheckpointCost {
        let saved = self.kept.save().unwrap();
        let size = self.keeper.store(saved, OutputPositions::default(), false, &self.telemetry).await;
        let (found, _) = self.keeper.read(0).await.unwrap().unwrap();
        let whole = self.plain.save().unwrap().into_loaded().unwrap();
        assert!(found.chunks.len() > 1);
        assert!(found.chunks == whole.chunks, "what is kept is not what there is");
        size.expect("it can be kept")
    }
}

/// Forty times ten seconds of events, a checkpoint after each. Yields what the last one took.
async fn forty_times(keeper: CheckpointStorage) -> CheckpointCost {
    let mut twins = Twins::new(keeper, &[("mean", MEAN), ("rows", ROWS), ("worst", WORST)]);
    let mut last = CheckpointCost::default();
    for tick in 0..40 {
        twins.take_in(tick, 0..2_000);
        last = twins.keep().await;
    }
    // A window of two minutes holds twelve panes. Of these one was sealed since the last time, and one or two are open.
    assert!(last.written * 3 < last.whole, "{last:?}");
    last
}

#[test]
fn what_is_sealed_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let last = runtime().block_on(forty_times(folder(&dir)));
    let bytes: u64 = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 4 * last.whole, "{bytes} bytes on the disk for {last:?}");
}

#[test]
fn what_is_sealed_is_stored_once() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let context = context(&server).await;
        let (first, lease) = store(&context, 1).await;
        let last = forty_times(first).await;
        let bucket = context.get_key_value("STATE").await.unwrap();
        let bytes = bucket.stream.get_info().await.unwrap().state.bytes;
        assert!(bytes < 4 * last.whole, "{bytes} bytes in the bucket for {last:?}");
        // Whoever takes over finds them, and removes what nobody names any more.
        lease.release().await;
        let (second, _) = store(&context, 2).await;
        let mut twins = Twins::new(second, &[("mean", MEAN)]);
        let (found, _) = twins.keeper.read(0).await.unwrap().unwrap();
        assert!(found.chunks.len() > 10);
        for tick in 0..3 {
            twins.take_in(tick, 0..10);
            twins.keep().await;
        }
        let bytes = bucket.stream.get_info().await.unwrap().state.bytes;
        assert!(bytes < 100_000, "{bytes} bytes are left in the bucket");
    });
}

/// A bucket of checkpoints, for the process that holds the lease for the `nth` time.
async fn store(context: &Context, nth: u64) -> (CheckpointStorage, HeldLease) {
    let bucket = Streams::new(context, 1).state("STATE").await.unwrap();
    let lease = Duration::from_secs(60);
    let mut contender = LeaseContender::new(bucket.clone(), "twin", format!("process {nth}"), format!("nobody.{nth}"), lease);
    let lease = loop {
        match contender.check().await.unwrap() {
            LeaseStatus::Acquired(lease) => break lease,
            LeaseStatus::Held(_) => tokio::time::sleep(contender.pause()).await,
        }
    };
    let state = CheckpointStore::open(context.clone(), bucket, "twin", lease.clone()).await.unwrap();
    (CheckpointStorage::Bucket(Box::new(BucketStorage::new(state, 1).await.unwrap())), lease)
}

#[test]
fn what_changes_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut twins = Twins::new(folder(&dir), &[("mean", MEAN), ("worst", WORST)]);
        for tick in 0..8 {
            twins.take_in(tick, 0..100);
            twins.keep().await;
        }
        // The rules shared a table: it loses a column of every pane.
        twins.set_rules(&[("worst", WORST)]);
        twins.keep().await;
        // Hosts come and go: keys are forgotten, and the others get other numbers.
        for tick in 8..40 {
            let first = tick as u64 * 600;
            twins.take_in(tick, first..first + 1_000);
            twins.keep().await;
        }
        let keys = twins.kept.window_size().0;
        assert!(keys < 20_000, "{keys} keys: none was forgotten");
        twins.set_rules(&[("mean", MEAN), ("worst", WORST)]);
        twins.keep().await;
    });
}
