//! What a simulated system says: a graph, and messages about what fails in it. All of it follows from one seed.

use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use squelch::engine::{EngineParams, Input};
use squelch::topology::{Edge, TopologyDefinition};

use super::history::{self, Files};
use super::rules::{MADE, Pack, packs};
use crate::support::Rng;

/// Event time at which streams begin.
const START_MS: i64 = 1_773_446_400_000;

/// A message of the stream.
#[derive(Clone)]
pub struct Message {
    pub subject: &'static str,
    pub body: Vec<u8>,
    /// When the broker took it.
    pub received_at: i64,
}

/// Everything that is there before squelch starts, or comes whatever it does.
#[derive(Clone)]
pub struct World {
    pub seed: u64,
    pub pack: &'static Pack,
    pub params: EngineParams,
    /// The topology's file, one version after the other.
    pub graphs: Rc<Vec<TopologyDefinition>>,
    /// Whether other systems tell of the graph in a bucket: each version of the file is also one of the bucket.
    pub bucket: bool,
    pub messages: Rc<Vec<Message>>,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        let rng = &mut Rng(seed ^ 0x5EED_0000_0042);
        let packs = packs();
        let pack = match rng.below(10) {
            0..3 => &packs[0],
            3..7 => &packs[1 + rng.below(MADE as u64 - 1) as usize],
            _ => &packs[MADE + rng.below((packs.len() - MADE) as u64) as usize],
        };
        let (params, graph, messages) = match &pack.recorded {
            Some(recorded) => (recorded.params.clone(), recorded.parts.clone(), play(&recorded.lines, rng)),
            None => (params(rng), graph(rng), Story::new(rng).tell(rng)),
        };
        let mut graphs = vec![graph];
        while graphs.len() < 3 {
            graphs.push(another(graphs.last().unwrap(), rng));
        }
        let bucket = rng.below(5) == 0;
        let mut world = World { seed, pack, params, graphs: Rc::new(graphs), bucket, messages: Rc::new(spoil(messages, rng)) };
        if rng.below(2) == 0 {
            world.messages = Rc::new(commanded(&world, rng));
        }
        world
    }
}

fn one_of<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.below(all.len() as u64) as usize]
}

fn params(rng: &mut Rng) -> EngineParams {
    let mut params = EngineParams {
        lateness_ms: one_of(rng, &[1_000, 5_000, 10_000]),
        idle_ms: one_of(rng, &[5_000, 30_000]),
        source_wait_ms: one_of(rng, &[0, 10_000, 30_000]),
        external_expiry_ms: one_of(rng, &[60_000, 4 * 3_600_000]),
        ..EngineParams::default()
    };
    params.notify.wait_ms = one_of(rng, &[0, 30_000]);
    params.notify.hold_ms = one_of(rng, &[0, 60_000]);
    params.correlation.keys = one_of(rng, &[&[][..], &["user"]]).iter().map(|key| Arc::from(*key)).collect();
    params.notify.repeat_ms = one_of(rng, &[60_000, 240 * 60_000]);
    params.correlation.gap_ms = one_of(rng, &[30_000, 300_000]);
    params.correlation.lifetime_ms = one_of(rng, &[60_000, 7_200_000]);
    params.correlation.resolve_wait_ms = one_of(rng, &[0, 10_000, 60_000]);
    params.correlation.reopen_ms = one_of(rng, &[20_000, 1_800_000]);
    params.learn.observations = one_of(rng, &[1, 3]);
    params.learn.forget_ms = one_of(rng, &[60_000, 86_400_000]);
    params
}

/// Services and hosts are nodes; some that alert are none.
fn name(number: u64) -> String {
    format!("n{number}")
}

fn graph(rng: &mut Rng) -> TopologyDefinition {
    let cyclic = rng.below(4) == 0;
    let mut edges = Vec::new();
    for _ in 0..rng.below(12) {
        let (a, b) = (rng.below(7), rng.below(7));
        if cyclic || a < b {
            edges.push(Edge::calls(&name(a), &name(b)));
        }
    }
    TopologyDefinition { nodes: Vec::new(), edges }
}

/// The same with an edge more or less.
fn another(graph: &TopologyDefinition, rng: &mut Rng) -> TopologyDefinition {
    let mut parts = graph.clone();
    if !parts.edges.is_empty() && rng.below(2) == 0 {
        parts.edges.remove(rng.below(parts.edges.len() as u64) as usize);
    } else {
        parts.edges.push(Edge::calls(&name(rng.below(7)), &name(rng.below(7))));
    }
    parts
}

/// A stretch of a recorded stream, a few lines a message.
fn play(lines: &[Vec<u8>], rng: &mut Rng) -> Vec<Message> {
    let most = 40 + rng.below(40) as usize;
    let from = rng.below((lines.len().saturating_sub(most) + 1) as u64) as usize;
    let mut rest = &lines[from..lines.len().min(from + most)];
    let mut messages = Vec::new();
    let mut now = START_MS;
    while !rest.is_empty() {
        let (some, after) = rest.split_at(rest.len().min(1 + rng.below(4) as usize));
        rest = after;
        let times = some.iter().filter_map(|line| squelch::io::decode::native_json::parse(line).ok()?.ts?.ok());
        now = times.max().map_or(now, |latest| latest.max(now));
        messages.push(Message { subject: "events.mixed.a", body: some.join(&b'\n'), received_at: now + 200 });
    }
    messages
}

/// Who fails when, and what is said of it.
struct Story {
    now: i64,
    /// Service, from, until.
    outages: Vec<(u64, i64, i64)>,
    traces: u64,
}

impl Story {
    fn new(rng: &mut Rng) -> Self {
        let now = START_MS + rng.below(60_000) as i64;
        let outage = |rng: &mut Rng| {
            let from = now + rng.below(150_000) as i64;
            (rng.below(8), from, from + 10_000 + rng.below(120_000) as i64)
        };
        let outages = (0..1 + rng.below(5)).map(|_| outage(rng)).collect();
        Self { now, outages, traces: 0 }
    }

    fn fails(&self, service: u64, at: i64) -> bool {
        self.outages.iter().any(|(failing, from, until)| *failing == service && (*from..*until).contains(&at))
    }

    fn tell(mut self, rng: &mut Rng) -> Vec<Message> {
        let subjects = ["events.mixed.a", "events.mixed.b", "events.mixed.c"];
        let slow = rng.below(3) == 0;
        let mut messages = Vec::new();
        for _ in 0..15 + rng.below(45) {
            self.now += match rng.below(20) {
                0 => 30_000 + rng.below(120_000) as i64,
                _ => rng.below(7_000) as i64,
            };
            let subject = one_of(rng, &subjects);
            let behind = if slow && subject == subjects[2] { 15_000 } else { 0 };
            let mut body = String::new();
            for _ in 0..1 + rng.below(6) {
                // Within lateness mostly; now and then far too late, or a little early.
                let late = match rng.below(40) {
                    0 => rng.below(90_000) as i64,
                    1 => -(rng.below(3_000) as i64),
                    _ => rng.below(1_000) as i64,
                };
                self.event(self.now - behind - late, &mut body, rng);
            }
            messages.push(Message { subject, body: body.into_bytes(), received_at: self.now });
        }
        messages
    }

    fn event(&mut self, at: i64, body: &mut String, rng: &mut Rng) {
        let service = rng.below(8);
        let fails = self.fails(service, at);
        let env = one_of(rng, &["production", "production", "production", "staging"]);
        let common = format!(r#""ts":{at},"service":"{}","env":"{env}""#, name(service));
        let user = rng.below(3);
        let said = match rng.below(10) {
            0..2 => {
                let code = if fails { "503" } else { "200" };
                format!(
                    r#"{{"kind":"metric",{common},"name":"http_requests","value":{},"labels":{{"code":"{code}"}}}}"#,
                    1 + user
                )
            }
            2..4 => {
                let ms = if fails { 600 + rng.below(600) } else { 50 + rng.below(100) };
                format!(r#"{{"kind":"metric",{common},"name":"latency_ms","value":{ms}}}"#)
            }
            4 => {
                let severity = if fails { "ERROR" } else { "INFO" };
                let trace = self.traces;
                format!(r#"{{"kind":"log",{common},"severity":"{severity}","body":"request","trace_id":"t{trace}"}}"#)
            }
            5 => {
                let what = if fails { "failed" } else { "login" };
                let country = one_of(rng, &["de", "de", "de", "fr", "nl"]);
                format!(
                    r#"{{"kind":"log",{common},"severity":"INFO","body":"{what}","labels":{{"user":"u{user}","country":"{country}"}}}}"#
                )
            }
            6 => {
                self.traces += rng.below(2);
                let (trace, ms) = (self.traces, if fails { 900 } else { 90 });
                let parent = rng.below(3);
                format!(
                    r#"{{"kind":"span",{common},"name":"call","duration_ms":{ms},"trace_id":"t{trace}","span_id":"s{service}","parent_id":"s{parent}","labels":{{"peer.service":"{}"}}}}"#,
                    name(rng.below(9))
                )
            }
            _ => {
                let status = if fails || rng.below(8) == 0 { "firing" } else { "resolved" };
                let severity = one_of(rng, &["info", "warning", "critical"]);
                format!(
                    r#"{{"kind":"alert",{common},"name":"alert_{}","status":"{status}","severity":"{severity}"}}"#,
                    rng.below(2)
                )
            }
        };
        writeln!(body, "{said}").unwrap();
    }
}

/// What comes twice, and what is no event.
fn spoil(messages: Vec<Message>, rng: &mut Rng) -> Vec<Message> {
    let mut spoiled: Vec<Message> = Vec::new();
    for mut message in messages {
        if rng.below(25) == 0 {
            let bad: &[u8] =
                one_of(rng, &[&b"{\"kind\":\"metric\"}\n"[..], b"not json\n", b"\xff\xfe\n", b"{\"kind\":\"meter\",\"ts\":1}\n"]);
            message.body.splice(0..0, bad.iter().copied());
        }
        let again = message.clone();
        spoiled.push(message);
        if rng.below(30) == 0 {
            spoiled.push(again);
        }
    }
    spoiled
}

/// The same messages, and commands between them: about incidents that are known by then, or not yet.
fn commanded(world: &World, rng: &mut Rng) -> Vec<Message> {
    let (mut engine, mut decoder) = history::fresh(world, Files { rules: 0, graph: 0, bucket: None });
    let (mut ids, mut alerts): (Vec<String>, Vec<String>) =
        (vec!["inc-0000000000000000".into()], vec!["0000000000000000".into()]);
    for sequence in 1..=world.messages.len() as u64 {
        history::decode(world, sequence, &mut decoder, &mut |_| {});
        for revision in engine.step(Input::Events(&decoder.take())) {
            ids.push(revision.id.to_string());
            alerts.extend(revision.alerts.iter().map(|alert| alert.fingerprint.to_string()));
        }
    }
    let mut messages = Vec::new();
    for message in world.messages.iter() {
        messages.push(message.clone());
        for _ in 0..rng.below(4).saturating_sub(2) {
            let mut one = |all: &[String]| all[rng.below(all.len() as u64) as usize].clone();
            let (id, other, alert) = (one(&ids), one(&ids), one(&alerts));
            let incident = format!(r#""incident":"{id}""#);
            let (subject, fields) = match rng.below(12) {
                0..2 => ("events.commands.acknowledge", format!(r#"{incident},"for":"{}s""#, 1 + rng.below(120))),
                2 => ("events.commands.acknowledge", incident),
                3 => ("events.commands.unacknowledge", incident),
                4 => ("events.commands.note", format!(r#"{incident},"comment":"a note""#)),
                5 => ("events.commands.owner", format!(r#"{incident},"owner":"team {}""#, rng.below(2))),
                6 => {
                    let matcher = one_of(rng, &["service=~n[0-3]", "severity=critical", "alertname!=alert_0", "env=production"]);
                    ("events.commands.silence", format!(r#""matchers":["{matcher}"],"for":"{}s""#, 1 + rng.below(200)))
                }
                7 => ("events.commands.silence", incident),
                8 => {
                    let fields =
                        format!(r#""node":"{}","cron":"* * * * *","duration":"{}s""#, name(rng.below(7)), 1 + rng.below(50));
                    ("events.commands.maintenance", fields)
                }
                9 => ("events.commands.merge", format!(r#"{incident},"with":"{other}""#)),
                10 => one_of(
                    rng,
                    &[
                        ("events.commands.split", format!(r#"{incident},"alerts":["{alert}"]"#)),
                        ("events.commands.move", format!(r#""alert":"{alert}","into":"{id}""#)),
                    ]
                    .each_ref(),
                )
                .clone(),
                _ => ("events.commands.resolve", incident),
            };
            let body = format!(r#"{{"by":"ann",{fields}}}"#).into_bytes();
            messages.push(Message { subject, body, received_at: message.received_at });
        }
    }
    messages
}
