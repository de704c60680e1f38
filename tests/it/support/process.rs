//! `squelch run` as a process of its own, and what a test asks of it and of the server beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::{self, Context};
use futures::StreamExt;

use crate::support::demo::demo_files;
use crate::support::nats::{NatsServer, free_port};
use crate::support::{binary, root};

/// After so long a state is not expected any more. Generous: it only ends a test that would never end, so that a loaded machine is slow
/// and not red.
const STATE_WAIT_MAX: Duration = Duration::from_secs(240);

/// A running `squelch run`.
pub struct Squelch {
    pub child: Option<Child>,
    pub dir: tempfile::TempDir,
    pub http: u16,
}

impl Squelch {
    /// Starts over the demo's rules and topology and waits until it is ready.
    pub fn start(server: &NatsServer, more: &str) -> Self {
        let squelch = Self::spawn(server, more);
        squelch.wait_for("readyz", "ready");
        squelch
    }

    /// Starts and does not wait.
    pub fn spawn(server: &NatsServer, more: &str) -> Self {
        Self::spawn_as(server, more, &[])
    }

    /// Starts one that does a part of the work.
    pub fn spawn_as(server: &NatsServer, more: &str, role: &[&str]) -> Self {
        let (dir, http) = (tempfile::tempdir().unwrap(), free_port());
        Self { child: Some(command(&dir, &server.url(), http, more).args(role).spawn().unwrap()), dir, http }
    }

    pub fn wait_for(&self, path: &str, wanted: &str) -> String {
        wait_for(self.http, path, wanted, &|| self.log())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// SIGTERM; returns what it exits with.
    pub fn stop(mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(killed.success());
        child.wait().unwrap().code()
    }
}

impl Drop for Squelch {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A squelch that may be killed: its folder, with the checkpoints, stays.
pub struct Mortal {
    pub dir: tempfile::TempDir,
    pub http: u16,
    url: String,
    more: String,
    /// What its environment holds besides.
    pub env: Vec<(String, String)>,
    child: Option<Child>,
}

impl Mortal {
    /// One that is not running.
    pub fn new(server: &NatsServer, more: &str) -> Self {
        let (dir, http) = (tempfile::tempdir().unwrap(), free_port());
        Self { dir, http, url: server.url(), more: more.into(), env: Vec::new(), child: None }
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) {
        self.spawn();
        self.wait_for("readyz", "ready");
    }

    /// Starts it and waits for nothing.
    pub fn spawn(&mut self) {
        let mut command = command(&self.dir, &self.url, self.http, &self.more);
        self.child = Some(command.envs(self.env.iter().cloned()).spawn().unwrap());
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// SIGTERM; waits for its end.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let code = self.child.take().unwrap().wait().unwrap().code();
        assert_eq!(code, Some(0), "{}", self.log());
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits until it shows what is wanted; returns all that it shows there.
    pub fn wait_for(&self, path: &str, wanted: &str) -> String {
        wait_for(self.http, path, wanted, &|| self.log())
    }

    /// What it said since its last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until it has logged this.
    pub fn wait_for_log(&self, wanted: &str) {
        let deadline = Instant::now() + STATE_WAIT_MAX;
        while !self.log().contains(wanted) {
            assert!(Instant::now() < deadline, "it never logs {wanted}: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.kill();
    }
}

fn wait_for(http: u16, path: &str, wanted: &str, log: &dyn Fn() -> String) -> String {
    let deadline = Instant::now() + STATE_WAIT_MAX;
    loop {
        let got = get(http, path).unwrap_or_default();
        if got.contains(wanted) {
            return got;
        }
        assert!(Instant::now() < deadline, "/{path} never shows {wanted}: {got}\n{}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The value of a metric without labels, or with these written out.
pub fn metric(http: u16, name: &str) -> f64 {
    let text = get(http, "metrics").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} is not shown: {text}"))
}

pub fn configuration(dir: &tempfile::TempDir, url: &str, http: u16, more: &str) -> std::path::PathBuf {
    std::fs::write(dir.path().join("topology.yaml"), demo_files().1).unwrap();
    let nats = if more.contains("nats:") { String::new() } else { format!("nats: {{ servers: [\"{url}\"] }}\n") };
    let rules = if more.contains("rules:") { String::new() } else { format!("rules: {}\n", root().join("rules").display()) };
    let topology = if more.contains("topology:") { "" } else { "topology: topology.yaml\n" };
    let text = format!("{nats}{rules}{topology}http: {{ listen: \"127.0.0.1:{http}\" }}\n{more}");
    let file = dir.path().join("squelch.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

/// A `squelch run` over the demo's rules and topology.
pub fn command(dir: &tempfile::TempDir, url: &str, http: u16, more: &str) -> Command {
    let config = configuration(dir, url, http, more);
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let mut command = Command::new(binary());
    command.args(["run", "--config"]).arg(config).stdout(Stdio::null()).stderr(log);
    command
}

pub fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET /{path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

pub async fn context(server: &NatsServer) -> Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

/// Waits until the stream holds as many messages as wanted, or no more come; returns all of them.
pub async fn read_stream(context: &Context, stream: &str, wanted: usize) -> Vec<StreamMessage> {
    let mut stream = context.get_stream(stream).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    let (mut held, mut grew_at) = (0, Instant::now());
    while (held as usize) < wanted && Instant::now() < deadline && (held == 0 || grew_at.elapsed() < Duration::from_secs(60)) {
        let now = stream.info().await.unwrap().state.messages;
        if now > held {
            (held, grew_at) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut got = Vec::new();
    for sequence in 1..=held {
        got.push(stream.get_raw_message(sequence).await.unwrap());
    }
    got
}

/// The stream of alerts holds each change once, and the last one of each alert is what the incidents say of it.
pub async fn the_alerts_are_published(context: &Context, revisions: &[String], about: &str) {
    let key = |alert: &serde_json::Value| (alert["fingerprint"].to_string(), alert["started_at"].to_string());
    let held = context.get_stream("ALERTS").await.unwrap().info().await.unwrap().state.messages as usize;
    let mut ids = BTreeSet::new();
    let mut last = BTreeMap::new();
    for message in read_stream(context, "ALERTS", held).await {
        let update: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        let text = |field: &str| update[field].as_str().unwrap().to_string();
        let id = format!("{}-{}-{}", text("incident"), update["revision"], text("fingerprint"));
        assert_eq!(message.headers.get("Nats-Msg-Id").unwrap().as_str(), id, "{about}");
        let head = format!("alerts.{}.{}.", text("env"), text("severity"));
        assert!(message.subject.starts_with(&head), "{} {about}", message.subject);
        assert!(ids.insert(id), "published twice: {update} {about}");
        last.insert(key(&update), update);
    }
    let listed = revisions.iter().flat_map(|line| {
        let revision: serde_json::Value = serde_json::from_str(line).unwrap();
        revision["alerts"].as_array().unwrap().clone()
    });
    let listed: BTreeMap<_, _> = listed.map(|alert| (key(&alert), alert)).collect();
    assert!(!listed.is_empty(), "{about}");
    for (key, alert) in listed {
        let update = last.get(&key).unwrap_or_else(|| panic!("no message of {alert} {about}"));
        for (field, value) in alert.as_object().unwrap() {
            assert_eq!(update[field], *value, "{field} of {alert} {about}");
        }
    }
}

/// The bucket holds what was said last of each incident that is open after these revisions, and nothing else.
pub async fn the_open_are_shown(context: &Context, revisions: &[String], about: &str) {
    let mut open = BTreeMap::new();
    for line in revisions {
        let revision: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = revision["id"].as_str().unwrap().to_string();
        if revision["status"] == "open" {
            open.insert(id, line.as_bytes())
        } else {
            open.remove(&id)
        };
    }
    let bucket = context.get_key_value("squelch_incidents").await.unwrap();
    let keys: Vec<String> = bucket.keys().await.unwrap().map(|key| key.unwrap()).collect().await;
    assert_eq!(keys.len(), open.len(), "open incidents in the bucket: {keys:?} {about}");
    for (id, line) in open {
        assert_eq!(bucket.get(&id).await.unwrap().unwrap(), line, "{about}");
    }
}

/// What `squelch replay` prints for the demo's events.
pub fn replayed() -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let (events, topology) = demo_files();
    std::fs::write(dir.path().join("events.jsonl"), events).unwrap();
    std::fs::write(dir.path().join("topology.yaml"), topology).unwrap();
    let done = Command::new(binary())
        .current_dir(dir.path())
        .args(["replay", "--topology", "topology.yaml", "--events", "events.jsonl", "--rules"])
        .arg(root().join("rules"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(String::from).collect()
}
