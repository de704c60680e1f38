//! The whole process against a real nats-server: what goes in, what comes out, and what it says when it cannot start.

use std::io::Write;
use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::StreamWriter;
use async_nats::HeaderMap;
use async_nats::jetstream;

use crate::support::demo::demo_files;
use crate::support::nats::{NatsServer, free_port};
use crate::support::process::configuration;
use crate::support::tools::{program, python};
use crate::support::{binary, root};

pub use crate::support::process::{
    Squelch, context, get, read_stream, replayed, runtime, the_alerts_are_published, the_open_are_shown,
};

/// Runs a `squelch run` that must not start.
fn refused(url: &str, more: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(&dir, url, free_port(), more);
    Command::new(binary()).args(["run", "--config"]).arg(config).output().unwrap()
}

/// The demo through a real server: the same revisions as a replay, byte for byte, with ids by which a server drops repeats, the
/// open ones in the bucket, and nothing lost in a restart of nobody's state: the stream's position is where it was.
#[test]
fn the_demo_comes_out_as_replayed() {
    let server = NatsServer::start();
    let squelch = Squelch::start(&server, "time: { idle: 1h }\n");
    let want = replayed();
    let runtime = runtime();
    runtime.block_on(async {
        let context = context(&server).await;
        let events = demo_files().0;
        let lines: Vec<&[u8]> = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let mut acks = Vec::new();
        for (i, lines) in lines.chunks(100).enumerate() {
            let (body, encoding) = match i % 3 {
                0 => (lines.join(&b'\n'), ""),
                1 => (gzip(&lines.join(&b'\n')), "gzip"),
                _ => (zstd::encode_all(&lines.join(&b'\n')[..], 1).unwrap(), "zstd"),
            };
            let mut headers = HeaderMap::new();
            headers.insert("Content-Encoding", encoding);
            acks.push(context.publish_with_headers("events.mixed.demo", headers, body.into()).await.unwrap());
        }
        for ack in acks {
            ack.await.unwrap();
        }
        let got = read_stream(&context, "INCIDENTS", want.len()).await;
        // A replay ends with its last event; live, the watermark still waits for what may come late.
        assert!(got.len() + 3 >= want.len(), "{} of {} revisions came: {}", got.len(), want.len(), squelch.log());
        for (message, line) in got.iter().zip(&want) {
            assert_eq!(std::str::from_utf8(&message.payload).unwrap(), line);
            let revision: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = format!("{}-{}", revision["id"].as_str().unwrap(), revision["revision"]);
            assert_eq!(message.headers.get("Nats-Msg-Id").unwrap().as_str(), id);
            let head = format!("incidents.{}.{}.", revision["env"].as_str().unwrap(), revision["severity"].as_str().unwrap());
            assert!(message.subject.starts_with(&head), "{}", message.subject);
        }
        the_open_are_shown(&context, &want[..got.len()], "").await;
        the_alerts_are_published(&context, &want[..got.len()], "").await;
    });
    explained_as_from_a_file(&server, &want);
    let metrics = squelch.wait_for(
        "metrics",
        &format!("squelch_events_total {}", demo_files().0.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()),
    );
    for name in [
        "squelch_incidents_open 3",
        "squelch_input_pending_messages 0",
        "squelch_rule_rows_total{rule=\"http_server_error_rate\"}",
    ] {
        assert!(metrics.contains(name), "{name}:\n{metrics}");
    }
    assert!(get(squelch.http, "healthz").unwrap().contains("alive"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("metrics");
    std::fs::write(&file, &metrics).unwrap();
    let explained = Command::new(binary())
        .args(["explain", "http_server_error_rate", "--rules"])
        .arg(root().join("rules"))
        .arg("--metrics")
        .arg(&file)
        .output()
        .unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("so far, as the running process says:\n  rows "), "{explained}");
    assert_eq!(squelch.stop(), Some(0));
}

/// Of incidents that are over, the story from the stream is the story from a replay's output.
fn explained_as_from_a_file(server: &NatsServer, replayed: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out.jsonl");
    std::fs::write(&file, replayed.join("\n")).unwrap();
    let explain = |id: &str, from: [&str; 2]| {
        let done = Command::new(binary()).current_dir(dir.path()).args(["explain", id]).args(from).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let revisions: Vec<serde_json::Value> = replayed.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let over =
        revisions.iter().filter(|revision| revision["status"] == "resolved").map(|revision| revision["id"].as_str().unwrap());
    let ids: std::collections::BTreeSet<&str> = over.collect();
    assert!(ids.len() > 3, "{ids:?}");
    for id in ids.into_iter().take(4) {
        let (live, file) = (explain(id, ["--nats", &server.url()]), explain(id, ["--from", &file.display().to_string()]));
        assert_eq!(live, file);
        assert!(live.contains("revisions: notified or not") && live.contains(" r1 "), "{live}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An Arrow stream of one row.
fn one_metric(ts: i64) -> Vec<u8> {
    let columns: [(&str, ArrayRef); 3] = [
        ("ts", Arc::new(Int64Array::from(vec![ts]))),
        ("name", Arc::new(StringArray::from(vec!["m"]))),
        ("value", Arc::new(Int64Array::from(vec![1]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Bad lines go to REJECTED with their bytes and the reason; the good ones beside them count; a SIGTERM loses nothing.
#[test]
fn rejected_input_keeps_its_bytes_and_its_reason() {
    let server = NatsServer::start();
    let squelch = Squelch::start(&server, "");
    let runtime = runtime();
    runtime.block_on(async {
        let context = context(&server).await;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        let good = format!(r#"{{"ts":{now},"name":"m","value":1}}"#);
        let future = format!(r#"{{"ts":{},"name":"m","value":1}}"#, now + 3_600_000);
        let mixed = format!("{good}\nthis is no JSON\n{future}\n{good}\n");
        context.publish("events.metrics.a", mixed.clone().into()).await.unwrap().await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Content-Encoding", "gzip");
        context.publish_with_headers("events.logs.b", headers, "not gzip".into()).await.unwrap().await.unwrap();
        context.publish("events.c", good.clone().into()).await.unwrap().await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", "application/vnd.apache.arrow.stream");
        context.publish_with_headers("events.metrics.d", headers.clone(), good.clone().into()).await.unwrap().await.unwrap();
        context.publish_with_headers("events.metrics.e", headers, one_metric(now).into()).await.unwrap().await.unwrap();
        let got = read_stream(&context, "REJECTED", 5).await;
        let seen: Vec<(String, String, String)> = got
            .iter()
            .map(|message| {
                let header = |name: &str| message.headers.get(name).unwrap().as_str().to_string();
                (
                    message.subject.to_string(),
                    header("Squelch-Reason").split(':').next().unwrap().to_string(),
                    String::from_utf8(message.payload.to_vec()).unwrap(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("rejected.events.metrics.a".into(), "json".into(), "this is no JSON".into()),
                ("rejected.events.metrics.a".into(), "future".into(), future),
                ("rejected.events.logs.b".into(), "inflate".into(), "not gzip".into()),
                ("rejected.events.c".into(), "kind".into(), good.clone()),
                ("rejected.events.metrics.d".into(), "arrow".into(), good),
            ]
        );
    });
    squelch.wait_for("metrics", "squelch_events_total 3");
    squelch.wait_for("metrics", "squelch_rejected_total{reason=\"future\"} 1");
    assert!(squelch.log().contains("rejected: `ts`"), "an operator is warned: {}", squelch.log());
    assert_eq!(squelch.stop(), Some(0));
    runtime.block_on(async {
        let stream = context(&server).await.get_stream("EVENTS").await.unwrap();
        let mut consumer = stream.get_consumer::<jetstream::consumer::pull::Config>("squelch").await.unwrap();
        let info = consumer.info().await.unwrap();
        assert_eq!((info.ack_floor.stream_sequence, info.num_pending), (5, 0), "everything was acknowledged");
    });
}

/// A file that changes under a running squelch: a new rule fires, a bad version keeps the old one and says so, a file that is gone
/// takes its alerts along.
#[test]
fn rule_files_are_read_again() {
    let server = NatsServer::start();
    let rules = tempfile::tempdir().unwrap();
    let rule = |name: &str, table: &str| {
        let text = format!(
            "/*---\nrule: {name}\nseverity: critical\ninstant: true\n---*/\nSELECT env, service, labels['{name}'] AS what, 1 AS \
             value FROM {table} WHERE body = '{name}'"
        );
        std::fs::write(rules.path().join(format!("{name}.sql")), text).unwrap();
    };
    rule("first", "logs");
    let more = format!("rules: {}\nreload: 200ms\ntime: {{ lateness: 0s }}\nnotify: {{ wait: 0s }}\n", rules.path().display());
    let squelch = Squelch::start(&server, &more);
    let runtime = runtime();
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64 - 60_000;
    let say = |at_s: i64, body: &str| {
        let event = |at_s: i64, body: &str| {
            format!(
                r#"{{"ts":{},"body":"{body}","service":"chat","env":"production","labels":{{"{body}":"yes"}}}}"#,
                start + at_s * 1000
            )
        };
        let message = format!("{}\n{}", event(at_s, body), event(at_s + 2, "nothing"));
        runtime.block_on(async {
            context(&server).await.publish("events.logs.a", message.into()).await.unwrap().await.unwrap();
        });
    };
    let revisions = |wanted: usize| -> Vec<serde_json::Value> {
        let got = runtime.block_on(async { read_stream(&context(&server).await, "INCIDENTS", wanted).await });
        assert_eq!(got.len(), wanted, "{}", squelch.log());
        got.iter().map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    };
    say(0, "first");
    assert_eq!(revisions(1)[0]["change"], "opened");

    rule("second", "logs");
    squelch.wait_for("metrics", "squelch_rules 2");
    say(4, "second");
    let seen = revisions(2);
    assert!(seen[1].to_string().contains("second"), "{}", seen[1]);

    rule("second", "nowhere");
    squelch.wait_for("metrics", "squelch_rule_stale{rule=\"second\"} 1");
    let metrics = squelch.wait_for("metrics", "squelch_rule_reloads_total{result=\"partly\"} 1");
    assert!(metrics.contains("squelch_rules 2") && metrics.contains("squelch_rule_reloads_total{result=\"ok\"} 1"), "{metrics}");
    let log = squelch.log();
    assert!(log.contains("second.sql:6:") && log.contains("its last good version stays in force"), "{log}");

    rule("second", "logs");
    squelch.wait_for("metrics", "squelch_rule_reloads_total{result=\"ok\"} 2");
    assert!(!get(squelch.http, "metrics").unwrap().contains("squelch_rule_stale{"));
    std::fs::remove_file(rules.path().join("second.sql")).unwrap();
    let hangup = Command::new("kill").args(["-HUP", &squelch.child.as_ref().unwrap().id().to_string()]).status().unwrap();
    assert!(hangup.success());
    squelch.wait_for("metrics", "squelch_rules 1");
    say(8, "second");
    squelch.wait_for("metrics", "squelch_events_total 6");
    assert_eq!(squelch.stop(), Some(0));
}

/// In silence, time goes on: an alert ends although no event says so.
#[test]
fn silence_lets_time_go_on() {
    let server = NatsServer::start();
    let squelch =
        Squelch::start(&server, "time: { idle: 1s, lateness: 0s }\ncorrelation: { resolve_wait: 1s }\nnotify: { wait: 0s }\n");
    let runtime = runtime();
    runtime.block_on(async {
        let context = context(&server).await;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        let alert = format!(
            r#"{{"ts":{now},"name":"Down","status":"firing","severity":"critical","service":"chat","env":"production"}}"#
        );
        context.publish("events.alerts.probe", alert.into()).await.unwrap().await.unwrap();
        let opened = read_stream(&context, "INCIDENTS", 1).await;
        assert_eq!(opened.len(), 1, "{}", squelch.log());
        let revision: serde_json::Value = serde_json::from_slice(&opened[0].payload).unwrap();
        assert_eq!(
            (&revision["change"], &revision["notify"]["send"], &revision["root_cause"]["entity"]),
            (&"opened".into(), &true.into(), &"chat".into())
        );
    });
}

/// Whoever asks is told within some seconds that the server is away, and that it is back.
#[test]
fn a_lost_connection_shows() {
    let mut server = NatsServer::start();
    let squelch = Squelch::start(&server, "");
    server.stop();
    let lost = squelch.wait_for("readyz", "no connection to NATS");
    assert!(lost.contains("503"), "{lost}");
    server.restart();
    squelch.wait_for("readyz", "200 OK");
    assert_eq!(squelch.stop(), Some(0));
}

#[test]
fn a_start_that_fails_names_the_fix() {
    let says = |output: Output| {
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let nobody = says(refused(&format!("nats://127.0.0.1:{}", free_port()), ""));
    assert!(nobody.contains("no NATS server answers") && nobody.contains("nats-server -js"), "{nobody}");

    let locked = NatsServer::with(&["-js"], "authorization { user: someone, password: secret }");
    let wrong = says(refused(
        &locked.url(),
        &format!("nats: {{ servers: [\"{}\"], user: someone, password: wrong-word }}\n", locked.url()),
    ));
    assert!(wrong.contains("refuses the sign-in") && wrong.contains("nats.user"), "{wrong}");
    assert!(!wrong.contains("wrong-word"), "a secret stays out of messages: {wrong}");

    let bare = NatsServer::with(&[], "");
    let without = says(refused(&bare.url(), ""));
    assert!(without.contains("JetStream off") && without.contains("nats-server -js"), "{without}");

    let server = NatsServer::start();
    let runtime = runtime();
    let make = |name: &str, subject: &str, retention| {
        let config =
            jetstream::stream::Config { name: name.into(), subjects: vec![subject.into()], retention, ..Default::default() };
        runtime.block_on(async { context(&server).await.create_stream(config).await.unwrap() });
    };
    make("EVENTS", "other.>", jetstream::stream::RetentionPolicy::Limits);
    let other = says(refused(&server.url(), ""));
    assert!(other.contains("EVENTS holds the subjects other.>, not events.>") && other.contains("input.subjects"), "{other}");
    make("QUEUE", "events.>", jetstream::stream::RetentionPolicy::WorkQueue);
    let queue = says(refused(&server.url(), "input: { stream: QUEUE }\n"));
    assert!(queue.contains("WorkQueue retention") && queue.contains("limits retention"), "{queue}");
    let missing = says(refused(&server.url(), "input: { stream: NOWHERE, subjects: [nowhere.>], create: false }\n"));
    assert!(missing.contains("stream NOWHERE does not exist"), "{missing}");
}

/// A client that others wrote, nats-py, publishes the demo's events and reads the same incidents as a replay prints.
#[test]
fn nats_py_reads_the_same_incidents() {
    let server = NatsServer::start();
    let squelch = Squelch::start(&server, "time: { idle: 1h }\n");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("events.jsonl"), demo_files().0).unwrap();
    std::fs::write(dir.path().join("replay.jsonl"), replayed().join("\n")).unwrap();
    let script = root().join("tests/it/live/nats_py.py");
    let done = python().arg(script).arg(server.url()).current_dir(dir.path()).output().unwrap();
    assert!(
        done.status.success(),
        "{}{}\n{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
        squelch.log()
    );
    assert_eq!(squelch.stop(), Some(0));
}

/// Each way to sign in reaches an incident: user and password, token, and TLS with the server's own authority and a client
/// certificate.
#[test]
fn every_way_to_sign_in_works() {
    let certificates = tempfile::tempdir().unwrap();
    let file = |name: &str| certificates.path().join(name).display().to_string();
    make_certificates(certificates.path());
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        file("server.crt"),
        file("server.key"),
        file("ca.crt")
    );
    let with_tls = format!(
        "nats: {{ servers: [\"tls://127.0.0.1:PORT\"], tls: {{ required: true, ca_file: \"{}\", cert_file: \"{}\", key_file: \"{}\" }} }}\n",
        file("ca.crt"),
        file("client.crt"),
        file("client.key")
    );
    for (server, client) in [
        ("authorization { user: someone, password: secret }", "nats: { servers: [\"URL\"], user: someone, password: secret }\n"),
        ("authorization { token: a-long-token }", "nats: { servers: [\"URL\"], token: a-long-token }\n"),
        (tls.as_str(), with_tls.as_str()),
    ] {
        let server = NatsServer::with(&["-js"], server);
        let client = client.replace("URL", &server.url()).replace("PORT", &server.port.to_string());
        let squelch = Squelch::start(&server, &client);
        assert!(squelch.log().contains("reading events"), "{}", squelch.log());
        assert!(
            !squelch.log().contains("secret") && !squelch.log().contains("a-long-token"),
            "secrets stay out of logs: {}",
            squelch.log()
        );
        assert_eq!(squelch.stop(), Some(0));
    }
    let server = NatsServer::with(&["-js"], &tls);
    let plain = refused(&server.url(), "");
    let said = String::from_utf8(plain.stderr).unwrap();
    assert!(said.contains("nats.tls"), "a client without TLS is told where to set it: {said}");
}

/// An authority, and a server's and a client's certificate that it signed.
fn make_certificates(dir: &std::path::Path) {
    let openssl = |args: &[&str]| {
        let done = program("openssl").args(args).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(
        &[&["req", "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.crt"][..], &key]
            .concat(),
    );
    std::fs::write(dir.join("san"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    for name in ["server", "client"] {
        let (request, private, certificate) = (format!("{name}.csr"), format!("{name}.key"), format!("{name}.crt"));
        openssl(&[&["req", "-subj", "/CN=test", "-keyout", &private, "-out", &request][..], &key].concat());
        openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-extfile",
            "san",
            "-out",
            &certificate,
        ]);
    }
}
