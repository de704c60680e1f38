//! Rules that would take the process down: each is stopped with its reason in sight, and other rules do not notice.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use squelch::engine::{Engine, EngineParams, Input};
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::incident_message;
use squelch::process::telemetry::rule_cpu::CpuWatch;
use squelch::rule::check;
use squelch::topology::Topology;
use squelch::window::limits::WindowLimits;
use squelch::window::rule_stats::RuleStats;

const T: i64 = 1_773_456_000_000;

const GOOD: &str = "/*---\nrule: good\nseverity: warning\nwindow: 1m\nevery: 30s\nsummary: \"{{ service }}: {{ value }}\"\n---*/\n\
    SELECT service, sum(value) AS value FROM metrics WHERE name = 'x' GROUP BY service HAVING sum(value) >= 100\n";

/// A rule file of this name, head and query.
pub fn rule(name: &str, front: &str, sql: &str) -> (PathBuf, Arc<str>) {
    let text = format!("/*---\nrule: {name}\nseverity: warning\n{front}\nsummary: hostile\n---*/\n{sql}\n");
    (PathBuf::from(format!("rules/{name}.sql")), Arc::from(text))
}

/// 3 minutes of `hosts` hosts, each with a sample of `x` and one of `y` every half minute; each service has 100 of them.
pub fn events(hosts: usize) -> Vec<String> {
    let mut messages = Vec::new();
    for step in 0..6 {
        let mut lines = String::new();
        for host in 0..hosts {
            let ts = T + step * 30_000 + host as i64 % 1_000;
            for name in ["x", "y"] {
                let service = host / 100;
                writeln!(
                    lines,
                    r#"{{"kind":"metric","name":"{name}","ts":{ts},"value":1,"service":"s{service}","host":"h{host}"}}"#
                )
                .unwrap();
            }
        }
        messages.push(lines);
    }
    messages
}

/// What is left of a run.
pub struct Run {
    engine: Engine,
    /// What people are told of the good rule.
    good: String,
}

impl Run {
    /// Of the rule of this name.
    pub fn stats(&self, name: &str) -> RuleStats {
        self.engine.rules().find(|(rule, ..)| rule.name() == name).unwrap().1
    }

    fn reason(&self, name: &str) -> Option<String> {
        let at = self.engine.rules().position(|(rule, ..)| rule.name() == name).unwrap();
        self.engine.evaluator().quarantine(at).map(|quarantine| quarantine.reason.clone())
    }
}

/// Runs the good rule, and a hostile one beside it; `stop` sends a rule to rest before a message.
pub fn run(hostile: Option<(PathBuf, Arc<str>)>, messages: &[String], params: &EngineParams, stop: Option<(usize, &str)>) -> Run {
    let files = std::iter::once((PathBuf::from("rules/good.sql"), Arc::from(GOOD))).chain(hostile).collect();
    let book = check::from_texts(files);
    let book = book.unwrap_or_else(|report| panic!("{report}"));
    let mut decoder = Decoder::new(&book.label_keys, i64::MAX);
    let mut engine = Engine::new(book.rules, Topology::default(), params).unwrap();
    let mut good = String::new();
    let mut tell = |revisions: Vec<squelch::incident::revision::Revision>| {
        for revision in revisions.iter().filter(|revision| revision.alerts.iter().any(|alert| &*alert.rule == "good")) {
            writeln!(good, "{}", incident_message::to_json(revision)).unwrap();
        }
    };
    for (number, message) in messages.iter().enumerate() {
        if let Some((_, rule)) = stop.filter(|(at, _)| *at == number) {
            tell(engine.step(Input::Quarantine { rule, reason: "limits.cpu_share" }));
        }
        decoder.message(message.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        tell(engine.step(Input::Events(&decoder.take())));
    }
    tell(engine.step(Input::End));
    Run { engine, good }
}

/// Runs with a hostile rule; the good rule must say what it says alone.
fn beside(hostile: (PathBuf, Arc<str>), messages: &[String], params: &EngineParams) -> Run {
    let alone = run(None, messages, params, None);
    assert!(alone.good.lines().count() >= 2, "{}", alone.good);
    let both = run(Some(hostile), messages, params, None);
    assert_eq!(both.good, alone.good);
    assert_eq!(both.stats("good").quarantines, 0);
    both
}

#[test]
fn everything_joined_with_everything_is_quarantined() {
    let sql = "SELECT a.host AS host, b.host AS other, 1.0 AS value FROM \
        (SELECT host, sum(value) AS v FROM metrics WHERE name = 'x' GROUP BY host) a CROSS JOIN \
        (SELECT host, sum(value) AS v FROM metrics WHERE name = 'y' GROUP BY host) b";
    let both = beside(rule("cross", "window: 1m", sql), &events(11_000), &EngineParams::default());
    let reason = both.reason("cross").unwrap();
    assert!(reason.starts_with("its joins compare more than 100000000 pairs of rows"), "{reason}");
    assert_eq!(both.stats("cross").breaches, 0);
}

#[test]
fn a_join_that_makes_too_many_rows_is_quarantined() {
    let sql = "SELECT a.host AS host, count(*) AS value FROM \
        (SELECT host, count(*) AS n FROM metrics WHERE name = 'x' GROUP BY host) a JOIN \
        (SELECT host, count(*) AS n FROM metrics WHERE name = 'y' GROUP BY host) b ON a.n = b.n GROUP BY a.host";
    let both = beside(rule("rows", "window: 1m", sql), &events(3_500), &EngineParams::default());
    let reason = both.reason("rows").unwrap();
    assert!(reason.starts_with("its joins make more than 10000000 rows"), "{reason}");
}

#[test]
fn a_join_within_its_budget_is_left_alone() {
    let sql = "SELECT a.host AS host, max(a.v * b.v) AS value FROM \
        (SELECT host, count(*) AS n, sum(value) AS v FROM metrics WHERE name = 'x' GROUP BY host) a JOIN \
        (SELECT host, count(*) AS n, sum(value) AS v FROM metrics WHERE name = 'y' GROUP BY host) b \
        ON a.n = b.n AND a.v <= b.v GROUP BY a.host";
    let both = beside(rule("fine", "window: 1m", sql), &events(300), &EngineParams::default());
    assert_eq!(both.reason("fine"), None);
    assert!(both.stats("fine").breaches >= 300);
}

#[test]
fn who_hoards_rows_is_quarantined() {
    let sql = "SELECT a.host AS host, count(*) AS value FROM metrics a JOIN metrics b ON a.host = b.host GROUP BY a.host";
    let limits = WindowLimits { retained_rows: 2_000, ..WindowLimits::default() };
    let both = beside(rule("hoarder", "window: 1m", sql), &events(500), &EngineParams { limits, ..EngineParams::default() });
    assert_eq!(both.reason("hoarder").unwrap(), "more than 2000 rows in its windows");
    assert!(both.stats("hoarder").quarantines >= 1);
}

#[test]
fn who_makes_groups_without_end_keeps_the_first() {
    let sql = "SELECT host, count(*) AS value FROM metrics GROUP BY host";
    let limits = WindowLimits { groups: 100, ..WindowLimits::default() };
    let params = EngineParams { limits, alerts_max: 50, ..EngineParams::default() };
    let both = beside(rule("exploder", "window: 1m", sql), &events(500), &params);
    assert!(both.stats("exploder").overflow > 0);
    assert_eq!(both.stats("good").overflow, 0);
    let (_, _, alerts) = both.engine.rules().find(|(rule, ..)| rule.name() == "exploder").unwrap();
    assert!(alerts.over_limit > 0);
    assert!(both.engine.alerts_pending_and_firing().1 <= 55);
}

#[test]
fn who_is_told_to_rest_rests_and_begins_with_empty_windows() {
    let sql = "SELECT count(*) AS value FROM metrics WHERE name = 'y'";
    let slow = || rule("slow", "window: 1m\nevery: 30s", sql);
    let messages: Vec<String> = (0..60)
        .map(|step| {
            let ts = T + step * 30_000;
            let line =
                |name: &str| format!(r#"{{"kind":"metric","name":"{name}","ts":{ts},"value":{},"service":"s"}}"#, 60 + step);
            format!("{}\n{}\n", line("x"), line("y"))
        })
        .collect();
    let alone = run(None, &messages, &EngineParams::default(), None);
    let full = run(Some(slow()), &messages, &EngineParams::default(), None);
    let both = run(Some(slow()), &messages, &EngineParams::default(), Some((20, "slow")));
    assert_eq!(both.good, alone.good);
    assert_eq!(both.stats("slow").quarantines, 1);
    assert_eq!(both.reason("slow"), None, "its rest is over");
    // 10 minutes are 20 evaluations; the one that ends the rest knows nothing yet.
    let missed = full.stats("slow").ticks - both.stats("slow").ticks;
    assert!((20..=22).contains(&missed), "{missed}");
    let watched = run(Some(slow()), &messages[..30], &EngineParams::default(), Some((20, "slow")));
    assert_eq!(watched.reason("slow").unwrap(), "limits.cpu_share");
}

#[test]
fn the_watch_names_the_rule_that_costs_most() {
    // A clock that goes on by a millisecond a look: each rule pays for the work that is done for it.
    fn clock() -> u64 {
        static NOW: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        NOW.fetch_add(1_000_000, std::sync::atomic::Ordering::Relaxed)
    }
    let sql = "SELECT service, count(*) AS value FROM metrics WHERE name = 'y' GROUP BY service HAVING count(*) < 0";
    let busy = rule("busy", "window: 10s\nevery: 1s", sql);
    let params = EngineParams { clock, ..EngineParams::default() };
    let both = run(Some(busy), &events(200), &params, None);
    assert_eq!(both.good, run(None, &events(200), &EngineParams::default(), None).good);
    let spent: Vec<(String, u64)> =
        both.engine.rules().map(|(rule, stats, _)| (rule.name().to_string(), stats.spent_ns)).collect();
    let mut watch = CpuWatch::new(0.000_5);
    assert!(watch.over_share(0, spent.iter().map(|(rule, _)| (rule.as_str(), 0))).is_empty());
    assert_eq!(watch.over_share(1_000_000_000, spent.iter().map(|(rule, ns)| (rule.as_str(), *ns))), ["busy"], "{spent:?}");
}
