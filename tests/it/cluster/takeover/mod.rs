//! Two processes with one name: one works, the other stands by. Whoever dies, sleeps or stops, and whenever, subscribers get what
//! one process that lived would have published, and nothing twice.

mod fence;
mod standing_by;

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use async_nats::jetstream::{Context, stream};

use crate::support::demo::demo_files;
use crate::support::nats::{NatsServer, free_port};
use crate::support::process::{Squelch, command, context, get, read_stream, replayed, runtime, the_open_are_shown};
use crate::support::{Rng, from_env};

const LINES_A_MESSAGE: usize = 50;

/// One of the two.
struct Machine {
    child: Child,
    dir: tempfile::TempDir,
    url: String,
    http: u16,
    more: String,
    role: &'static [&'static str],
}

/// What two correlators share with their workers.
const SHARED: &str = "partitions: { by: sequence }\n";
const CORRELATOR: &[&str] = &["--role", "correlator", "--partitions", "2"];

impl Machine {
    fn start(server: &NatsServer, lease: &str) -> Self {
        Self::start_with(server, lease, "")
    }

    fn start_with(server: &NatsServer, lease: &str, more: &str) -> Self {
        Self::start_as(server, lease, more, &[])
    }

    fn start_as(server: &NatsServer, lease: &str, more: &str, role: &'static [&'static str]) -> Self {
        let more = format!(
            "time: {{ idle: 1h }}\ncheckpoint: {{ store: SQUELCH_STATE, every: 200ms }}\nstandby: {{ lease: {lease} }}\nreload: 300ms\n{more}"
        );
        let (dir, http) = (tempfile::tempdir().unwrap(), free_port());
        let child = command(&dir, &server.url(), http, &more).args(role).spawn().unwrap();
        Self { child, dir, url: server.url(), http, more, role }
    }

    fn start_again(&mut self) {
        self.child = command(&self.dir, &self.url, self.http, &self.more).args(self.role).spawn().unwrap();
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn wait_for(&self, path: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !get(self.http, path).unwrap_or_default().contains(wanted) {
            assert!(Instant::now() < deadline, "/{path} never shows {wanted}: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn leads(&self) {
        self.wait_for("metrics", "\nsquelch_leader 1\n");
    }

    fn stands_by(&self) {
        self.wait_for("readyz", "standing by");
        self.wait_for("metrics", "\nsquelch_leader 0\n");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Which of the two leads, once one does and the other stands by.
fn leader_of(machines: &[Machine; 2]) -> usize {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let leads = machines.each_ref().map(|machine| get(machine.http, "metrics").unwrap_or_default());
        match leads.map(|metrics| (metrics.contains("\nsquelch_leader 1\n"), metrics.contains("\nsquelch_leader 0\n"))) {
            [(true, _), (_, true)] => return 0,
            [(_, true), (true, _)] => return 1,
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
        assert!(
            Instant::now() < deadline,
            "nobody leads: {}
{}",
            machines[0].log(),
            machines[1].log()
        );
    }
}

/// The first leads, the second stands by.
fn pair(server: &NatsServer, lease: &str) -> [Machine; 2] {
    pair_as(server, lease, "", &[])
}

fn pair_as(server: &NatsServer, lease: &str, more: &str, role: &'static [&'static str]) -> [Machine; 2] {
    let first = Machine::start_as(server, lease, more, role);
    first.leads();
    let second = Machine::start_as(server, lease, more, role);
    second.stands_by();
    [first, second]
}

/// Streams of results that forget message ids at once: the server's own memory of repeats hides nothing.
async fn forgetful_streams(context: &Context) {
    for (name, subject) in [("INCIDENTS", "incidents.>"), ("REJECTED", "rejected.>")] {
        let duplicate_window = Duration::from_millis(100);
        let wanted =
            stream::Config { name: name.into(), subjects: vec![subject.into()], duplicate_window, ..stream::Config::default() };
        context.create_stream(wanted).await.unwrap();
    }
}

/// The demo's events, and now and then a message that nobody can read.
async fn publish(context: Context, every: Duration) -> usize {
    let events = demo_files().0;
    let lines: Vec<&[u8]> = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let mut bad = 0;
    for (nth, lines) in lines.chunks(LINES_A_MESSAGE).enumerate() {
        context.publish("events.mixed.demo", lines.join(&b'\n').into()).await.unwrap().await.unwrap();
        if nth % 5 == 0 {
            context.publish("events.mixed.demo", format!("nonsense {nth}").into()).await.unwrap().await.unwrap();
            bad += 1;
        }
        tokio::time::sleep(every).await;
    }
    bad
}

fn messages() -> u32 {
    (demo_files().0.split(|byte| *byte == b'\n').count() / LINES_A_MESSAGE) as u32
}

async fn held(context: &Context, stream: &str) -> usize {
    context.get_stream(stream).await.unwrap().cached_info().state.messages as usize
}

/// What is in the stream is what a replay prints, and nothing else. A replay ends with its last event; live, the watermark still
/// waits for what may come late.
async fn nothing_is_lost_or_twice(context: &Context, want: &[String], about: &str) {
    let deadline = Instant::now() + Duration::from_secs(150);
    while held(context, "INCIDENTS").await + 3 < want.len() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Who would publish something twice gets a moment to do so.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let got = read_stream(context, "INCIDENTS", held(context, "INCIDENTS").await).await;
    let id = |line: &String| {
        let revision: serde_json::Value = serde_json::from_str(line).unwrap();
        format!("{}-{}", revision["id"].as_str().unwrap(), revision["revision"])
    };
    let ids: Vec<String> = got.iter().map(|message| message.headers.get("Nats-Msg-Id").unwrap().to_string()).collect();
    assert_eq!(ids, want[..want.len().min(ids.len())].iter().map(id).collect::<Vec<_>>(), "{about}");
    for (at, (message, line)) in got.iter().zip(want).enumerate() {
        assert_eq!(std::str::from_utf8(&message.payload).unwrap(), line, "revision {at}, {about}");
    }
    assert!(got.len() + 3 >= want.len(), "{} of {} revisions came, {about}", got.len(), want.len());
    assert!(got.len() <= want.len(), "{} revisions came where {} should, {about}", got.len(), want.len());
    the_open_are_shown(context, &want[..got.len()], about).await;
}

/// Kills, stops and sends to sleep whoever of the two leads, at random moments, while a publisher goes on. `TAKEOVERS=50 cargo test --test
/// it takeover` is more patient; `CHAOS_SEED` repeats a run's moments, as far as a machine can. Returns what to say of the run.
async fn unseating_changes_nothing(context: &Context, machines: &mut [Machine; 2]) -> String {
    let (turns, want) = (from_env("TAKEOVERS", 6), replayed());
    let seed = from_env("CHAOS_SEED", u64::from(std::process::id()));
    let rng = &mut Rng(seed);
    let every = Duration::from_millis(3_500 * turns) / messages();
    let publishing = tokio::spawn(publish(context.clone(), every));
    for turn in 0..turns {
        // Under load a lease may end by itself: whoever leads now is meant.
        let at = leader_of(machines);
        tokio::time::sleep(Duration::from_millis(rng.below(1_500))).await;
        match turn % 3 {
            0 => {
                machines[at].kill();
                machines[1 - at].leads();
                machines[at].start_again();
            }
            1 => {
                machines[at].signal("STOP");
                machines[1 - at].leads();
                tokio::time::sleep(Duration::from_millis(rng.below(1_500))).await;
                machines[at].signal("CONT");
            }
            _ => {
                machines[at].signal("TERM");
                assert_eq!(machines[at].child.wait().unwrap().code(), Some(0), "{}", machines[at].log());
                machines[1 - at].leads();
                machines[at].start_again();
            }
        }
    }
    let bad = publishing.await.unwrap();
    let about = format!("seed {seed}: {}", machines[leader_of(machines)].log());
    nothing_is_lost_or_twice(context, &want, &about).await;
    let rejected = read_stream(context, "REJECTED", bad).await;
    let ids: Vec<String> = rejected.iter().map(|message| message.headers.get("Nats-Msg-Id").unwrap().to_string()).collect();
    let once: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!((ids.len(), once.len()), (bad, bad), "rejected input, {about}");
    about
}

#[test]
fn takeovers_at_any_moment_change_nothing() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let context = context(&server).await;
        forgetful_streams(&context).await;
        let mut machines = pair(&server, "2s");
        let about = unseating_changes_nothing(&context, &mut machines).await;
        // Nobody's leavings grow.
        let mut events = context.get_stream("EVENTS").await.unwrap();
        assert_eq!(events.info().await.unwrap().state.consumer_count, 1, "{about}");
        let mut state = context.get_stream("KV_SQUELCH_STATE").await.unwrap();
        let kept = state.info().await.unwrap().state.messages;
        assert!(kept <= 40, "{kept} messages are kept, {about}");
    });
}

/// The same of two correlators, of which one stands by, while two workers count for whichever leads.
#[test]
fn correlators_take_over_at_any_moment() {
    let server = NatsServer::start();
    runtime().block_on(async {
        let context = context(&server).await;
        forgetful_streams(&context).await;
        let mut machines = pair_as(&server, "2s", SHARED, CORRELATOR);
        let of_workers = format!("time: {{ idle: 1h }}\n{SHARED}");
        let worker = |which| Squelch::spawn_as(&server, &of_workers, &["--role", "worker", "--partition", which]);
        let workers = ["1/2", "2/2"].map(worker);
        unseating_changes_nothing(&context, &mut machines).await;
        assert_eq!(workers.map(Squelch::stop), [Some(0), Some(0)]);
    });
}
