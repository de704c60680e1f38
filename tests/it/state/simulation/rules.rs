//! The sets of rules that simulated processes run. Each is planned once for all schedules: planning is what takes long.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use squelch::engine::EngineParams;
use squelch::model::event::LabelKeys;
use squelch::rule::Rule;
use squelch::rule::check;
use squelch::topology::TopologyDefinition;

use crate::support::folders;
use crate::support::runs::Scenario;

/// Rules that run together.
pub struct RuleSet {
    pub rules: Vec<Arc<Rule>>,
    pub label_keys: LabelKeys,
}

/// Sets that follow each other in one process, and what else belongs to them.
pub struct Pack {
    pub name: String,
    texts: Vec<Vec<(PathBuf, Arc<str>)>>,
    sets: Vec<OnceLock<RuleSet>>,
    /// Of packs of a fixture.
    pub recorded: Option<Recorded>,
}

/// A fixture's events, graph and settings.
pub struct Recorded {
    pub lines: Vec<Vec<u8>>,
    pub parts: TopologyDefinition,
    pub params: EngineParams,
}

impl Pack {
    fn new(name: &str, texts: Vec<Vec<(PathBuf, Arc<str>)>>, recorded: Option<Recorded>) -> Self {
        let sets = texts.iter().map(|_| OnceLock::new()).collect();
        Self { name: name.into(), texts, sets, recorded }
    }

    /// How many sets it has.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// One of its sets.
    pub fn set(&self, at: usize) -> &RuleSet {
        self.sets[at].get_or_init(|| {
            let book = check::from_texts(self.texts[at].clone());
            let book = book.unwrap_or_else(|report| panic!("{report}"));
            RuleSet { rules: book.rules.into_iter().map(Arc::new).collect(), label_keys: book.label_keys }
        })
    }
}

/// Those for made streams, without rules first, then those of the fixtures.
pub fn packs() -> &'static [Pack] {
    static PACKS: OnceLock<Vec<Pack>> = OnceLock::new();
    PACKS.get_or_init(|| {
        let fixtures = folders("fixtures/kinds").into_iter().chain(folders("fixtures/scenarios"));
        made().into_iter().chain(fixtures.map(|path| recorded(&path))).collect()
    })
}

/// How many of the packs are for made streams.
pub const MADE: usize = 4;

/// The files of a folder, by name; none of one that is not there.
fn texts_in(folder: &Path) -> Vec<(PathBuf, Arc<str>)> {
    let paths = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("a folder can be read").path());
    let mut texts: Vec<(PathBuf, Arc<str>)> =
        paths.map(|path| (path.clone(), std::fs::read_to_string(&path).expect("a file can be read").into())).collect();
    texts.sort();
    texts
}

fn recorded(path: &Path) -> Pack {
    let scenario = Scenario::read(path);
    let (rules, lookups) = (texts_in(&path.join("rules")), texts_in(&path.join("lookups")));
    assert!(!rules.is_empty(), "{} has rules", path.display());
    let fewer = [&rules[1..], &lookups].concat();
    let files = [rules, lookups].concat();
    let file = path.join("topology.yaml");
    let parts = if file.exists() {
        squelch::io::files::topology_file::read(&file).expect("a good topology")
    } else {
        TopologyDefinition::default()
    };
    let params = EngineParams { clock: || 0, ..scenario.config().engine() };
    let name = scenario.name();
    Pack::new(&name, vec![files, fewer], Some(Recorded { lines: scenario.lines, parts, params }))
}

fn made() -> Vec<Pack> {
    let errors = |share: &str| {
        let sql = format!(
            "SELECT env, service, sum(value) FILTER (WHERE labels['code'] >= '500') / sum(value) AS value FROM metrics \
             WHERE name = 'http_requests' GROUP BY env, service HAVING value >= {share}"
        );
        rule("error_share", "severity: critical\nwindow: 1m\nevery: 15s\nfor: 15s\nkeep_firing_for: 15s", &sql)
    };
    let slow = rule(
        "slow",
        "severity: warning\nwindow: 30s\nevery: 10s",
        "SELECT env, service, p90(value) AS value, CASE WHEN p90(value) > 900 THEN 'critical' ELSE 'warning' END AS severity \
         FROM metrics WHERE name = 'latency_ms' GROUP BY env, service HAVING p90(value) > 500",
    );
    let busy = rule(
        "busy",
        "severity: info\nwindow: 30s\nevery: 10s",
        "SELECT env, service, count(*) AS value FROM metrics WHERE name = 'latency_ms' GROUP BY env, service HAVING count(*) >= 3",
    );
    let logged = rule(
        "logged",
        "severity: warning\ninstant: true\nkeep_firing_for: 20s",
        "SELECT env, service, 1 AS value FROM logs WHERE severity = 'ERROR'",
    );
    let missed = |after: &str| {
        let front = format!("severity: critical\nwindow: 20s\nabsence: {{ after: {after}, forget: 5m }}");
        rule(
            "missed",
            &front,
            "SELECT env, service, count(*) AS value FROM metrics WHERE name = 'latency_ms' GROUP BY env, service",
        )
    };
    let moved = rule(
        "moved",
        "severity: info\ninstant: true\nchange: { of: country, within: 5m }\nkeep_firing_for: 30s",
        "SELECT env, service, labels['user'] AS user, labels['country'] AS country, 1 AS value FROM logs WHERE body = 'login'",
    );
    let first = rule(
        "first",
        "severity: info\ninstant: true\nfirst_seen: { forget: 10m, learn: 20s }\nkeep_firing_for: 30s",
        "SELECT env, service, labels['country'] AS country, 1 AS value FROM logs WHERE body = 'login'",
    );
    let broken_in = rule(
        "broken_in",
        "severity: critical\nsequence: { steps: [failed, failed, ok], within: 2m }",
        "SELECT env, service, labels['user'] AS user, CASE body WHEN 'failed' THEN 'failed' WHEN 'login' THEN 'ok' END AS step, \
         1 AS value FROM logs",
    );
    let departs = rule(
        "departs",
        "severity: warning\nwindow: 20s\ndeviation: { over: 5m, score: 4 }",
        "SELECT env, service, avg(value) AS value FROM metrics WHERE name = 'latency_ms' GROUP BY env, service",
    );
    let session = rule(
        "session",
        "severity: warning\nsession: 30s",
        "SELECT env, service, labels['user'] AS user, count(*) AS value FROM logs WHERE body = 'failed' \
         GROUP BY env, service, labels['user'] HAVING value >= 3",
    );
    let spike = rule(
        "spike",
        "severity: warning\nwindow: 30s\nevery: 15s\nwindows: { before: { window: 1m, ago: 30s } }",
        "SELECT env, service, now.ms AS value FROM \
         (SELECT env, service, avg(value) AS ms FROM metrics WHERE name = 'latency_ms' GROUP BY env, service) now JOIN \
         (SELECT env, service, avg(value) AS ms FROM before.metrics WHERE name = 'latency_ms' GROUP BY env, service) before \
         USING (env, service) WHERE now.ms >= 2 * before.ms",
    );
    let joined = rule(
        "joined",
        "severity: warning\nwindow: 1m\nevery: 30s",
        "SELECT l.env, l.service, count(*) AS value FROM logs l JOIN spans s ON l.trace_id = s.trace_id \
         WHERE l.severity = 'ERROR' AND s.duration_ms > 100 GROUP BY l.env, l.service HAVING value >= 2",
    );
    let distinct = rule(
        "distinct",
        "severity: info\nwindow: 1m\nevery: 30s",
        "SELECT env, service, count(DISTINCT labels['user']) AS value FROM logs GROUP BY env, service HAVING value >= 4",
    );
    let set = |rules: &[&(PathBuf, Arc<str>)]| rules.iter().map(|rule| (*rule).clone()).collect::<Vec<_>>();
    let (half, fifth) = (errors("0.5"), errors("0.2"));
    let (soon, later) = (missed("1m"), missed("2m"));
    vec![
        Pack::new("no rules", vec![Vec::new()], None),
        Pack::new("requests", vec![set(&[&half, &slow, &logged]), set(&[&fifth, &logged]), set(&[&half, &slow, &busy])], None),
        Pack::new(
            "memories",
            vec![set(&[&soon, &moved, &first, &broken_in, &departs]), set(&[&later, &moved, &departs]), set(&[&first])],
            None,
        ),
        Pack::new("shapes", vec![set(&[&session, &spike, &joined, &distinct]), set(&[&session, &joined, &slow])], None),
    ]
}

fn rule(name: &str, front: &str, sql: &str) -> (PathBuf, Arc<str>) {
    let text =
        format!("/*---\nrule: {name}\n{front}\nsummary: \"{{{{ service }}}}: {{{{ value | round(3) }}}}\"\n---*/\n{sql}\n");
    (PathBuf::from(format!("{name}.sql")), Arc::from(text))
}
