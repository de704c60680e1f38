//! The topology as a live thing: a file and a bucket that change under a running squelch, and what an engine learns by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::jetstream::{self, kv};
use serde_json::Value;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::incident::revision::Revision;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::incident_message;
use squelch::process::config::Config;
use squelch::rule::check::from_texts;
use squelch::topology::definition::TopologySource;
use squelch::topology::{Edge, Topology, TopologyDefinition};

use crate::live::run::{Squelch, context, read_stream, runtime};
use crate::support::expect::first_difference;
use crate::support::nats::NatsServer;
use crate::support::runs::Scenario;
use crate::support::{folders, root};

/// One running squelch and what is said to it.
struct Live {
    server: NatsServer,
    squelch: Squelch,
    runtime: tokio::runtime::Runtime,
    started_ms: i64,
}

const SETTINGS: &str = "reload: 200ms\ntime: { lateness: 0s, idle: 1s }\nnotify: { wait: 0s }\n";

impl Live {
    fn start(server: NatsServer, topology: &str) -> Self {
        let squelch = Squelch::start(&server, &format!("{SETTINGS}{topology}\n"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        Self { server, squelch, runtime: runtime(), started_ms: now - 60_000 }
    }

    fn write_file(&self, text: &str) {
        std::fs::write(self.squelch.dir.path().join("topology.yaml"), text).unwrap();
    }

    fn publish(&self, event: String) {
        self.runtime.block_on(async {
            context(&self.server).await.publish("events.mixed", event.into()).await.unwrap().await.unwrap();
        });
    }

    fn fails(&self, at_s: i64, service: &str) {
        let ts = self.started_ms + at_s * 1000;
        self.publish(format!(
            r#"{{"kind":"alert","ts":{ts},"name":"Down","severity":"critical","service":"{service}","env":"production"}}"#
        ));
    }

    fn revision(&self, wanted: usize) -> Value {
        let got = self.runtime.block_on(async { read_stream(&context(&self.server).await, "INCIDENTS", wanted).await });
        assert_eq!(got.len(), wanted, "{}", self.squelch.log());
        serde_json::from_slice(&got[wanted - 1].payload).unwrap()
    }

    fn put(&self, key: &str, value: &'static str) {
        self.runtime.block_on(async { self.bucket_of().await.put(key, value.into()).await.unwrap() });
    }

    async fn bucket_of(&self) -> kv::Store {
        context(&self.server).await.get_key_value("graph").await.unwrap()
    }
}

/// From -> to, and on which version that was decided.
fn links(revision: &Value) -> Vec<String> {
    let link = |link: &Value| {
        let name = |key: &str| link[key].as_str().unwrap().to_string();
        format!("{}>{} {}", name("from"), name("to"), link["topology_version"])
    };
    let mut all: Vec<String> = revision["links"].as_array().unwrap().iter().map(link).collect();
    all.sort();
    all
}

#[test]
fn a_file_and_a_bucket_change_under_a_running_squelch() {
    let live = Live::start(NatsServer::start(), "topology: { file: topology.yaml, bucket: graph, learn: off }");
    live.write_file("nodes: [chat]");
    live.squelch.wait_for("metrics", "squelch_topology_version 2");
    live.fails(0, "chat");
    let first = live.revision(1);
    assert_eq!(first["topology"]["version"], 2, "{first}");

    live.write_file("edges: [{ from: web, to: chat }]");
    live.squelch.wait_for("metrics", "squelch_topology_version 3");
    live.fails(2, "web");
    let second = live.revision(2);
    assert_eq!((second["id"].clone(), links(&second)), (first["id"].clone(), vec!["web>chat 3".into()]), "{second}");

    live.write_file("edges: [{ form: web, to: chat }]");
    live.squelch.wait_for("metrics", "squelch_topology_reloads_total{source=\"file\",result=\"failed\"} 1");
    live.squelch.wait_for("metrics", "squelch_topology_invalid{source=\"file\"} 1");
    let log = live.squelch.log();
    assert!(log.contains("topology.yaml:1:") && log.contains("its last good version stays in force"), "{log}");

    live.put("teams.mail", "edges: [{ from: mail, to: web, kind: uses }]");
    let metrics = live.squelch.wait_for("metrics", "squelch_topology_version 4");
    for line in
        ["squelch_topology_nodes 3", "squelch_topology_edges{source=\"file\"} 1", "squelch_topology_edges{source=\"bucket\"} 1"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    live.fails(4, "mail");
    let third = live.revision(3);
    assert_eq!(links(&third), ["mail>web 4", "web>chat 3"], "what was tied stays tied, as it was: {third}");

    live.put("teams.mail", "edges: [web]");
    live.squelch.wait_for("metrics", "squelch_topology_invalid{source=\"bucket\"} 1");
    let log = live.squelch.log();
    assert!(log.contains("topology bucket, teams.mail:1:"), "{log}");
    live.runtime.block_on(async { live.bucket_of().await.delete("teams.mail").await.unwrap() });
    live.squelch.wait_for("metrics", "squelch_topology_version 5");
    live.squelch.wait_for("metrics", "squelch_topology_invalid{source=\"bucket\"} 0");
    live.fails(6, "chat-2");
    // Nothing ties mail to the others any more: the part that goes on and the one that leaves say so.
    let apart = live.runtime.block_on(async { read_stream(&context(&live.server).await, "INCIDENTS", 5).await });
    let apart = apart.iter().map(|message| serde_json::from_slice::<Value>(&message.payload).unwrap());
    let apart: Vec<Value> = apart.filter(|revision| revision["change"] == "split").collect();
    assert_eq!(apart.len(), 2, "{}", live.squelch.log());
    let last = &apart[0];
    assert_eq!(last["topology"]["hash"], second["topology"]["hash"], "the graph is again what it was: {last}");
    assert_eq!(last["topology"]["version"], 5);
    assert_eq!(live.squelch.stop(), Some(0));
}

/// The first event is judged with what is in the bucket; edges that spans show come into force by themselves.
#[test]
fn a_bucket_is_read_before_events_and_spans_are_learned_from() {
    let server = NatsServer::start();
    let early = Live::start(server, "topology: { bucket: graph }");
    early.put("all", "edges: [{ from: web, to: chat }]");
    early.squelch.wait_for("metrics", "squelch_topology_version 2");
    let Live { server, squelch, .. } = early;
    assert_eq!(squelch.stop(), Some(0));

    let live = Live::start(server, "topology: { bucket: graph }");
    live.fails(0, "chat");
    live.fails(1, "web");
    let tied = live.revision(2);
    assert_eq!((links(&tied), &tied["topology"]["version"]), (vec!["web>chat 2".into()], &2.into()), "{tied}");
    for trace in 0..3 {
        let span = |id: &str, parent: &str, service: &str| {
            let ts = live.started_ms + 2_000 + trace;
            format!(
                r#"{{"kind":"span","ts":{ts},"name":"call","service":"{service}","env":"production","trace_id":"{trace}","span_id":"{id}","parent_id":"{parent}"}}"#
            )
        };
        live.publish(format!("{}\n{}", span("b", "a", "web"), span("a", "", "mail")));
    }
    live.squelch.wait_for("metrics", "squelch_topology_observations_total 3");
    // Time passes the end of the stretch in which they were seen.
    live.publish(format!(r#"{{"kind":"log","ts":{},"body":"later"}}"#, live.started_ms + 40_000));
    let metrics = live.squelch.wait_for("metrics", "squelch_topology_version 3");
    assert!(metrics.contains("squelch_topology_edges{source=\"learned\"} 1"), "{metrics}");
    live.fails(41, "mail");
    let last = live.revision(3);
    assert!(links(&last).contains(&"mail>web 3".to_string()), "{last}");
    assert_eq!(live.squelch.stop(), Some(0));
}

/// What happens while the broker is away, or forgets who watches, is seen when it is back.
#[test]
fn the_watch_outlives_the_broker() {
    let mut live = Live::start(NatsServer::start(), "topology: { bucket: graph }");
    live.put("a", "edges: [{ from: web, to: chat }]");
    live.squelch.wait_for("metrics", "squelch_topology_nodes 2");
    live.server.restart();
    live.put("b", "edges: [{ from: chat, to: db }]");
    live.squelch.wait_for("metrics", "squelch_topology_nodes 3");
    live.runtime.block_on(async { live.bucket_of().await.purge("a").await.unwrap() });
    live.squelch.wait_for("metrics", "squelch_topology_nodes 2");
    assert_eq!(live.squelch.stop(), Some(0));
}

/// With no more than what docs/topology.md lists, the bucket is read and watched.
#[test]
fn the_permissions_of_the_docs_are_enough() {
    let docs = std::fs::read_to_string(root().join("docs/topology.md")).unwrap();
    let listed = docs.split("publish: [").nth(1).and_then(|tail| tail.split(']').next()).unwrap();
    let common = std::fs::read_to_string(root().join("docs/streams.md")).unwrap();
    let common = common.split("publish: [").nth(1).and_then(|tail| tail.split(']').next()).unwrap();
    let squelch = format!("permissions: {{ publish: [{}, {}], subscribe: [\"_INBOX.>\"] }}", common.trim(), listed.trim());
    let users = format!(
        "authorization {{ users: [{{ user: admin, password: a-word }}, {{ user: squelch, password: a-word, {squelch} }}] }}"
    );
    let server = NatsServer::with(&["-js"], &users);
    let runtime = runtime();
    let admin = || async {
        let options = async_nats::ConnectOptions::with_user_and_password("admin".into(), "a-word".into());
        jetstream::new(options.connect(server.url()).await.unwrap())
    };
    runtime.block_on(async {
        let context = admin().await;
        let streams = [("EVENTS", "events.>"), ("REJECTED", "rejected.>"), ("INCIDENTS", "incidents.>"), ("ALERTS", "alerts.>")];
        let streams = streams.into_iter().chain([("COMMANDS", "commands.results.>")]);
        let buckets = [("KV_squelch_incidents", "$KV.squelch_incidents.>"), ("KV_graph", "$KV.graph.>")];
        let buckets = buckets.into_iter().chain([("KV_squelch_silences", "$KV.squelch_silences.>")]);
        for (name, subject) in streams.chain(buckets) {
            let of_a_bucket = i64::from(name.starts_with("KV_"));
            let config = jetstream::stream::Config {
                name: name.into(),
                subjects: vec![subject.into()],
                max_messages_per_subject: of_a_bucket,
                allow_rollup: of_a_bucket == 1,
                ..Default::default()
            };
            context.create_stream(config).await.unwrap();
        }
    });
    let nats = format!("nats: {{ servers: [\"{}\"], user: squelch, password: a-word }}", server.url());
    let squelch = Squelch::start(&server, &format!("{SETTINGS}topology: {{ bucket: graph }}\n{nats}\n"));
    runtime.block_on(async {
        let bucket = admin().await.get_key_value("graph").await.unwrap();
        bucket.put("a", "edges: [{ from: web, to: chat }]".into()).await.unwrap();
    });
    squelch.wait_for("metrics", "squelch_topology_nodes 2");
    assert!(!squelch.log().contains("ermissions"), "{}", squelch.log());
    assert_eq!(squelch.stop(), Some(0));
}

/// A path alone says what it always said; the example shows what holds where a file is silent.
#[test]
fn every_form_of_the_setting_is_read() {
    let read = |text: &str| Config::parse(text, "squelch.yaml").unwrap().topology;
    assert_eq!(read("topology: graph.yaml"), read("topology: { file: graph.yaml }"));
    assert_eq!(read("topology: { file: graph.yaml }").file.as_deref(), Some(Path::new("graph.yaml")));
    assert_eq!((read("topology:"), read("rules: rules")), Default::default());
    let learn = |text: &str| {
        let learn = read(&format!("topology: {{ learn: {text} }}")).learn;
        (learn.spans, learn.metrics)
    };
    let read = [learn("off"), learn("'off'"), learn("[]"), learn("metrics"), learn("[spans, metrics]")];
    assert_eq!(read, [(false, false), (false, false), (false, false), (false, true), (true, true)]);
    let example = Config::read(&root().join("squelch.example.yaml")).unwrap().topology;
    assert_eq!(example.learn, EngineParams::default().learn);
    assert!(example.file.unwrap().is_file(), "relative to the file's folder");
}

fn engine(graph: Topology) -> (Engine, Decoder) {
    let rule = "/*---\nrule: never\nseverity: info\nwindow: 1m\n---*/\nSELECT env, service, max(value) AS value FROM metrics GROUP BY \
                env, service HAVING value > 1e300";
    let book = from_texts(vec![("never.sql".into(), Arc::from(rule))]).unwrap_or_else(|wrong| panic!("{wrong}"));
    let decoder = Decoder::new(&book.label_keys, i64::MAX);
    (Engine::new(book.rules, graph, &EngineParams::default()).unwrap(), decoder)
}

fn parts(edges: &[(&str, &str)]) -> TopologyDefinition {
    TopologyDefinition { nodes: Vec::new(), edges: edges.iter().map(|(from, to)| Edge::calls(from, to)).collect() }
}

/// A change somewhere else in the graph, again and again between batches, makes the same incidents: only the versions tell.
#[test]
fn a_change_elsewhere_changes_nothing() {
    let without_versions = |revisions: Vec<Revision>| -> String {
        let plain = revisions.into_iter().map(|mut revision| {
            revision.topology = Topology::default().stamp();
            revision.links.iter_mut().for_each(|link| Arc::make_mut(link).topology_version = 0);
            incident_message::to_json(&revision) + "\n"
        });
        plain.collect()
    };
    let mut versions = 0;
    for path in folders("fixtures/scenarios") {
        let scenario = Scenario::read(&path);
        let params = scenario.config().engine();
        let (want, _) = scenario.revisions(&scenario.lines, 16);
        let mut batch = 0;
        let (got, engine) = scenario.revisions_between(&scenario.lines, 16, &params, &mut |engine| {
            batch += 1;
            let parts = parts(if batch % 2 == 0 { &[] } else { &[("far", "away")] });
            assert!(engine.step(Input::Topology { source: TopologySource::Bucket, parts }).is_empty());
        });
        versions += engine.topology_size().version;
        assert_eq!(first_difference(&without_versions(want), &without_versions(got)), None, "{}", scenario.name());
    }
    assert!(versions > 200, "{versions} graphs were in force");
}

/// Sources add up; the same graph again is no new version; an incident that is open goes on and is ranked on the new graph, as long
/// as something ties it.
#[test]
fn other_parts_between_batches() {
    let (mut engine, mut decoder) = engine(Topology::new(parts(&[("web", "chat")])));
    let mut step = |engine: &mut Engine, at_s: i64, service: &str| {
        let ts = 1_773_446_400_000 + at_s * 1000;
        let lines = format!(
            "{{\"kind\":\"alert\",\"ts\":{ts},\"name\":\"Down\",\"severity\":\"critical\",\"service\":\"{service}\"}}\n\
             {{\"kind\":\"log\",\"ts\":{},\"body\":\"later\"}}",
            ts + 20_000
        );
        decoder.message(lines.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        engine.step(Input::Events(&decoder.take()))
    };
    let set = |engine: &mut Engine, source, edges: &[(&str, &str)]| {
        assert!(engine.step(Input::Topology { source, parts: parts(edges) }).is_empty());
        engine.topology_size().version
    };
    let opened = step(&mut engine, 0, "web");
    assert_eq!((opened.len(), opened[0].topology.version), (1, 1));
    assert_eq!(set(&mut engine, TopologySource::File, &[("web", "chat"), ("web", "chat"), ("web", "web")]), 1, "the same graph");
    assert_eq!(set(&mut engine, TopologySource::Bucket, &[("chat", "db")]), 2);
    let grown = step(&mut engine, 60, "db");
    let last = grown.last().unwrap();
    assert_eq!((&last.id, last.topology.version, last.links[0].topology_version), (&opened[0].id, 2, 2));
    assert_eq!(last.root_cause().unwrap().entity.as_ref(), "db");

    assert_eq!(set(&mut engine, TopologySource::File, &[]), 3, "web depends on nothing any more");
    let told = engine.step(Input::End);
    assert_eq!(engine.open_incidents(), 2, "nothing ties them any more");
    let apart: Vec<_> = told.iter().map(|revision| (revision.change.as_str(), revision.topology.version)).collect();
    assert_eq!(apart, [("split", 3), ("split", 3)]);
    assert_eq!(set(&mut engine, TopologySource::Bucket, &[]), 4);
    assert_eq!(engine.topology_size().nodes, 0);
}
