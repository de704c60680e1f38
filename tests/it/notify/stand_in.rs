//! A stand-in of an HTTP receiver: keeps every request, checks it, and fails as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// One request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What it was answered with.
    pub status: u16,
    pub at: Instant,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{}: no JSON: {error}", self.path))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn taken(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// How the next request is answered.
#[derive(Clone, Debug)]
pub enum Mood {
    /// This status and body.
    Status(u16, String),
    /// 429 with `Retry-After`, in seconds.
    Busy(u64),
    /// After so long, as usual.
    Slow(Duration),
    /// It takes the request, does what it asks, and never answers.
    TakeAndHang,
}

type Answers = dyn Fn(&Seen) -> Result<(u16, String), String> + Send + Sync;

struct Shared {
    seen: Mutex<Vec<Seen>>,
    moods: Mutex<VecDeque<Mood>>,
    /// What is wrong with requests that came.
    wrong: Mutex<Vec<String>>,
    answers: Box<Answers>,
}

/// A running stand-in.
pub struct StandIn {
    shared: Arc<Shared>,
    pub port: u16,
    runtime: Option<tokio::runtime::Runtime>,
}

impl StandIn {
    /// Answers as `answers` says, which also checks the request.
    pub fn start(answers: impl Fn(&Seen) -> Result<(u16, String), String> + Send + Sync + 'static) -> Self {
        Self::start_at(0, answers)
    }

    pub fn start_at(port: u16, answers: impl Fn(&Seen) -> Result<(u16, String), String> + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            moods: Mutex::default(),
            wrong: Mutex::default(),
            answers: Box::new(answers),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", port))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let for_requests = Arc::clone(&shared);
        let handle = move |uri: Uri, headers: HeaderMap, body: Bytes| answer(Arc::clone(&for_requests), uri, headers, body);
        let router = Router::new().fallback(handle);
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, port, runtime: Some(runtime) }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next requests are answered like this, one each.
    pub fn moods(&self, moods: impl IntoIterator<Item = Mood>) {
        self.shared.moods.lock().unwrap().extend(moods);
    }

    /// All that comes from here on is answered with success.
    pub fn recover(&self) {
        self.shared.moods.lock().unwrap().clear();
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Those that were answered with success.
    pub fn taken(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(Seen::taken).collect()
    }

    /// Waits until what came satisfies, and returns it.
    pub fn wait(&self, what: &str, satisfied: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let seen = self.seen();
            let wrong = self.shared.wrong.lock().unwrap().clone();
            assert!(wrong.is_empty(), "the stand-in refuses: {wrong:#?}");
            if satisfied(&seen) {
                return seen;
            }
            let short: Vec<String> =
                seen.iter().map(|it| format!("{} {} {}", it.status, it.path, String::from_utf8_lossy(&it.body))).collect();
            assert!(Instant::now() < deadline, "never came: {what}; what came: {short:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Nothing is wrong with any request that came.
    pub fn check(&self) {
        let wrong = self.shared.wrong.lock().unwrap().clone();
        assert!(wrong.is_empty(), "the stand-in refuses: {wrong:#?}");
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(shared: Arc<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_string();
    let mut seen = Seen { path, headers, body, status: 0, at: Instant::now() };
    let mood = shared.moods.lock().unwrap().pop_front();
    let hangs = matches!(mood, Some(Mood::TakeAndHang));
    let (mut retry_after, mut text) = (None, String::new());
    match mood {
        Some(Mood::Status(status, body)) => (seen.status, text) = (status, body),
        Some(Mood::Busy(seconds)) => (seen.status, retry_after) = (429, Some(seconds)),
        Some(Mood::Slow(time)) => tokio::time::sleep(time).await,
        Some(Mood::TakeAndHang) | None => {}
    }
    if seen.status == 0 {
        match (shared.answers)(&seen) {
            Ok((status, body)) => (seen.status, text) = (status, body),
            Err(wrong) => {
                seen.status = 400;
                let what = format!("{wrong}: {} {}", seen.path, String::from_utf8_lossy(&seen.body));
                shared.wrong.lock().unwrap().push(what);
            }
        }
    }
    let status = StatusCode::from_u16(seen.status).unwrap();
    shared.seen.lock().unwrap().push(seen);
    if hangs {
        return std::future::pending().await;
    }
    match retry_after {
        Some(seconds) => (status, [("retry-after", seconds.to_string())], text).into_response(),
        None => (status, text).into_response(),
    }
}

/// An ordinary endpoint that takes everything.
pub fn takes_all() -> StandIn {
    StandIn::start(|_| Ok((200, "ok".into())))
}

/// PagerDuty's Events API: checks each request against its published schema and limits.
pub fn pagerduty() -> StandIn {
    StandIn::start(|seen| {
        let event = seen.json();
        check_pagerduty(&seen.path, seen.body.len(), &event)?;
        let key = event["dedup_key"].as_str().unwrap_or_default();
        Ok((202, format!(r#"{{"status":"success","message":"Event processed","dedup_key":"{key}"}}"#)))
    })
}

fn check_pagerduty(path: &str, bytes: usize, event: &Value) -> Result<(), String> {
    let text = |value: &Value, what: &str, max: usize| match value.as_str() {
        Some(text) if !text.is_empty() && text.chars().count() <= max => Ok(()),
        other => Err(format!("{what} is {other:?}")),
    };
    if bytes > 512_000 {
        return Err(format!("{bytes} bytes"));
    }
    text(&event["routing_key"], "routing_key", 32)?;
    let known: &[&str] = match path {
        "/v2/enqueue" => &["routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"],
        "/v2/change/enqueue" => &["routing_key", "payload", "links", "images"],
        other => return Err(format!("there is no {other}")),
    };
    let object = event.as_object().ok_or("no object")?;
    if let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("unknown key {unknown}"));
    }
    let triggers = event["event_action"] == "trigger";
    if path == "/v2/enqueue" {
        if !["trigger", "acknowledge", "resolve"].contains(&event["event_action"].as_str().unwrap_or_default()) {
            return Err("event_action".into());
        }
        text(&event["dedup_key"], "dedup_key", 255)?;
    }
    if triggers || path == "/v2/change/enqueue" {
        text(&event["payload"]["summary"], "payload.summary", 1024)?;
        text(&event["payload"]["source"], "payload.source", 255)?;
    }
    if triggers && !["critical", "error", "warning", "info"].contains(&event["payload"]["severity"].as_str().unwrap_or_default())
    {
        return Err("payload.severity".into());
    }
    for link in event["links"].as_array().into_iter().flatten() {
        text(&link["href"], "a link's href", 2_048)?;
    }
    Ok(())
}
