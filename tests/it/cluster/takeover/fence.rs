//! What somebody can do who lost the lease and does not know it: its clock says that it leads, and the server says no.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{Context, kv};
use bytes::Bytes;
use futures::StreamExt;
use squelch::io::nats::client::settings::OutputConfig;
use squelch::io::nats::client::streams::Streams;
use squelch::io::nats::cluster::checkpoint_store::{CheckpointReadError, CheckpointStore, OutputPositions};
use squelch::io::nats::cluster::lease::{HeldLease, LeaseContender, LeaseLost, LeaseStatus, StoreError};
use squelch::io::nats::output::fenced_publisher::FencedPublisher;
use squelch::io::nats::output::results::{RejectedLine, Results, RevisionMessage};
use squelch::io::nats::output::stats::OutputStats;
use squelch::io::nats::output::{Fence, Publisher};

use super::forgetful_streams;
use crate::support::nats::NatsServer;
use crate::support::process::{context, runtime};

/// One that holds the lease, or believes so.
struct Leader {
    lease: HeldLease,
    store: CheckpointStore,
    publisher: Publisher,
}

struct World {
    context: Context,
    bucket: kv::Store,
    incidents: kv::Store,
}

impl World {
    async fn new(server: &NatsServer) -> Self {
        let context = context(server).await;
        forgetful_streams(&context).await;
        let bucket = Streams::new(&context, 1).state("STATE").await.unwrap();
        let incidents = Streams::new(&context, 1).output(&OutputConfig::default()).await.unwrap();
        Self { context, bucket, incidents }
    }

    fn contender(&self, id: &str, lease: Duration) -> LeaseContender {
        LeaseContender::new(self.bucket.clone(), "squelch", id.into(), id.into(), lease)
    }

    /// Takes the lease, which must be free, for so long that the holder's clock never says that it ended.
    async fn leader(&self, id: &str, places: Option<OutputPositions>) -> Leader {
        let LeaseStatus::Acquired(lease) = self.contender(id, Duration::from_secs(3600)).check().await.unwrap() else {
            panic!("the lease is held")
        };
        let begin = |stream, after| FencedPublisher::open(&self.context, stream, "squelch", after, lease.clone());
        let fence = Fence {
            lease: lease.clone(),
            incidents: begin("INCIDENTS", places.map(|places| places.incidents)).await.unwrap(),
            rejected: Some(begin("REJECTED", places.map(|places| places.rejected)).await.unwrap()),
        };
        let store = CheckpointStore::open(self.context.clone(), self.bucket.clone(), "squelch", lease.clone()).await.unwrap();
        let (stats, incidents) = (Arc::new(OutputStats::default()), self.incidents.clone());
        let publisher = Publisher::new(&self.context, incidents, "rejected", "squelch", Some(fence), stats);
        Leader { lease, store, publisher }
    }

    /// One that stored a revision, and then one that holds the lease without the first being told.
    async fn asleep_and_awake(&self) -> (Leader, Leader) {
        let mut asleep = self.leader("a", None).await;
        asleep.publisher.store(revisions(&["inc-1-1"])).await.unwrap();
        self.end_lease().await;
        (asleep, self.leader("b", Some(OutputPositions::default())).await)
    }

    /// The lease is free from here on, and its holder is not told.
    async fn end_lease(&self) {
        let entry = self.bucket.get("squelch.lease").await.unwrap().unwrap();
        let mut entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
        entry["released"] = true.into();
        self.bucket.put("squelch.lease", entry.to_string().into()).await.unwrap();
        ids_are_forgotten().await;
    }

    async fn stored(&self, stream: &str) -> Vec<String> {
        let mut stream = self.context.get_stream(stream).await.unwrap();
        let mut bodies = Vec::new();
        for sequence in 1..=stream.info().await.unwrap().state.last_sequence {
            bodies.push(String::from_utf8(stream.get_raw_message(sequence).await.unwrap().payload.to_vec()).unwrap());
        }
        bodies
    }

    async fn publish(&self, id: &str, headers: &[(&str, &str)]) {
        let mut all = HeaderMap::new();
        all.insert("Nats-Msg-Id", id);
        headers.iter().for_each(|(name, value)| all.insert(*name, *value));
        let body = Bytes::from(id.to_string());
        self.context.publish_with_headers("incidents.a.b.c", all, body).await.unwrap().await.unwrap();
    }
}

/// Longer than the streams remember ids.
async fn ids_are_forgotten() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

fn revisions(ids: &[&str]) -> Results {
    let revision = |id: &&str| RevisionMessage {
        subject: "incidents.a.b.c".into(),
        message_id: id.to_string(),
        incident: id.rsplit_once('-').unwrap().0.into(),
        open: true,
        body: Bytes::from(id.to_string()),
        alerts: Vec::new(),
    };
    Results { revisions: ids.iter().map(revision).collect(), ..Results::default() }
}

fn rejected(sequence: u64) -> Results {
    let line = format!("line {sequence}");
    let rejected = RejectedLine {
        subject: "events".into(),
        sequence,
        stream_created_ns: 7,
        line: 0,
        reason: "json".into(),
        bytes: line.into(),
    };
    Results { rejected: vec![rejected], ..Results::default() }
}

#[test]
fn who_lost_the_lease_publishes_nothing() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        let (mut asleep, mut awake) = world.asleep_and_awake().await;
        awake.publisher.store(revisions(&["inc-1-1", "inc-1-2"])).await.unwrap();
        ids_are_forgotten().await;
        assert!(asleep.lease.is_current(), "its clock says that it leads");
        assert_eq!(asleep.publisher.store(revisions(&["inc-1-2"])).await, Err(LeaseLost));
        assert_eq!(world.stored("INCIDENTS").await, ["inc-1-1", "inc-1-2"]);
        awake.publisher.store(revisions(&["inc-1-3"])).await.unwrap();
        assert_eq!(world.stored("INCIDENTS").await, ["inc-1-1", "inc-1-2", "inc-1-3"]);
    });
}

#[test]
fn who_lost_the_lease_rejects_nothing() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        let mut asleep = world.leader("a", None).await;
        asleep.publisher.store(rejected(1)).await.unwrap();
        world.end_lease().await;
        let mut awake = world.leader("b", Some(OutputPositions::default())).await;
        awake.publisher.store(rejected(1)).await.unwrap();
        awake.publisher.store(rejected(2)).await.unwrap();
        ids_are_forgotten().await;
        assert_eq!(asleep.publisher.store(rejected(2)).await, Err(LeaseLost));
        assert_eq!(world.stored("REJECTED").await, ["line 1", "line 2"]);
    });
}

#[test]
fn who_lost_the_lease_leaves_the_bucket_of_incidents_alone() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        // Two revisions are there from before: `asleep` finds the second one stored, and has the bucket still to write.
        for id in ["inc-1-1", "inc-1-2"] {
            world.publish(id, &[("Squelch-Consumer", "squelch")]).await;
        }
        let mut asleep = world.leader("a", Some(OutputPositions::default())).await;
        asleep.publisher.store(revisions(&["inc-1-1"])).await.unwrap();
        world.end_lease().await;
        let mut awake = world.leader("b", Some(OutputPositions::default())).await;
        awake.publisher.store(revisions(&["inc-1-1", "inc-1-2", "inc-1-3"])).await.unwrap();
        ids_are_forgotten().await;
        assert_eq!(asleep.publisher.store(revisions(&["inc-1-2"])).await, Err(LeaseLost));
        assert_eq!(world.incidents.get("inc-1").await.unwrap().unwrap(), "inc-1-3");
        assert_eq!(world.stored("INCIDENTS").await, ["inc-1-1", "inc-1-2", "inc-1-3"]);
    });
}

#[test]
fn who_lost_the_lease_keeps_no_checkpoint() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        let asleep = world.leader("a", None).await;
        asleep.store.write(b"one", OutputPositions::default()).await.unwrap();
        world.end_lease().await;
        let awake = world.leader("b", None).await;
        // Already who opens them shuts out who had them before.
        assert_eq!(asleep.store.write(b"late", OutputPositions::default()).await, Err(StoreError::LeaseLost(LeaseLost)));
        assert_eq!(awake.store.read(0).await.unwrap().unwrap().0, b"one");
        awake.store.write(b"two", OutputPositions { incidents: 7, rejected: 8 }).await.unwrap();
        let (content, places) = awake.store.read(0).await.unwrap().unwrap();
        assert_eq!((content.as_slice(), places), (&b"two"[..], OutputPositions { incidents: 7, rejected: 8 }));
        assert_eq!(awake.store.read(1).await.unwrap().unwrap().0, b"one");
    });
}

/// What was under way when the lease ended may come in its place: it is what the next one would have written there.
#[test]
fn what_comes_late_in_its_place_is_there_once() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        let (mut asleep, mut awake) = world.asleep_and_awake().await;
        asleep.publisher.store(revisions(&["inc-1-2"])).await.unwrap();
        ids_are_forgotten().await;
        awake.publisher.store(revisions(&["inc-1-1", "inc-1-2", "inc-1-3"])).await.unwrap();
        assert_eq!(world.stored("INCIDENTS").await, ["inc-1-1", "inc-1-2", "inc-1-3"]);
    });
}

/// The one that lost the lease is in full swing while the next one begins, from where the first one's checkpoint was.
#[test]
fn two_who_write_at_once_write_each_message_once() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        let ids: Vec<String> = (1..=300).map(|revision| format!("inc-1-{revision}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut first = world.leader("a", None).await;
        first.publisher.store(revisions(&ids[..100])).await.unwrap();
        world.end_lease().await;
        let of_first = async {
            let mut ended = Ok(());
            for id in &ids[100..] {
                ended = ended.and(first.publisher.store(revisions(&[id])).await);
            }
            ended
        };
        let of_second = async {
            let mut second = world.leader("b", Some(OutputPositions::default())).await;
            for id in &ids {
                second.publisher.store(revisions(&[id])).await.unwrap();
            }
        };
        let (ended, ()) = tokio::join!(of_first, of_second);
        assert_eq!(world.stored("INCIDENTS").await, ids);
        assert_eq!(world.incidents.get("inc-1").await.unwrap().unwrap(), "inc-1-300");
        assert_eq!(ended, Err(LeaseLost), "the second one kept the bucket, which the first one must not");
    });
}

/// The acknowledgement of a message is lost; others write to the same stream.
#[test]
fn what_is_stored_already_is_not_stored_again() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        let mut leader = world.leader("a", None).await;
        leader.publisher.store(revisions(&["inc-1-1"])).await.unwrap();
        world.publish("inc-1-2", &[("Squelch-Consumer", "squelch")]).await;
        world.publish("inc-9-1", &[("Squelch-Consumer", "another")]).await;
        world.publish("inc-1-3", &[]).await;
        ids_are_forgotten().await;
        leader.publisher.store(revisions(&["inc-1-2", "inc-9-1", "inc-1-4"])).await.unwrap();
        assert_eq!(world.stored("INCIDENTS").await, ["inc-1-1", "inc-1-2", "inc-9-1", "inc-1-3", "inc-9-1", "inc-1-4"]);
        assert_eq!(leader.publisher.positions().incidents, 6);
    });
}

/// A checkpoint says how far the stream is: not farther than what was found there and not yet made again.
#[test]
fn a_checkpoint_amid_what_is_made_again_forgets_nothing() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        let mut first = world.leader("a", None).await;
        first.publisher.store(revisions(&["inc-1-1", "inc-1-2", "inc-1-3"])).await.unwrap();
        world.end_lease().await;
        let mut second = world.leader("b", Some(OutputPositions::default())).await;
        second.publisher.store(revisions(&["inc-1-1"])).await.unwrap();
        assert_eq!(second.publisher.positions().incidents, 1);
        world.end_lease().await;
        let mut third = world.leader("c", Some(second.publisher.positions())).await;
        third.publisher.store(revisions(&["inc-1-2", "inc-1-3", "inc-1-4"])).await.unwrap();
        assert_eq!(world.stored("INCIDENTS").await, ["inc-1-1", "inc-1-2", "inc-1-3", "inc-1-4"]);
    });
}

#[test]
fn large_checkpoints_come_back_whole_and_old_ones_go() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        let leader = world.leader("a", None).await;
        assert!(leader.store.read(0).await.is_none());
        let content =
            |seed: u8| (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect::<Vec<u8>>();
        for seed in 0..5 {
            leader.store.write(&content(seed), OutputPositions::default()).await.unwrap();
        }
        assert!(leader.store.read(0).await.unwrap().unwrap().0 == content(4), "the newest");
        assert!(leader.store.read(1).await.unwrap().unwrap().0 == content(3), "the one before");
        assert!(leader.store.read(2).await.is_none());
        let pieces: Vec<String> = world.bucket.keys().await.unwrap().map(|key| key.unwrap()).collect().await;
        let pieces: Vec<&String> = pieces.iter().filter(|key| key.contains(".piece.")).collect();
        assert_eq!(pieces.len(), 12, "{pieces:?}");
        // A piece that is not what was written.
        let newest = pieces.iter().rev().find(|key| key.ends_with("-5.2")).unwrap();
        world.bucket.put(newest.as_str(), "something else".into()).await.unwrap();
        assert!(matches!(leader.store.read(0).await, Some(Err(CheckpointReadError::Damaged { .. }))));
        assert!(leader.store.read(1).await.unwrap().is_ok());
    });
}

#[test]
fn a_lease_has_one_holder() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let world = World::new(&server).await;
        let lease = Duration::from_secs(3);
        let (mut a, mut b) = (world.contender("a", lease), world.contender("b", lease));
        let LeaseStatus::Acquired(first) = a.check().await.unwrap() else { panic!("a free lease") };
        // While it is renewed nobody gets it.
        for _ in 0..16 {
            assert!(matches!(b.check().await.unwrap(), LeaseStatus::Held(holder) if holder == "a"));
            tokio::time::sleep(lease / 12).await;
            first.renew().await.unwrap();
        }
        let second = loop {
            let is_current = first.is_current();
            if let LeaseStatus::Acquired(second) = b.check().await.unwrap() {
                assert!(!is_current && !first.is_lost(), "it ended by its holder's clock first");
                break second;
            }
            tokio::time::sleep(b.pause()).await;
        };
        assert!(second.term() > first.term());
        assert_eq!(first.renew().await, Err(StoreError::LeaseLost(LeaseLost)));
        assert_eq!(first.may_write().await, Err(LeaseLost));
        assert!(first.is_lost());
        assert_ne!(first.consumers()[0], second.consumers()[0]);
        assert_eq!(second.consumers()[1], first.consumers()[0], "the next one knows whose consumer to remove");
        second.release().await;
        assert!(matches!(a.check().await.unwrap(), LeaseStatus::Acquired(_)), "a released lease is free at once");
    });
}
