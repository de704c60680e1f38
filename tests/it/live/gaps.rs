//! Messages that nobody can read any more are an incident, and a stream or a consumer that somebody took away is found again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::Config as StreamConfig;

use squelch::engine::{Engine, EngineParams, Input};
use squelch::incident::notify::NotifyParams;
use squelch::incident::revision::Revision;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::nats::input::gap::{Gap, GapCause};
use squelch::model::event::LabelKeys;
use squelch::process::pipeline::gap_alert::alert;
use squelch::topology::{Topology, TopologyDefinition};

use crate::support::nats::NatsServer;
use crate::support::process::{Mortal, context, metric, read_stream, runtime};

const START_MS: i64 = 1_773_446_400_000;
/// Times in these tests are long ago; nothing waits, and only events let time go on.
const QUICK: &str = "time: { lateness: 0s, idle: 1h }\nnotify: { wait: 0s }\ncorrelation: { resolve_wait: 1s }\n";

/// Publishes one event, so many seconds after the start.
async fn publish(context: &Context, subject: &'static str, at_s: i64) {
    let ts = START_MS + at_s * 1000;
    let event = format!(r#"{{"kind":"metric","ts":{ts},"name":"m","value":1,"service":"chat","env":"production"}}"#);
    context.publish(subject, event.into()).await.unwrap().await.unwrap();
}

/// What was told of squelch itself: each change with the alert's summary.
async fn told(context: &Context, wanted: usize) -> Vec<(String, String)> {
    let tell = |message: &StreamMessage| {
        assert_eq!(message.subject.as_str(), "incidents.default.critical.squelch");
        let revision: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(revision["alerts"][0]["rule"], "squelch_stream_gap", "{revision}");
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
        (text(&revision["change"]), text(&revision["alerts"][0]["summary"]))
    };
    read_stream(context, "INCIDENTS", wanted).await.iter().map(tell).collect()
}

fn pair(change: &str, summary: &str) -> (String, String) {
    (change.into(), summary.into())
}

/// While squelch is down, messages that it has not read are purged: some of them, or all that there are. The incident names them;
/// it is told once however often squelch is killed after that; it is over after ten minutes of event time.
#[test]
fn what_was_purged_unread_is_an_incident() {
    for (up_to, last) in [(5, 4), (7, 6)] {
        let server = NatsServer::start();
        let mut squelch = Mortal::new(&server, QUICK);
        runtime().block_on(async {
            squelch.start();
            let context = context(&server).await;
            publish(&context, "events.metrics.a", 0).await;
            publish(&context, "events.metrics.a", 1).await;
            squelch.wait_for("metrics", "squelch_input_sequence 2");
            squelch.stop();
            for at_s in 2..6 {
                publish(&context, "events.metrics.a", at_s).await;
            }
            context.get_stream("EVENTS").await.unwrap().purge().sequence(up_to).await.unwrap();
            let number = last - 2;
            let summary = format!(
                "stream EVENTS dropped {number} messages before they were read (3 to {last}): alerts may be missing or late"
            );
            squelch.start();
            squelch.wait_for("metrics", &format!("squelch_input_gap_messages_total {number}"));
            publish(&context, "events.metrics.a", 10).await;
            assert_eq!(told(&context, 1).await, [pair("opened", &summary)]);
            for at_s in 11..13 {
                squelch.kill();
                squelch.start();
                publish(&context, "events.metrics.a", at_s).await;
                squelch.wait_for("metrics", "squelch_input_pending_messages 0");
            }
            assert_eq!(metric(squelch.http, "squelch_input_gap_messages_total"), 0.0, "what was told is not found again");
            publish(&context, "events.metrics.a", 599).await;
            publish(&context, "events.metrics.a", 600).await;
            squelch.wait_for("metrics", "squelch_incidents_open 1");
            publish(&context, "events.metrics.a", 604).await;
            publish(&context, "events.metrics.a", 606).await;
            let changes = ["opened", "updated", "resolved"].map(|change| pair(change, &summary));
            assert_eq!(told(&context, 3).await, changes, "{}", squelch.log());
            squelch.stop();
        });
    }
}

/// The same while squelch runs, but is behind.
#[test]
fn what_is_purged_under_a_running_squelch_is_an_incident() {
    let server = NatsServer::start();
    let mut squelch = Mortal::new(&server, QUICK);
    runtime().block_on(async {
        squelch.start();
        let context = context(&server).await;
        publish(&context, "events.metrics.a", 0).await;
        squelch.wait_for("metrics", "squelch_input_sequence 1");
        squelch.signal("STOP");
        // What it asked for before has an end.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        for at_s in 1..10 {
            publish(&context, "events.metrics.a", at_s).await;
        }
        context.get_stream("EVENTS").await.unwrap().purge().sequence(9).await.unwrap();
        squelch.signal("CONT");
        let summary = "stream EVENTS dropped 7 messages before they were read (2 to 8): alerts may be missing or late";
        assert_eq!(told(&context, 1).await, [pair("opened", summary)]);
        squelch.wait_for("metrics", "squelch_input_sequence 10");
        assert_eq!(metric(squelch.http, "squelch_events_total"), 3.0);
        squelch.stop();
    });
}

/// Where only some subjects are read, what is of others is no gap, whether it is there or gone; and nobody knows whose the
/// messages were that are gone unread.
#[test]
fn of_other_subjects_nothing_is_missing() {
    let server = NatsServer::start();
    let mut squelch = Mortal::new(&server, &format!("{QUICK}input: {{ subjects: [\"events.metrics.>\"] }}\n"));
    runtime().block_on(async {
        let context = context(&server).await;
        let config = StreamConfig { name: "EVENTS".into(), subjects: vec!["events.>".into()], ..Default::default() };
        let stream = context.create_stream(config).await.unwrap();
        squelch.start();
        for at_s in 0..3 {
            publish(&context, "events.metrics.a", at_s).await;
            publish(&context, "events.logs.a", at_s).await;
        }
        squelch.wait_for("metrics", "squelch_events_total 3");
        // All is read; what is of others is passed when squelch looks at the stream in the silence.
        squelch.wait_for("metrics", "squelch_input_sequence 6");
        squelch.stop();
        stream.purge().await.unwrap();
        squelch.start();
        publish(&context, "events.metrics.a", 10).await;
        squelch.wait_for("metrics", "squelch_events_total 4");
        squelch.stop();
        publish(&context, "events.logs.a", 20).await;
        publish(&context, "events.metrics.a", 20).await;
        stream.purge().await.unwrap();
        squelch.start();
        publish(&context, "events.metrics.a", 30).await;
        let summary = "stream EVENTS dropped up to 2 messages before they were read (8 to 9, perhaps of other subjects): alerts may be missing or late";
        assert_eq!(told(&context, 1).await, [pair("opened", summary)]);
        squelch.stop();
    });
}

/// A stream that somebody made anew is read from its beginning, by a squelch that runs and by one that starts: the engine goes on
/// where it was, and says so.
#[test]
fn a_stream_that_was_made_anew_is_read_from_its_beginning() {
    for running in [true, false] {
        let server = NatsServer::start();
        let mut squelch = Mortal::new(&server, QUICK);
        runtime().block_on(async {
            squelch.start();
            let context = context(&server).await;
            for at_s in 0..3 {
                publish(&context, "events.metrics.a", at_s).await;
            }
            squelch.wait_for("metrics", "squelch_input_sequence 3");
            if !running {
                squelch.stop();
            }
            let config = context.get_stream("EVENTS").await.unwrap().cached_info().config.clone();
            context.delete_stream("EVENTS").await.unwrap();
            if running {
                let why = squelch.wait_for("readyz", "cannot read since");
                assert!(why.contains("503") && why.contains("stream EVENTS does not exist any more: create it again"), "{why}");
            }
            context.create_stream(config).await.unwrap();
            publish(&context, "events.metrics.a", 4).await;
            publish(&context, "events.metrics.a", 6).await;
            if !running {
                squelch.start();
            }
            let summary =
                "stream EVENTS was deleted and created again: what it held after message 3 was never read: alerts may be missing or late";
            assert_eq!(told(&context, 1).await, [pair("opened", summary)]);
            squelch.wait_for("metrics", "squelch_events_total 5");
            squelch.wait_for("readyz", "200 OK");
            // The place counts in the new stream.
            squelch.kill();
            squelch.start();
            publish(&context, "events.metrics.a", 8).await;
            squelch.wait_for("metrics", "squelch_events_total 6");
            assert_eq!(metric(squelch.http, "squelch_input_gaps_total{cause=\"made_anew\"}"), 0.0);
            squelch.stop();
        });
    }
}

/// A server that comes back with an older copy of the stream, as after a loss of power: squelch reads on from where it ends.
#[test]
fn a_stream_that_lost_its_end_is_read_on() {
    for running in [true, false] {
        let mut server = NatsServer::start();
        let mut squelch = Mortal::new(&server, QUICK);
        runtime().block_on(async {
            squelch.start();
            let before = context(&server).await;
            publish(&before, "events.metrics.a", 0).await;
            squelch.wait_for("metrics", "squelch_input_sequence 1");
            let (store, copy) = (server.dir.path().join("store"), server.dir.path().join("copy"));
            server.restart();
            server.stop();
            copy_folder(&store, &copy);
            server.restart();
            let after = context(&server).await;
            for at_s in 1..4 {
                publish(&after, "events.metrics.a", at_s).await;
            }
            squelch.wait_for("metrics", "squelch_input_sequence 4");
            if !running {
                squelch.stop();
            }
            server.stop();
            std::fs::remove_dir_all(&store).unwrap();
            std::fs::rename(&copy, &store).unwrap();
            server.restart();
            if !running {
                squelch.start();
            }
            squelch.wait_for("metrics", "squelch_input_gaps_total{cause=\"cut_short\"} 1");
            let after = context(&server).await;
            publish(&after, "events.metrics.a", 5).await;
            publish(&after, "events.metrics.a", 7).await;
            let summary =
                "stream EVENTS ends at message 1, but message 4 had been read: it lost its end: alerts may be missing or late";
            assert_eq!(told(&after, 1).await, [pair("opened", summary)]);
            squelch.wait_for("metrics", "squelch_events_total 6");
            squelch.stop();
        });
    }
}

fn copy_folder(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// What squelch raises by itself is said at the time that events have come to, over a restart as well; raised again, it lasts longer.
#[test]
fn what_is_raised_counts_from_the_time_of_events() {
    let params = EngineParams { lateness_ms: 0, notify: NotifyParams { wait_ms: 0, ..Default::default() }, ..Default::default() };
    let fresh = || Engine::new(Vec::new(), Topology::new(TopologyDefinition::default()), &params).unwrap();
    let gap = |last| Gap {
        stream: "EVENTS".into(),
        cause: GapCause::Dropped { first: 3, last, exact: true },
        stream_created_ns: 1,
        after: last,
    };
    let mut decoder = Decoder::new(&LabelKeys::default(), i64::MAX);
    let mut events = |at_s: &[i64]| {
        for at_s in at_s {
            let line = format!(r#"{{"kind":"metric","ts":{},"name":"m","value":1}}"#, START_MS + at_s * 1000);
            decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{bad:?}"));
        }
        decoder.take()
    };
    let mut engine = fresh();
    let mut told = Vec::new();
    let mut hear = |revisions: Vec<Revision>| {
        let tell = |revision: &Revision| format!("{} {}", (revision.updated_at - START_MS) / 1000, revision.change.as_str());
        told.extend(revisions.iter().map(tell));
    };
    hear(engine.step(Input::SelfAlert(alert(&gap(7)))));
    let saved = engine.save().unwrap().into_loaded().unwrap();
    engine = fresh();
    hear(engine.restore(&saved).unwrap());
    hear(engine.step(Input::Events(&events(&[0, 2, 300]))));
    hear(engine.step(Input::SelfAlert(alert(&gap(9)))));
    hear(engine.step(Input::Events(&events(&[601, 700, 899]))));
    let over = engine.step(Input::Events(&events(&[902, 1_200])));
    assert!(told.len() == 1 && told[0].starts_with("1 opened"), "{told:?}");
    assert!(over.iter().any(|revision| revision.change.as_str() == "resolved"), "{} revisions", over.len());
}
