//! A squelch that takes in, the server behind it, and a sender that posts exactly what a test says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use async_nats::jetstream::message::StreamMessage;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::nats::NatsServer;
use crate::support::process::{Squelch, context, get, runtime};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or("(no text)")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Sends one request and reads its answer.
pub fn request(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: squelch\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n")).unwrap();
    // Whoever refuses a body may close before all of it is sent.
    drop(stream.write_all(body));
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    answer(&bytes)
}

/// What an answer's bytes say.
pub fn answer(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("no answer: {bytes:?}"));
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.into())).collect();
    Answer { status, headers, body: bytes[end + 4..].to_vec() }
}

/// A running squelch with its server.
pub struct Rig {
    pub server: NatsServer,
    pub squelch: Squelch,
    pub runtime: Runtime,
    _rules: TempDir,
}

/// Rules for what the senders of docs/collectors.md send.
const RULES: [(&str, &str); 2] = [
    ("no_connection", "FROM logs WHERE body LIKE '%no connection%'"),
    ("http_errors", "FROM metrics WHERE name = 'http.errors'"),
];

fn write_rules(dir: &TempDir) {
    for (rule, from) in RULES {
        let head = format!("/*---\nrule: {rule}\nseverity: critical\ninstant: true\n---*/\n");
        let text = format!("{head}SELECT env, coalesce(service, host, 'unknown') AS service, 1 AS value\n{from}\n");
        std::fs::write(dir.path().join(format!("{rule}.sql")), text).unwrap();
    }
}

impl Rig {
    /// With more settings. Event time advances soon without events, so that a rule need not wait for the next one.
    pub fn start(more: &str) -> Self {
        let (server, rules) = (NatsServer::start(), tempfile::tempdir().unwrap());
        write_rules(&rules);
        let settings = format!("rules: {}\ntime: {{ idle: 1s, lateness: 1s }}\n{more}", rules.path().display());
        let squelch = Squelch::start(&server, &settings);
        Self { server, squelch, runtime: runtime(), _rules: rules }
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        request(self.squelch.http, "POST", path, headers, body)
    }

    /// Waits until the stream of events holds so many messages; returns all.
    pub fn stored(&self, wanted: usize) -> Vec<StreamMessage> {
        self.stored_until(&format!("{wanted} messages"), |messages| messages.len() >= wanted)
    }

    /// Waits until the stream of events holds what is wanted; returns all.
    pub fn stored_until(&self, what: &str, wanted: impl Fn(&[StreamMessage]) -> bool) -> Vec<StreamMessage> {
        self.messages_until("EVENTS", what, wanted)
    }

    /// Waits for an incident with an alert of this rule, or of this name in another system; returns the revision.
    pub fn incident(&self, rule: &str) -> serde_json::Value {
        let has = |revision: &serde_json::Value| revision["alerts"].as_array().unwrap().iter().any(|alert| alert["rule"] == rule);
        self.revision(&format!("an incident of {rule}"), has)
    }

    /// Waits for a revision of an incident; returns it.
    pub fn revision(&self, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let revision = |message: &StreamMessage| serde_json::from_slice::<serde_json::Value>(&message.payload).unwrap();
        let messages =
            self.messages_until("INCIDENTS", what, |messages| messages.iter().any(|message| wanted(&revision(message))));
        messages.iter().map(revision).find(wanted).unwrap()
    }

    fn messages_until(&self, stream: &str, what: &str, wanted: impl Fn(&[StreamMessage]) -> bool) -> Vec<StreamMessage> {
        self.runtime.block_on(async {
            let mut stream = context(&self.server).await.get_stream(stream).await.unwrap();
            let deadline = Instant::now() + Duration::from_secs(90);
            let mut got = Vec::new();
            loop {
                for sequence in got.len() as u64 + 1..=stream.info().await.unwrap().state.messages {
                    got.push(stream.get_raw_message(sequence).await.unwrap());
                }
                if wanted(&got) {
                    return got;
                }
                let rejected = || {
                    get(self.squelch.http, "metrics")
                        .unwrap_or_default()
                        .lines()
                        .filter(|line| line.starts_with("squelch_rejected_total") && !line.ends_with(" 0"))
                        .map(String::from)
                        .collect::<Vec<_>>()
                };
                assert!(Instant::now() < deadline, "{what} never comes, but {got:?}; {:?}\n{}", rejected(), self.squelch.log());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    }
}

/// A header of a stored message; empty where it is missing.
pub fn header<'a>(message: &'a StreamMessage, name: &str) -> &'a str {
    message.headers.get(name).map_or("", |value| value.as_str())
}
