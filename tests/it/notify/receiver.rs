//! `squelch notify` as a process, and the incidents that a test publishes for it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use serde_json::{Value, json};

use crate::support::binary;
use crate::support::nats::{NatsServer, free_port};
use crate::support::process::{context, get, runtime};

/// A notifier that may be killed.
pub struct Notifier {
    pub dir: tempfile::TempDir,
    pub http: u16,
    child: Option<Child>,
}

/// A revision of an incident, as squelch publishes it.
#[derive(Clone, Debug)]
pub struct Revision(pub Value);

impl Revision {
    /// The first of an incident.
    pub fn new(id: &str, severity: &str) -> Self {
        Self(json!({
            "id": id, "revision": 1, "change": "opened", "status": "open", "severity": severity, "env": "production",
            "title": format!("{id}: checkout fails"), "summary": format!("{severity} in production since 02:47:10 UTC."),
            "started_at": "2026-03-14T02:47:10Z", "updated_at": "2026-03-14T02:47:40Z", "resolved_at": null,
            "root_cause": {"entity": "checkout", "score": 0.9, "reasons": ["no other entity fails"]},
            "candidates": [{"entity": "checkout", "score": 0.9, "reasons": ["no other entity fails"]}],
            "entities": ["checkout"],
            "alerts": [{
                "fingerprint": "662ddd2d1c6cceb7", "rule": "error_rate", "status": "firing", "severity": severity, "entity": "checkout",
                "labels": {"env": "production", "service": "checkout", "team": "payments"}, "value": 0.7,
                "started_at": "2026-03-14T02:47:10Z", "ended_at": null, "summary": "checkout: 70% of requests fail",
                "runbook": "https://runbooks.example.com/error-rate", "description": null
            }],
            "links": [], "counts": {"firing": 1, "ended": 0, "by_severity": {}, "by_entity": {}}, "merged_into": null,
            "notify": {"send": true, "code": "first_notification", "reason": "first notification"},
            "topology": {"version": 1, "hash": "3071423422426b52"}
        }))
    }

    /// The next revision of the same incident, of which nobody is notified.
    pub fn next(&self) -> Self {
        let mut next = self.clone();
        next.0["revision"] = json!(self.0["revision"].as_u64().unwrap() + 1);
        next.0["change"] = json!("updated");
        next.notify(false, "nothing_new")
    }

    pub fn notify(mut self, send: bool, code: &str) -> Self {
        self.0["notify"] = json!({"send": send, "code": code, "reason": code.replace('_', " ")});
        self
    }

    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.0[key] = value;
        self
    }

    /// The end of the incident.
    pub fn resolved(&self) -> Self {
        let end = self.next().with("status", json!("resolved")).with("change", json!("resolved"));
        end.with("resolved_at", json!("2026-03-14T02:59:10Z")).notify(true, "resolved")
    }
}

impl Notifier {
    pub fn new(server: &NatsServer, settings: &str) -> Self {
        let (dir, http) = (tempfile::tempdir().unwrap(), free_port());
        let text = format!(
            "nats: {{ servers: [\"{}\"] }}\nhttp: {{ listen: \"127.0.0.1:{http}\" }}\nstandby: {{ lease: 1s }}\n{settings}",
            server.url()
        );
        std::fs::write(dir.path().join("squelch.yaml"), text).unwrap();
        Self { dir, http, child: None }
    }

    /// Starts it and waits until it notifies.
    pub fn start(&mut self) {
        self.spawn();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.log().contains("notifying") {
            assert!(Instant::now() < deadline, "it never notifies: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn spawn(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(binary());
        command.args(["notify", "--config"]).arg(self.dir.path().join("squelch.yaml")).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; waits for its end.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until /metrics shows this line.
    pub fn wait_for_metric(&self, line: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let text = get(self.http, "metrics").unwrap_or_default();
            if text.lines().any(|found| found == line) {
                return;
            }
            assert!(Instant::now() < deadline, "/metrics never shows {line}: {text}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("log of the notifier:\n{}", self.log());
        }
    }
}

/// The stream of incidents of a server, before any notifier has read it.
pub struct Incidents {
    runtime: tokio::runtime::Runtime,
    context: Context,
}

impl Incidents {
    pub fn of(server: &NatsServer) -> Self {
        let runtime = runtime();
        let context = runtime.block_on(context(server));
        for (name, subject) in [("INCIDENTS", "incidents.>"), ("EVENTS", "events.>")] {
            let wanted =
                async_nats::jetstream::stream::Config { name: name.into(), subjects: vec![subject.into()], ..Default::default() };
            runtime.block_on(context.create_stream(wanted)).unwrap();
        }
        Self { runtime, context }
    }

    pub fn publish(&self, revision: &Revision) {
        let body = revision.0.to_string();
        let subject = format!("incidents.production.{}.checkout", revision.0["severity"].as_str().unwrap());
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{}-{}", revision.0["id"].as_str().unwrap(), revision.0["revision"]));
        self.runtime.block_on(async {
            self.context.publish_with_headers(subject, headers, body.into()).await.unwrap().await.unwrap();
        });
    }

    /// The alerts that squelch has raised about itself.
    pub fn alerts(&self) -> Vec<Value> {
        self.runtime.block_on(async {
            let mut stream = self.context.get_stream("EVENTS").await.unwrap();
            let last = stream.info().await.unwrap().state.last_sequence;
            let mut alerts = Vec::new();
            for sequence in 1..=last {
                let message = stream.get_raw_message(sequence).await.unwrap();
                assert_eq!(message.subject.as_str(), "events.alerts.squelch");
                alerts.push(serde_json::from_slice(&message.payload).unwrap());
            }
            alerts
        })
    }

    /// Waits until all revisions are acknowledged by this receiver.
    pub fn wait_until_done(&self, receiver: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let left = self.runtime.block_on(async {
                let stream = self.context.get_stream("INCIDENTS").await.ok()?;
                let mut consumer: async_nats::jetstream::consumer::PullConsumer =
                    stream.get_consumer(&format!("notify_{receiver}")).await.ok()?;
                let info = consumer.info().await.ok()?;
                Some(info.num_pending + info.num_ack_pending as u64)
            });
            if left == Some(0) {
                return;
            }
            assert!(Instant::now() < deadline, "{receiver} is never done: {left:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
