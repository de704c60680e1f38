//! What is not taken in: the sender gets an error of its own system's shape, drops what it cannot mend and sends the rest again.

use std::time::{Duration, Instant};

use crate::intake::rig::{Answer, Rig, request};
use crate::support::nats::{NatsServer, free_port};
use crate::support::process::{Squelch, configuration, runtime};

const PROTOBUF: [(&str, &str); 1] = [("Content-Type", "application/x-protobuf")];
const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn sha256(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks the refusal of one system: its status, and a text that its body holds.
fn refused(answer: &Answer, status: u16, holds: &str, path: &str) {
    assert_eq!(answer.status, status, "{path}: {}", answer.text());
    let body = String::from_utf8_lossy(&answer.body);
    assert!(body.contains(holds), "{path}: {body} lacks {holds}");
}

/// In each system's own shape, and with the reason: path, type, status, a part of the body.
const WITHOUT_TOKEN: [(&str, &str, u16, &str); 15] = [
    ("/events", "application/json", 401, r#"{"error":"no valid token"#),
    ("/v1/metrics", "application/x-protobuf", 401, "\u{8}\u{10}\u{12}1no valid token"),
    ("/v1/logs", "application/json", 401, r#"{"code":16,"message":"no valid token"#),
    ("/api/v1/write", "application/x-protobuf", 401, "no valid token: see intake.tokens in squelch.yaml\n"),
    ("/api/v2/alerts", "application/json", 401, "\"no valid token"),
    ("/loki/api/v1/push", "application/json", 401, "no valid token: see intake.tokens in squelch.yaml\n"),
    ("/_bulk", "application/x-ndjson", 401, r#""type":"security_exception"}],"#),
    ("/services/collector", "", 401, r#"{"code":2,"text":"Token is required"}"#),
    ("/api/v2/series", "application/json", 403, r#"{"errors":["no valid token"#),
    ("/metric/v1", "application/json", 403, r#"{"error":{"message":"no valid token"#),
    ("/logstash", "application/json", 401, "no valid token"),
    ("/v2/enqueue", "application/json", 401, r#""status":"invalid event"#),
    ("/kubernetes/events", "application/json", 401, r#"{"error":"no valid token"#),
    ("/webhooks/grafana", "application/json", 401, r#"{"error":"no valid token"#),
    ("/webhooks/splunk?token=wrong", "application/json", 401, r#"{"error":"no valid token"#),
];

#[test]
fn who_shows_no_token_is_refused_and_counted() {
    const SECRET: &str = "correct-horse-battery";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "from-a-file\n").unwrap();
    let tokens = format!("[{{ name: web, sha256: {} }}, {{ name: agent, token_file: {} }}]", sha256(SECRET), file.display());
    let rig = Rig::start(&format!("intake: {{ tokens: {tokens} }}\n"));
    for (path, content_type, status, holds) in WITHOUT_TOKEN {
        let typed = ("Content-Type", content_type);
        refused(&rig.post(path, &[typed], b"{}"), status, holds, path);
        refused(&rig.post(path, &[typed, ("DD-API-KEY", "wrong-token-9f")], b"{}"), status, holds, path);
    }
    let wrong = rig.post("/services/collector", &[("Authorization", "Splunk wrong-token-9f")], b"{}");
    refused(&wrong, 403, r#"{"code":4,"text":"Invalid token"}"#, "/services/collector");
    let validate = request(rig.squelch.http, "GET", "/api/v1/validate", &[], b"");
    refused(&validate, 403, "no valid token", "/api/v1/validate");
    let bearer = format!("Bearer {SECRET}");
    assert_eq!(rig.post("/events", &[("Authorization", &bearer)], b"{}").status, 200);
    assert_eq!(rig.post("/events/logs", &[("DD-API-KEY", "from-a-file")], b"{}").status, 200);
    let page = format!(r#"{{"routing_key":"{SECRET}","event_action":"trigger","payload":{{}}}}"#);
    assert_eq!(rig.post("/v2/enqueue", &[], page.as_bytes()).status, 202);
    assert_eq!(rig.post(&format!("/webhooks/splunk?token={SECRET}"), &[], b"{}").status, 200);
    let stored = rig.stored(4);
    let subjects: Vec<&str> = stored.iter().map(|message| message.subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "events.native_json.web",
            "events.logs.native_json.agent",
            "events.alerts.pagerduty_events.web",
            "events.alerts.splunk_webhook.web"
        ]
    );
    let metrics = rig.squelch.wait_for("metrics", "system=\"otlp\",format=\"none\",outcome=\"unauthorized\"} 4");
    assert!(metrics.contains("system=\"native\",format=\"none\",outcome=\"unauthorized\"} 2"), "{metrics}");
    let log = rig.squelch.log();
    assert!(!log.contains(SECRET) && !log.contains("wrong-token-9f") && !log.contains(&sha256(SECRET)), "{log}");
}

/// Of a type that the endpoint does not take, empty, or with a claim of a size that nothing has.
#[test]
fn what_cannot_be_decoded_is_refused() {
    let rig = Rig::start("");
    let snappy_bomb = [0x80, 0x80, 0x80, 0x80, 0x10, 0];
    refused(&rig.post("/v1/metrics", &[("Content-Type", "text/plain")], b"a"), 415, "text/plain", "/v1/metrics");
    refused(&rig.post("/api/v1/write", &PROTOBUF, &snappy_bomb), 400, "snappy", "/api/v1/write");
    refused(&rig.post("/api/v1/write", &PROTOBUF, &[0x80, 0x80, 0x80, 0x80, 0x08, 0]), 413, "too large", "/api/v1/write");
    refused(&rig.post("/api/v1/write", &[("Content-Type", "application/json")], b"{}"), 415, "application/x-protobuf", "write");
    let v2 = [("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request")];
    refused(&rig.post("/api/v1/write", &v2, b"a"), 415, "write.v3.Request is unknown", "/api/v1/write");
    let v2 = [("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")];
    refused(&rig.post("/api/v1/write", &v2, &[2, 4, 42, 9]), 400, "no io.prometheus.write.v2.Request", "/api/v1/write");
    refused(&rig.post("/events", &JSON, b""), 400, "empty", "/events");
    refused(&rig.post("/services/collector", &[], b""), 400, r#"{"code":5,"text":"No data"}"#, "/services/collector");
    refused(&rig.post("/v2/enqueue", &JSON, b"{\"event_action\":\"resolve\"}"), 400, "'dedup_key' is missing", "/v2/enqueue");
    refused(&rig.post("/v2/enqueue", &JSON, b"{"), 400, "invalid event", "/v2/enqueue");
    refused(&rig.post("/loki/api/v1/push", &[("Content-Type", "text/html")], b"a"), 415, "text/html", "/loki/api/v1/push");
    assert_eq!(rig.post("/events", &JSON, b"{}").status, 200);
    assert_eq!(rig.stored(1).len(), 1, "nothing else is stored");
}

#[test]
fn a_body_over_the_limit_is_refused_whether_it_says_its_size_or_not() {
    let rig = Rig::start("intake: { body_bytes: 5000 }\n");
    refused(&rig.post("/events", &JSON, &[b' '; 5001]), 413, "5001 bytes of at most 5000", "/events");
    let mut chunked = b"POST /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..3 {
        chunked.extend_from_slice(b"7d0\r\n");
        chunked.extend_from_slice(&[b' '; 2000]);
        chunked.extend_from_slice(b"\r\n");
    }
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", rig.squelch.http)).unwrap();
    std::io::Write::write_all(&mut stream, &chunked).unwrap();
    let mut bytes = Vec::new();
    drop(std::io::Read::read_to_end(&mut stream, &mut bytes));
    assert_eq!(crate::intake::rig::answer(&bytes).status, 413);
    assert_eq!(rig.post("/events", &JSON, &[b' '; 5000]).status, 200);
}

/// A sender keeps what a 503 answers, and sends it again.
#[test]
fn while_the_server_is_away_senders_are_asked_to_come_again() {
    let mut rig = Rig::start("");
    assert_eq!(rig.post("/events", &JSON, b"{}").status, 200);
    rig.server.stop();
    rig.squelch.wait_for("readyz", "no connection to NATS");
    for path in [
        "/events",
        "/v1/metrics",
        "/api/v1/write",
        "/api/v2/alerts",
        "/loki/api/v1/push",
        "/_bulk",
        "/services/collector",
        "/api/v2/logs",
        "/log/v1",
        "/logstash",
        "/v2/enqueue",
        "/kubernetes/events",
        "/webhooks/kibana",
    ] {
        let answer = rig.post(path, &JSON, b"{}");
        assert_eq!(answer.status, 503, "{path}: {}", answer.text());
        assert_eq!(answer.headers["retry-after"], "5", "{path}");
    }
    rig.server.restart();
    rig.squelch.wait_for("readyz", "ready\n");
    assert_eq!(rig.post("/events", &JSON, b"{}").status, 200);
    assert_eq!(rig.stored(2).len(), 2, "what was refused is not stored");
    assert!(
        rig.squelch
            .wait_for("metrics", "outcome=\"unavailable\"")
            .contains("system=\"otlp\",format=\"none\",outcome=\"unavailable\"} 1")
    );
}

/// A stream that takes no more is no reason for a sender to drop anything.
#[test]
fn a_full_stream_asks_senders_to_come_again() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let config = async_nats::jetstream::stream::Config {
            name: "EVENTS".into(),
            subjects: vec!["events.>".into()],
            max_messages: 1,
            discard: async_nats::jetstream::stream::DiscardPolicy::New,
            ..Default::default()
        };
        crate::support::process::context(&server).await.create_stream(config).await.unwrap();
    });
    let squelch = Squelch::start(&server, "");
    let post = || request(squelch.http, "POST", "/v1/traces", &PROTOBUF, &[10, 0]);
    assert_eq!(post().status, 200);
    let full = post();
    refused(&full, 503, "the stream does not take it", "/v1/traces");
    assert_eq!(full.headers["retry-after"], "5");
}

/// `squelch intake` does only this, and answers what is under way when it is stopped.
#[test]
fn an_intake_alone_stores_for_a_squelch_that_reads() {
    let server = NatsServer::start();
    let (dir, http, own) = (tempfile::tempdir().unwrap(), free_port(), free_port());
    let config = configuration(&dir, &server.url(), http, &format!("intake: {{ listen: [\"127.0.0.1:{own}\"] }}\n"));
    let mut command = std::process::Command::new(crate::support::binary());
    let mut child = command.args(["intake", "--config"]).arg(&config).stderr(std::process::Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !crate::support::process::get(http, "readyz").unwrap_or_default().contains("ready\n") {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it never is ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(request(own, "POST", "/events/logs", &JSON, b"{}").status, 200);
    assert_eq!(request(http, "POST", "/events/logs", &JSON, b"{}").status, 200);
    assert_eq!(request(own, "GET", "/metrics", &[], b"").status, 404, "its own address is for senders");
    assert!(std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let messages = runtime().block_on(async {
        crate::support::process::context(&server).await.get_stream("EVENTS").await.unwrap().info().await.unwrap().state.messages
    });
    assert_eq!(messages, 2);
}

/// A sender that stops in the middle of a body holds no memory for ever, and is asked to send it again.
#[test]
fn a_body_that_does_not_come_is_given_up() {
    let rig = Rig::start("");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", rig.squelch.http)).unwrap();
    std::io::Write::write_all(
        &mut stream,
        b"POST /v1/logs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    )
    .unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut bytes).unwrap();
    let answer = crate::intake::rig::answer(&bytes);
    refused(&answer, 503, r#"{"code":14,"message":"the body did not come in time"}"#, "/v1/logs");
    assert_eq!(answer.headers["retry-after"], "5");
}

/// Resident memory of a process, in bytes.
fn resident(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Connections that send nothing cost little, and others are served beside them.
#[test]
fn connections_that_send_nothing_cost_little() {
    const CONNECTIONS: usize = 2_000;
    let rig = Rig::start("");
    let id = rig.squelch.child.as_ref().unwrap().id();
    let before = resident(id);
    let silent: Vec<_> =
        (0..CONNECTIONS).map(|_| std::net::TcpStream::connect(("127.0.0.1", rig.squelch.http)).unwrap()).collect();
    // Connections are taken in order: once this is answered, all before it are there.
    assert_eq!(rig.post("/events", &JSON, b"{}").status, 200);
    let each = resident(id).saturating_sub(before) / silent.len();
    assert!(each < 10_000, "a silent connection costs {each} bytes: 10,000 of them more than 100 MB");
}
