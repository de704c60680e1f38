//! Work shared by several processes: whoever counts which message, the incidents are those of one process.

use std::collections::VecDeque;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use futures::StreamExt;
use squelch::engine::partial::partition_counter::PartitionCounter;
use squelch::engine::partial::result::PartialResult;
use squelch::engine::self_alert::SelfAlert;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::incident::revision::Revision;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::incident_message;
use squelch::model::event::LabelKeys;
use squelch::model::labels::Labels;
use squelch::model::severity::Severity;
use squelch::rule::check::from_texts;
use squelch::topology::Topology;
use squelch::topology::learn::LearnParams;
use squelch::window::rule_stats::RuleStats;

use crate::live::run::{context, read_stream, replayed, runtime};
use crate::support::demo::demo_files;
use crate::support::expect::first_difference;
use crate::support::nats::NatsServer;
use crate::support::runs::{Scenario, received_at};
use crate::support::{Rng, binary, folders, root};

/// What a message says besides its bytes: when the broker took it, and on which subject.
type InfoOf<'a> = &'a dyn Fn(usize, &[u8]) -> (Option<i64>, &'static str);

fn as_written(_: usize, message: &[u8]) -> (Option<i64>, &'static str) {
    (received_at(message), "events.mixed")
}

fn decode(decoder: &mut Decoder, at: usize, message: &[u8], info_of: InfoOf<'_>) {
    let (received_at, subject) = info_of(at, message);
    let info = MessageInfo { received_at, source: decoder.source(subject), ..MessageInfo::default() };
    decoder.message(message, info, &mut |_| {});
}

fn text(revisions: &[Revision]) -> String {
    revisions.iter().map(|revision| incident_message::to_json(revision) + "\n").collect()
}

/// One process reads everything. Silent for so long before the end.
fn alone(scenario: &Scenario, params: &EngineParams, info_of: InfoOf<'_>, silence_ms: Option<i64>) -> (String, Engine) {
    let (mut engine, mut decoder) = scenario.engine(params);
    let mut revisions = Vec::new();
    for (at, message) in scenario.lines.iter().enumerate() {
        decode(&mut decoder, at, message, info_of);
        if at % 16 == 15 {
            revisions.extend(engine.step(Input::Events(&decoder.take())));
        }
    }
    revisions.extend(engine.step(Input::Events(&decoder.take())));
    if let Some(silence_ms) = silence_ms {
        revisions.extend(engine.step(Input::Idle { silence_ms }));
    }
    revisions.extend(engine.step(Input::End));
    (text(&revisions), engine)
}

/// One worker: reads all messages at its own pace and counts its own.
struct Worker {
    folder: PartitionCounter,
    decoder: Decoder,
    sequences: Vec<u64>,
    read: usize,
    said: VecDeque<Vec<u8>>,
}

impl Worker {
    fn new(scenario: &Scenario, params: &EngineParams, after: u64) -> Self {
        let book = scenario.book(params);
        let decoder = Decoder::new(&book.label_keys, i64::MAX);
        let folder = PartitionCounter::new(book.rules, params, 0, after).unwrap();
        Self { folder, decoder, sequences: Vec::new(), read: after as usize, said: VecDeque::new() }
    }

    fn fold(&mut self) {
        let sequences = std::mem::take(&mut self.sequences);
        self.folder.ingest(&self.decoder.take(), &sequences);
    }

    fn say(&mut self, silence_ms: Option<i64>) {
        self.fold();
        let part = self.folder.flush(self.read as u64, silence_ms).unwrap();
        self.said.push_back(part.to_bytes().unwrap());
    }
}

/// Several workers read, each message is some worker's, and one engine makes incidents of what they say. Now and then a worker or
/// the engine dies and another goes on.
fn shared(
    scenario: &Scenario,
    params: &EngineParams,
    workers: usize,
    info_of: InfoOf<'_>,
    silence_ms: Option<i64>,
    rng: &mut Rng,
) -> (String, Engine) {
    let fresh = || scenario.engine(params).0.with_partitions(workers);
    let mut engine = fresh();
    let mut revisions = Vec::new();
    let mut all: Vec<Worker> = (0..workers).map(|_| Worker::new(scenario, params, 0)).collect();
    let whose: Vec<usize> = scenario.lines.iter().map(|_| rng.below(workers as u64) as usize).collect();
    let pace = 1 + scenario.lines.len() as u64 / 10;
    let mut take = |one: usize, worker: &mut Worker, rng: &mut Rng| {
        let Some(bytes) = worker.said.pop_front() else { return };
        let part = PartialResult::from_bytes(&bytes).unwrap();
        revisions.extend(engine.step(Input::Partial { partition: one, position: 0, partial: &part }));
        if rng.below(10) == 0 {
            let saved = engine.save().unwrap().into_loaded().unwrap();
            engine = fresh();
            assert!(engine.restore(&saved).unwrap().is_empty());
            // What was taken before it died comes again.
            assert!(engine.step(Input::Partial { partition: one, position: 0, partial: &part }).is_empty());
        }
    };
    while all.iter().any(|worker| worker.read < scenario.lines.len() || !worker.said.is_empty()) {
        let one = rng.below(workers as u64) as usize;
        let worker = &mut all[one];
        for _ in 0..=rng.below(pace) {
            let Some(message) = scenario.lines.get(worker.read) else { break };
            let at = worker.read;
            worker.read += 1;
            if whose[at] == one {
                decode(&mut worker.decoder, at, message, info_of);
                worker.sequences.push(at as u64 + 1);
            }
        }
        match rng.below(20) {
            _ if worker.read == scenario.lines.len() && worker.sequences.is_empty() && worker.folder.is_empty() => {}
            0..4 => worker.fold(),
            4 => {
                // It dies: what it had not said is read again.
                let said = std::mem::take(&mut worker.said);
                *worker = Worker { said, ..Worker::new(scenario, params, worker.folder.after()) };
            }
            _ => worker.say(None),
        }
        let other = rng.below(workers as u64) as usize;
        take(other, &mut all[other], rng);
    }
    for (one, worker) in all.iter_mut().enumerate() {
        // The last to fall silent tells how long nothing has come.
        worker.say(silence_ms.map(|silence_ms| silence_ms + 1_000 * one as i64));
        take(one, worker, rng);
    }
    revisions.extend(engine.step(Input::End));
    (text(&revisions), engine)
}

fn scenarios() -> Vec<Scenario> {
    let all = folders("fixtures/scenarios").into_iter().chain(folders("fixtures/kinds"));
    all.map(|path| Scenario::read(&path)).collect()
}

#[test]
fn whoever_counts_the_incidents_are_the_same() {
    let mut with_late_events = Vec::new();
    for (number, scenario) in scenarios().into_iter().enumerate() {
        let params = scenario.config().engine();
        let (want, one) = alone(&scenario, &params, &as_written, None);
        let late = one.stats().late_alerts > 0 || one.rules().any(|(_, stats, _)| stats.late > 0);
        if late {
            with_late_events.push(scenario.name());
        }
        // What is later than the lateness has no promise.
        if late && scenario.name() != "broker-time" {
            continue;
        }
        let (workers, seed) = (1 + number % 4, number as u64);
        let (got, engine) = shared(&scenario, &params, workers, &as_written, None, &mut Rng(seed));
        let name = scenario.name();
        assert_eq!(first_difference(&want, &got), None, "{name} with {workers} workers, seed {seed}");
        if late {
            continue;
        }
        assert_eq!(engine.stats(), one.stats(), "{name} with {workers} workers");
        for ((rule, mine, _), (_, theirs, _)) in engine.rules().zip(one.rules()) {
            let counts = |stats: RuleStats| (stats.rows, stats.late, stats.errors, stats.breaches);
            assert_eq!(counts(mine), counts(theirs), "{name}: {} with {workers} workers", rule.name());
        }
    }
    assert_eq!(with_late_events, ["late-events", "broker-time", "frequency"]);
}

/// Sources that lag hold time back as in one process, to the message; silence lets it go on.
#[test]
fn time_moves_as_in_one_process() {
    const LAGS_MS: [(i64, &str); 3] = [(0, "events.a"), (7_000, "events.b"), (24_000, "events.c")];
    let mut moved = 0;
    for name in ["cascade", "two-outages", "external", "learned-topology", "silence-and-change"] {
        let mut scenario = Scenario::read(&crate::support::root().join("fixtures/scenarios").join(name));
        let ts_of = |message: &[u8]| squelch::io::decode::native_json::parse(message).ok().and_then(|event| event.ts?.ok());
        scenario.lines.retain(|line| ts_of(line).is_some());
        let which = |message: &[u8]| message.iter().map(|byte| usize::from(*byte)).sum::<usize>() % 3;
        scenario.lines.sort_by_key(|line| ts_of(line).unwrap() + LAGS_MS[which(line)].0);
        let info_of = |_: usize, message: &[u8]| {
            let (lag_ms, subject) = LAGS_MS[which(message)];
            (Some(ts_of(message).unwrap() + lag_ms), subject)
        };
        let params = scenario.config().engine();
        let (want, one) = alone(&scenario, &params, &info_of, Some(3 * 3_600_000));
        let (without, _) = alone(&scenario, &params, &info_of, None);
        moved += usize::from(want != without);
        for seed in 1..=2 {
            let (got, engine) = shared(&scenario, &params, 3, &info_of, Some(3 * 3_600_000), &mut Rng(seed));
            assert_eq!(first_difference(&want, &got), None, "{name}, seed {seed}");
            assert_eq!((engine.watermark(), engine.sources()), (one.watermark(), one.sources()), "{name}, seed {seed}");
        }
    }
    assert!(moved > 0, "silence tells nothing anywhere");
}

/// A worker with other rules feeds those that it has in common with the engine; the others rest.
#[test]
fn a_rule_that_a_worker_lacks_rests() {
    let text = |name: &str| {
        format!(
            "/*---\nrule: {name}\nseverity: info\nwindow: 10s\n---*/\nSELECT service, count(*) AS value, max(value) AS {name} FROM metrics WHERE name = '{name}' GROUP BY service\n"
        )
    };
    let book = |names: &[&str]| {
        let files = names.iter().map(|name| (format!("{name}.sql").into(), text(name).as_str().into()));
        from_texts(files.collect()).unwrap_or_else(|_| panic!("{names:?} are good rules"))
    };
    let params = EngineParams { learn: LearnParams::off(), ..EngineParams::default() };
    let mut engine = Engine::new(book(&["old", "new"]).rules, Topology::default(), &params).unwrap().with_partitions(2);
    let say = |engine: &mut Engine, partition: usize, names: &[&str], seconds: std::ops::Range<i64>| {
        let book = book(names);
        let mut decoder = Decoder::new(&book.label_keys, i64::MAX);
        let mut folder = PartitionCounter::new(book.rules, &params, 0, seconds.start as u64).unwrap();
        for (second, name) in seconds.clone().flat_map(|second| [(second, "old"), (second, "new")]) {
            let ts = 1_773_446_400_000 + second * 1000;
            let line = format!(r#"{{"kind":"metric","ts":{ts},"name":"{name}","value":1,"service":"s{partition}"}}"#);
            decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        }
        let sequences: Vec<u64> = seconds.clone().flat_map(|second| [second as u64 + 1; 2]).collect();
        folder.ingest(&decoder.take(), &sequences);
        let part = folder.flush(seconds.end as u64, None).unwrap();
        engine.step(Input::Partial { partition, position: 0, partial: &part });
    };
    let ticks = |engine: &Engine| -> Vec<(String, u64)> {
        engine.rules().map(|(rule, stats, _)| (rule.name().to_string(), stats.ticks)).collect()
    };
    say(&mut engine, 0, &["old", "new"], 0..60);
    say(&mut engine, 1, &["old"], 0..60);
    assert_eq!(ticks(&engine), [("new".to_string(), 0), ("old".to_string(), 4)]);
    say(&mut engine, 1, &["old", "new"], 60..120);
    say(&mut engine, 0, &["old", "new"], 60..120);
    assert_eq!(ticks(&engine), [("new".to_string(), 6), ("old".to_string(), 10)]);
}

/// What a worker has to say by itself, of holes in its input, becomes an incident.
#[test]
fn what_a_worker_finds_missing_is_an_incident() {
    let params = EngineParams { learn: LearnParams::off(), ..EngineParams::default() };
    let mut engine = Engine::new(Vec::new(), Topology::default(), &params).unwrap().with_partitions(2);
    let mut titles = Vec::new();
    for second in 0..4_u64 {
        for partition in 0..2 {
            let mut decoder = Decoder::new(&LabelKeys::default(), i64::MAX);
            let mut folder = PartitionCounter::new(Vec::new(), &params, 0, second).unwrap();
            if (second, partition) == (1, 1) {
                folder.add_self_alert(SelfAlert {
                    name: "hole".into(),
                    severity: Severity::Critical,
                    labels: Labels::new([("service".to_string(), "squelch".to_string())]),
                    summary: "three messages are missing".into(),
                    lasts_ms: 60_000,
                });
            }
            let ts = 1_773_446_400_000 + second * 30_000;
            let line = format!(r#"{{"kind":"metric","ts":{ts},"name":"m","value":1}}"#);
            decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
            folder.ingest(&decoder.take(), &[second + 1]);
            let part = folder.flush(second + 1, None).unwrap();
            let revisions = engine.step(Input::Partial { partition, position: 0, partial: &part });
            titles.extend(revisions.into_iter().map(|revision| revision.title));
        }
    }
    assert!(titles.iter().any(|title| title.contains("three messages are missing")), "{titles:?}");
}

/// The text between a line that ends with `before` and the end of the block.
fn block(before: &str) -> String {
    let text = std::fs::read_to_string(root().join("docs/scaling.md")).unwrap();
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("docs/scaling.md has {before}"));
    rest.split_once("```").unwrap().0.trim_end().to_string()
}

/// The arguments of each command in the docs.
pub fn commands() -> Vec<Vec<String>> {
    let commands = block("```sh\n");
    let words = |line: &str| line.split(' ').skip(1).map(String::from).collect();
    commands.lines().map(words).collect()
}

/// One of several processes of one squelch.
pub struct Process {
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    child: Child,
    starts: usize,
}

impl Process {
    pub fn start(arguments: &[String], config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("topology.yaml"), demo_files().1).unwrap();
        std::fs::write(dir.path().join("squelch.yaml"), config).unwrap();
        Self { child: spawn(&dir, arguments), arguments: arguments.to_vec(), starts: 1, dir }
    }

    /// SIGKILL once it reads, and another one in its place.
    pub fn kill_and_start(&mut self) {
        self.wait_until_it_reads();
        self.starts += 1;
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.dir, &self.arguments);
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub fn wait_for(&self, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.log().contains(wanted) {
            assert!(Instant::now() < deadline, "it never says {wanted}: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_until_it_reads(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.log().matches("reading events").count() < self.starts {
            assert!(Instant::now() < deadline, "it never reads: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it ends with by itself.
    fn ends(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it goes on: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGTERM.
    pub fn stop(&mut self) -> Option<i32> {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.ends()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(dir: &tempfile::TempDir, arguments: &[String]) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.path().join("log")).unwrap();
    Command::new(binary()).current_dir(dir.path()).args(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// The docs' configuration for a server here, silent for as long as the test takes.
pub fn configuration(server: &NatsServer, more: &str) -> String {
    let shown = block("same `squelch.yaml`:\n\n```yaml\n");
    let rules = root().join("rules").display().to_string();
    let here = shown.replace("nats://nats.example.com:4222", &server.url()).replace("rules: rules", &format!("rules: {rules}"));
    assert!(here.contains(&server.url()) && here.contains(&rules), "{here}");
    format!("{here}\nhttp: {{ listen: off }}\ntime: {{ idle: 1h, source_wait: 0s }}\ncheckpoint: {{ every: 300ms }}\n{more}")
}

pub async fn publish(context: &Context, subject_of: &dyn Fn(usize) -> String, between: &mut dyn FnMut(usize)) {
    let events = demo_files().0;
    let lines: Vec<&[u8]> = events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    for (i, lines) in lines.chunks(100).enumerate() {
        context.publish(subject_of(i), lines.join(&b'\n').into()).await.unwrap().await.unwrap();
        between(i);
    }
}

/// What is published is what a replay says; the end may be missing, since live the watermark waits for what may come late.
pub async fn is_as_replayed(context: &Context, want: &[String], logs: &dyn Fn() -> String) {
    let mut incidents = context.get_stream("INCIDENTS").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(240);
    while (incidents.info().await.unwrap().state.messages as usize) + 3 < want.len() {
        assert!(Instant::now() < deadline, "no more comes: {}", logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let got = read_stream(context, "INCIDENTS", want.len()).await;
    assert!(got.len() + 3 >= want.len(), "{} of {} revisions came: {}", got.len(), want.len(), logs());
    for (at, (message, line)) in got.iter().zip(want).enumerate() {
        assert_eq!(std::str::from_utf8(&message.payload).unwrap(), line, "revision {at}");
    }
    let more: Vec<_> = got.iter().skip(want.len()).map(|message| String::from_utf8_lossy(&message.payload)).collect();
    assert!(more.is_empty(), "a replay does not say this: {more:#?}");
}

/// Waits until there is a stream of events and all processes read.
pub async fn once_all_read(server: &NatsServer, all: &[Process]) -> Context {
    let context = context(server).await;
    until_there_is(&context, "EVENTS").await;
    all.iter().for_each(|process| process.wait_for("reading events"));
    context
}

async fn until_there_is(context: &Context, stream: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while context.get_stream(stream).await.is_err() {
        assert!(Instant::now() < deadline, "nobody makes {stream}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn two_workers_and_a_correlator_are_one_process() {
    let server = NatsServer::start();
    let config = configuration(&server, "");
    let mut all: Vec<Process> = commands().iter().map(|arguments| Process::start(arguments, &config)).collect();
    assert_eq!(all.len(), 3);
    let want = replayed();
    runtime().block_on(async {
        let context = once_all_read(&server, &all).await;
        publish(&context, &|i| format!("events.mixed.host-{}", i % 7), &mut |i| {
            std::thread::sleep(Duration::from_millis(4));
            // Each of them dies now and then, the correlator as well.
            if i % 140 == 70 {
                all[i / 140 % 3].kill_and_start();
            }
        })
        .await;
        let logs = || all.iter().map(Process::log).collect::<Vec<_>>().join("\n");
        is_as_replayed(&context, &want, &logs).await;
        let resumed = |process: &Process| process.log().matches("resumed=true").count();
        assert!(all.iter().all(|process| resumed(process) > 0), "each was killed and went on: {}", logs());
        // Both have worked: the split is one.
        let mut parts = context.get_stream("SQUELCH_PARTS").await.unwrap();
        let held = parts.info().await.unwrap().state.messages;
        assert!(held > 4, "{held} parts");
    });
    for process in &mut all {
        assert_eq!(process.stop(), Some(0), "{}", process.log());
    }
}

#[test]
fn the_server_says_whose_message_is_whose() {
    let server = NatsServer::with(&["-js"], &block("runs it.\n\n```text\n"));
    let config = configuration(&server, &block("reads `events.*.0.>`:\n\n```yaml\n"));
    let all: Vec<Process> = commands().iter().map(|arguments| Process::start(arguments, &config)).collect();
    let want = replayed();
    runtime().block_on(async {
        let context = context(&server).await;
        until_there_is(&context, "EVENTS").await;
        // For a long time there is nothing for one of them: nobody waits for it.
        publish(&context, &|i| format!("collect.mixed.host-{}", if i < 600 { 1 } else { i % 7 }), &mut |_| {}).await;
        let logs = || all.iter().map(Process::log).collect::<Vec<_>>().join("\n");
        is_as_replayed(&context, &want, &logs).await;
        let events = context.get_stream("EVENTS").await.unwrap();
        let of = |number: usize| format!("events.mixed.{number}.>");
        let mut held = Vec::new();
        for number in 0..2 {
            let info = events.info_with_subjects(of(number)).await.unwrap();
            held.push(info.count().await);
        }
        assert!(held.iter().all(|subjects| *subjects > 0), "both partitions had messages: {held:?}");
    });
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let server = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let arguments = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    let rule = |value: &str| {
        std::fs::write(
            dir.path().join("one.sql"),
            format!("/*---\nrule: one\nseverity: info\nwindow: 1m\n---*/\nSELECT service, {value} AS value FROM metrics GROUP BY service\n"),
        )
        .unwrap();
    };
    let config = |more: &str| {
        let nats = server.url();
        let rules = dir.path().display();
        format!("nats: {{ servers: [\"{nats}\"] }}\nrules: {rules}\nhttp: {{ listen: off }}\n{more}")
    };
    let refused = |role: &str, config: &str| {
        let mut process = Process::start(&arguments(role), config);
        let code = process.ends();
        assert_eq!(code, Some(2), "{role}: {}", process.log());
        process.log()
    };
    let (worker, correlator) = ("run --role worker --partition 1/2", "run --role correlator --partitions 2");
    for value in ["stddev(value)", "sum(DISTINCT value)", "first_value(value ORDER BY ts, value)", "covar_pop(value, value)"] {
        rule(value);
        for role in [worker, correlator] {
            let said = refused(role, &config(""));
            assert!(said.contains("one.sql: rule one cannot be counted by several workers"), "{value}: {said}");
        }
    }
    rule("last_value(value ORDER BY ts)");
    assert!(refused(correlator, &config("checkpoint: { dir: off }\n")).contains("set checkpoint.dir"));
    assert!(refused("run", &config("input: { subjects: [\"events.*.{partition}.>\"] }\n")).contains("--role worker"));
    for wrong in ["3/2", "0/2", "1/0", "one", "1/1000"] {
        assert!(refused(&format!("run --role worker --partition {wrong}"), &config("")).contains("1/2"), "{wrong}");
    }
    // A second one with the same partition: one of the two ends, and says why.
    let state = format!("checkpoint: {{ dir: {} }}\n", dir.path().join("state").display());
    let first = Process::start(&arguments(worker), &config(&state));
    let mut correlating = Process::start(&arguments(correlator), &config(&state));
    first.wait_for("reading events");
    correlating.wait_for("reading events");
    let second = Process::start(&arguments(worker), &config(&state));
    second.wait_for("reading events");
    runtime().block_on(async {
        let context = context(&server).await;
        for i in 0..200 {
            let ts = 1_773_446_400_000_i64 + i * 1000;
            let line = format!(r#"{{"ts":{ts},"name":"m","value":1,"service":"s"}}"#);
            context.publish(format!("events.metrics.{i}"), line.into()).await.unwrap().await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut two = [first, second];
    let deadline = Instant::now() + Duration::from_secs(30);
    while two.iter_mut().all(|process| process.child.try_wait().unwrap().is_none()) {
        assert!(Instant::now() < deadline, "both go on: {} {}", two[0].log(), two[1].log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = format!("{}{}", two[0].log(), two[1].log());
    assert!(said.contains("another worker has partition 1/2"), "{said}");
    // Another number of partitions, once there is a checkpoint and a last word.
    assert_eq!(correlating.stop(), Some(0), "{}", correlating.log());
    assert!(refused("run --role correlator --partitions 3", &config(&state)).contains("a correlator of 2 partitions"));
    assert!(refused("run", &config(&state)).contains("a correlator of 2 partitions"));
    assert!(refused("run --role worker --partition 1/3", &config(&state)).contains("the last to publish was worker 1/2"));
}

/// When nobody says anything, the workers say so, and time goes on.
#[test]
fn silence_lets_time_go_on() {
    let server = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let rule = "/*---\nrule: high\nseverity: critical\nwindow: 2s\nevery: 1s\n---*/\nSELECT service, max(value) AS value FROM metrics GROUP BY service\n";
    std::fs::write(dir.path().join("high.sql"), rule).unwrap();
    let config = format!(
        "nats: {{ servers: [\"{}\"] }}\nrules: {}\nhttp: {{ listen: off }}\ntime: {{ lateness: 1s, idle: 1s }}\n\
         correlation: {{ resolve_wait: 0s }}\npartitions: {{ by: sequence }}\n",
        server.url(),
        dir.path().display()
    );
    let mut all: Vec<Process> = commands().iter().map(|arguments| Process::start(arguments, &config)).collect();
    all.iter().for_each(|process| process.wait_for("reading events"));
    runtime().block_on(async {
        let context = context(&server).await;
        context.publish("events.metrics.s", "nonsense".into()).await.unwrap().await.unwrap();
        let line = r#"{"ts":1773446400000,"name":"m","value":1,"service":"s"}"#;
        context.publish("events.metrics.s", line.into()).await.unwrap().await.unwrap();
        // What silence decided is in the checkpoint: whoever goes on says the same, and nothing twice. How much was
        // said before the kill is up to the machine.
        let before = read_stream(&context, "INCIDENTS", 1).await;
        assert!(!before.is_empty(), "{}", all[2].log());
        all[2].kill_and_start();
        let got = read_stream(&context, "INCIDENTS", 2).await;
        let changes: Vec<String> = got
            .iter()
            .map(|message| serde_json::from_slice::<serde_json::Value>(&message.payload).unwrap())
            .map(|revision| format!("{} {}", revision["revision"], revision["change"].as_str().unwrap()))
            .collect();
        assert_eq!(changes.first().map(String::as_str), Some("1 opened"));
        assert!(changes.len() >= 2, "{changes:?}: {}", all[2].log());
        let numbers = changes.iter().map(|change| change.split(' ').next().unwrap().parse::<usize>().unwrap());
        assert!(numbers.eq(1..=changes.len()), "{changes:?}: {}", all[2].log());
        assert_eq!(&read_stream(&context, "REJECTED", 1).await[0].payload[..], b"nonsense");
    });
}
