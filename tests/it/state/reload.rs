//! Rules that change under a running engine: what goes on is not disturbed, what is bad does not come in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use squelch::engine::next_rules::NextRules;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::files::topology_file;
use squelch::io::incident_message;
use squelch::model::local_time::Zone;
use squelch::process::config::Config;
use squelch::rule::check::{LoadedRules, from_texts};
use squelch::rule::reload::{FilesOnDisk, ReloadedRules, RuleTexts, reload};
use squelch::topology::Topology;
use squelch::window::evaluator::Evaluator;
use squelch::window::limits::WindowLimits;

use crate::support::demo::outage_lines;
use crate::support::expect::first_difference;
use crate::support::{folders, root};

pub type Files = BTreeMap<PathBuf, Arc<str>>;

/// Events with rules, a topology and settings.
pub struct Case {
    pub name: String,
    pub rules: Files,
    pub topology: PathBuf,
    pub params: EngineParams,
    pub lines: Vec<Vec<u8>>,
}

fn files(dir: &Path) -> Files {
    FilesOnDisk::read(&[dir.to_path_buf()]).files.into_iter().map(|(path, text)| (path, text.unwrap())).collect()
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

fn scenario(path: &Path) -> Case {
    let config = path.join("squelch.yaml");
    Case {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        rules: files(&path.join("rules")),
        topology: path.join("topology.yaml"),
        params: if config.exists() { Config::read(&config).unwrap() } else { Config::default() }.engine(),
        lines: lines(&std::fs::read(path.join("events.jsonl")).unwrap()),
    }
}

fn outage() -> Case {
    Case {
        name: "the outage of the demo".into(),
        rules: files(&root().join("rules")),
        topology: root().join("src/demo/topology.yaml"),
        params: EngineParams::default(),
        lines: outage_lines(),
    }
}

/// Log lines that are alerts by themselves, in bursts with silence between.
fn single_events() -> Case {
    let rule = "/*---\nrule: panic\nseverity: critical\ninstant: true\n---*/\nSELECT env, service, 1 AS value FROM logs WHERE \
                body = 'panic'";
    let line = |i: i64| {
        let (at, body) = (BASE_MS + i * 700 + i / 20 * 400_000, if i % 3 == 0 { "panic" } else { "fine" });
        format!(r#"{{"kind":"log","ts":{at},"body":"{body}","service":"chat-{}","env":"production"}}"#, i % 2).into_bytes()
    };
    Case {
        name: "single events".into(),
        rules: only("panic.sql", rule.into()),
        topology: PathBuf::new(),
        params: EngineParams::default(),
        lines: (0..140).map(line).collect(),
    }
}

pub fn cases() -> Vec<Case> {
    folders("fixtures/scenarios").iter().map(|path| scenario(path)).chain([single_events()]).collect()
}

pub fn book(rules: &Files) -> LoadedRules {
    let files = rules.iter().map(|(path, text)| (path.clone(), Arc::clone(text))).collect();
    from_texts(files).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// An engine whose rules change.
pub struct Run {
    pub engine: Engine,
    pub decoder: Decoder,
    params: EngineParams,
    out: Vec<String>,
}

impl Run {
    pub fn new(case: &Case) -> Self {
        Self::over(&case.rules, &case.topology, &case.params)
    }

    pub fn over(rules: &Files, graph: &Path, params: &EngineParams) -> Self {
        let book = book(rules);
        let parts = if graph.exists() { topology_file::read(graph).unwrap() } else { Default::default() };
        Self {
            decoder: Decoder::new(&book.label_keys, i64::MAX),
            engine: Engine::new(book.rules, Topology::new(parts), params).unwrap(),
            params: params.clone(),
            out: Vec::new(),
        }
    }

    pub fn feed(&mut self, messages: &[Vec<u8>]) {
        messages.iter().for_each(|message| self.decoder.message(message, MessageInfo::default(), &mut |_| {}));
        let batch = self.decoder.take();
        let revisions = self.engine.step(Input::Events(&batch));
        self.emit(&revisions);
    }

    pub fn reload(&mut self, rules: &Files) -> usize {
        let book = book(rules);
        self.decoder.set_label_keys(&book.label_keys);
        let revisions = self.engine.step(Input::Rules(Box::new(NextRules::new(book.rules, &self.params).unwrap())));
        self.emit(&revisions)
    }

    pub fn emit(&mut self, revisions: &[squelch::incident::revision::Revision]) -> usize {
        self.out.extend(revisions.iter().map(incident_message::to_json));
        revisions.len()
    }

    /// How many revisions came out.
    pub fn emitted(&self) -> usize {
        self.out.len()
    }

    /// What came out after the first so many is to come again.
    pub fn forget_after(&mut self, emitted: usize) {
        self.out.truncate(emitted);
    }

    pub fn end(mut self) -> String {
        let revisions = self.engine.step(Input::End);
        self.emit(&revisions);
        self.out.join("\n")
    }

    pub fn stats(&self) -> Vec<String> {
        self.engine.rules().map(|(rule, stats, _)| format!("{} {} {}", rule.name(), stats.breaches, stats.rows)).collect()
    }

    /// The same of a case's own rules alone.
    pub fn stats_of(&self, case: &Case) -> Vec<String> {
        let names: Vec<String> = book(&case.rules).rules.iter().map(|rule| format!("{} ", rule.name())).collect();
        self.stats().into_iter().filter(|line| names.iter().any(|name| line.starts_with(name))).collect()
    }
}

const BATCH: usize = 7;

pub fn plain(case: &Case) -> (String, Vec<String>) {
    let mut run = Run::new(case);
    case.lines.chunks(BATCH).for_each(|messages| run.feed(messages));
    let stats = run.stats();
    (run.end(), stats)
}

#[test]
fn the_same_rules_again_change_nothing() {
    cases().iter().for_each(|case| again(case, 5));
}

/// Planning all of them takes a while.
#[test]
fn all_shipped_rules_again_change_nothing() {
    again(&outage(), 2);
}

fn again(case: &Case, times: usize) {
    let (want, stats) = plain(case);
    let every = (case.lines.len() / BATCH / times).max(1);
    let mut run = Run::new(case);
    for (i, messages) in case.lines.chunks(BATCH).enumerate() {
        if i % every == every / 2 {
            assert_eq!(run.reload(&case.rules), 0, "{}", case.name);
        }
        run.feed(messages);
    }
    assert_eq!(run.stats(), stats, "{}: no tick is lost and none comes twice", case.name);
    assert_eq!(first_difference(&want, &run.end()), None, "{}", case.name);
}

/// Rules that never breach, beside each rule of a case: before and after it by name, over the same table, with another window,
/// evaluated more often, with one more aggregate, with another label.
pub fn neighbours(rules: &Files) -> Files {
    let mut all = Files::new();
    for (n, text) in rules.values().enumerate() {
        // A twin over the same table.
        let name_at = text.find("rule: ").unwrap() + 6;
        let (head, rest) = text.split_at(name_at);
        all.insert(format!("twins/{n}.sql").into(), format!("{head}aa_{}", rest.trim_start()).into());
    }
    let mut add = |name: &str, text: &str| all.insert(format!("more/{name}.sql").into(), text.into());
    add(
        "zz_window",
        "/*---\nrule: zz_window\nseverity: info\nwindow: 5m\nevery: 10s\n---*/\nSELECT env, service, sum(value) FILTER (WHERE \
         labels['code'] >= '500') / sum(value) AS value FROM metrics WHERE name = 'http_requests' GROUP BY env, service HAVING \
         value > 1e300",
    );
    add(
        "zz_often",
        "/*---\nrule: zz_often\nseverity: info\nwindow: 30s\nevery: 3s\n---*/\nSELECT env, service, sum(value) AS value FROM metrics \
         WHERE name = 'http_requests' GROUP BY env, service HAVING value > 1e300",
    );
    add(
        "aa_aggregate",
        "/*---\nrule: aa_aggregate\nseverity: info\nwindow: 30s\n---*/\nSELECT env, service, max(value) AS value FROM metrics \
         WHERE name = 'http_requests' GROUP BY env, service HAVING value > 1e300",
    );
    add(
        "mm_label",
        "/*---\nrule: mm_label\nseverity: info\nwindow: 30s\n---*/\nSELECT labels['aaa'] AS aaa, labels['zzz'] AS zzz, count(*) \
         AS value FROM metrics GROUP BY labels['aaa'], labels['zzz'] HAVING value > 1e300",
    );
    add(
        "mm_rows",
        "/*---\nrule: mm_rows\nseverity: info\ninstant: true\n---*/\nSELECT service, body, duration AS value FROM (SELECT service, body, 1.0 AS \
         duration FROM logs WHERE labels['aab'] = 'never') AS some",
    );
    all
}

#[test]
fn a_neighbour_disturbs_nobody() {
    for case in cases() {
        let (want, stats) = plain(&case);
        assert!(!want.is_empty(), "{}", case.name);
        let batches = case.lines.len() / BATCH;
        let with = with_silent_neighbours(&case);
        for (from, to) in [(batches / 3, 2 * batches / 3), (batches / 2, batches / 2 + 1)] {
            let mut run = Run::new(&case);
            for (i, messages) in case.lines.chunks(BATCH).enumerate() {
                if i == from {
                    assert_eq!(run.reload(&with), 0, "{}", case.name);
                }
                if i == to {
                    assert_eq!(run.reload(&case.rules), 0, "{}", case.name);
                }
                run.feed(messages);
            }
            assert_eq!(run.stats_of(&case), stats, "{} from {from} to {to}", case.name);
            assert_eq!(first_difference(&want, &run.end()), None, "{} from {from} to {to}", case.name);
        }
    }
}

/// The rules of a case, and such that say nothing. Twins say the same as the rules they stand beside: they are not among them.
pub fn with_silent_neighbours(case: &Case) -> Files {
    let silent = neighbours(&case.rules).into_iter().filter(|(path, _)| path.starts_with("more"));
    case.rules.clone().into_iter().chain(silent).collect()
}

/// A rule with the same SQL under another name joins the tables as they are: it fires at its first tick where the old one fires.
#[test]
fn a_twin_finds_full_windows() {
    let case = scenario(&root().join("fixtures/scenarios/cascade"));
    let twins: Files = neighbours(&case.rules).into_iter().filter(|(path, _)| path.starts_with("twins")).collect();
    let mut with = case.rules.clone();
    with.extend(twins);
    let mut run = Run::new(&case);
    let mut firing = 0;
    for messages in case.lines.chunks(BATCH) {
        run.feed(messages);
        if firing == 0 && run.engine.alerts_pending_and_firing().1 > 0 {
            firing = run.engine.alerts_pending_and_firing().1;
            let (_, panes, _) = run.engine.window_size();
            run.reload(&with);
            assert_eq!(run.engine.window_size().1, panes, "twins share tables");
        }
    }
    let rows: BTreeMap<String, u64> =
        run.engine.rules().map(|(rule, stats, _)| (rule.name().to_string(), stats.breaches)).collect();
    assert!(firing > 0 && rows["aa_error_rate"] > 0, "{rows:?}");
}

const BASE_MS: i64 = 1_773_446_400_000;

fn sample(at_s: i64, service: &str, value: f64) -> Vec<u8> {
    format!(
        r#"{{"kind":"metric","ts":{},"name":"m","value":{value},"service":"{service}","env":"production"}}"#,
        BASE_MS + at_s * 1000
    )
    .into_bytes()
}

fn sum_rule(name: &str, more: &str, having: &str) -> Arc<str> {
    format!(
        "/*---\nrule: {name}\nseverity: critical\nwindow: 10m\nevery: 10s\n{more}---*/\nSELECT env, service, sum(value) AS value \
         FROM metrics WHERE name = 'm' GROUP BY env, service HAVING {having}"
    )
    .into()
}

fn only(path: &str, text: Arc<str>) -> Files {
    Files::from([(PathBuf::from(path), text)])
}

#[test]
fn a_removed_rule_resolves_its_alerts_once() {
    let rules = only("sum.sql", sum_rule("sum", "", "value >= 10"));
    let mut run = Run::over(&rules, Path::new(""), &EngineParams::default());
    (0..30).for_each(|second| run.feed(&[sample(second * 10, "chat", 1.0)]));
    assert_eq!(run.engine.alerts_pending_and_firing(), (0, 1));
    let other = only("other.sql", sum_rule("other", "", "value > 1e300"));
    assert_eq!(run.reload(&other), 1);
    assert_eq!(run.engine.alerts_pending_and_firing(), (0, 0));
    assert_eq!(run.reload(&other), 0, "once");
    (30..60).for_each(|second| run.feed(&[sample(second * 10, "chat", 1.0)]));
    let out = run.end();
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["change"], &last["status"]), (&"resolved".into(), &"resolved".into()), "{out}");
    assert_eq!(out.matches("\"change\":\"resolved\"").count(), 1, "{out}");
}

#[test]
fn a_changed_threshold_keeps_windows_and_alerts() {
    let rules = only("sum.sql", sum_rule("sum", "", "value >= 1000"));
    let mut run = Run::over(&rules, Path::new(""), &EngineParams::default());
    (0..30).for_each(|second| run.feed(&[sample(second * 10, "chat", 1.0)]));
    assert_eq!(run.engine.alerts_pending_and_firing(), (0, 0));
    run.reload(&only("sum.sql", sum_rule("sum", "for: 1m\n", "value >= 20")));
    run.feed(&[sample(310, "chat", 1.0)]);
    assert_eq!(run.engine.alerts_pending_and_firing(), (1, 0), "five minutes count, not one tick");
    run.reload(&only("sum.sql", sum_rule("sum", "for: 20s\nkeep_firing_for: 1h\n", "value >= 25")));
    (32..35).for_each(|second| run.feed(&[sample(second * 10, "chat", 1.0)]));
    assert_eq!(run.engine.alerts_pending_and_firing(), (0, 1), "what was pending goes on");
    run.reload(&only("sum.sql", sum_rule("sum", "keep_firing_for: 1h\n", "value >= 1000")));
    (35..45).for_each(|second| run.feed(&[sample(second * 10, "chat", 1.0)]));
    assert_eq!(run.engine.alerts_pending_and_firing(), (0, 1), "the new keep_firing_for counts");
    assert_eq!(run.out.iter().filter(|line| line.contains("\"change\":\"opened\"")).count(), 1);
}

/// A comparison whose windows were kept may speak at once; one whose windows are new waits until they are whole.
#[test]
fn a_comparison_waits_for_new_windows_only() {
    let compare = |threshold: f64, filter: &str| {
        let text = format!(
            "/*---\nrule: compare\nseverity: critical\nwindow: 1m\nevery: 10s\nwindows: {{ before: {{ window: 1m, ago: 2m }} }}\n\
             ---*/\nSELECT n.service AS service, n.v / b.v AS value FROM (SELECT service, sum(value) AS v FROM metrics WHERE \
             {filter} GROUP BY service) AS n JOIN (SELECT service, sum(value) AS v FROM before.metrics WHERE {filter} GROUP BY \
             service) AS b ON n.service = b.service WHERE n.v / b.v >= {threshold:?}"
        );
        only("compare.sql", text.into())
    };
    let fires_after = |changed: &Files| {
        let mut run = Run::over(&compare(100.0, "name = 'm'"), Path::new(""), &EngineParams::default());
        (0..60).for_each(|second| run.feed(&[sample(second * 10, "chat", 1.0)]));
        run.reload(changed);
        let mut samples = 0;
        while run.engine.alerts_pending_and_firing().1 == 0 && samples < 60 {
            run.feed(&[sample((60 + samples) * 10, "chat", 1.0)]);
            samples += 1;
        }
        samples
    };
    assert_eq!(fires_after(&compare(0.5, "name = 'm'")), 1);
    let whole = fires_after(&compare(0.5, "name = 'm' AND value > 0.1"));
    assert!((18..=21).contains(&whole), "three minutes: {whole}");
}

fn on_disk(files: &[(&str, &str)]) -> FilesOnDisk {
    FilesOnDisk {
        files: files.iter().map(|(path, text)| (PathBuf::from(path), Ok(Arc::from(*text)))).collect(),
        no_folders: Vec::new(),
    }
}

fn running(renewed: &ReloadedRules) -> Vec<&str> {
    renewed.rules.rules.iter().map(|rule| rule.name()).collect()
}

#[test]
fn a_bad_version_keeps_the_old_one() {
    let (a, b) = (sum_rule("a", "", "value > 1"), sum_rule("b", "", "value > 1"));
    let good: RuleTexts = Files::from([("a.sql".into(), Arc::clone(&a)), ("b.sql".into(), Arc::clone(&b))]);
    let bad = a.replace("sum(value)", "summ(value)");
    let better = b.replace("value > 1", "value > 2");
    let renewed = reload(&on_disk(&[("a.sql", &bad), ("b.sql", &better), ("c.sql", "no rule")]), &good, Zone::default()).unwrap();
    assert_eq!(running(&renewed), ["a", "b"]);
    assert_eq!((&renewed.texts[Path::new("a.sql")], renewed.texts[Path::new("b.sql")].as_ref()), (&a, better.as_str()));
    assert_eq!((renewed.stale.len(), renewed.left_out.len()), (1, 1));
    let said: String = renewed.reports.iter().map(ToString::to_string).collect();
    assert!(said.contains("a.sql:7:") && said.contains("`sum`") && said.contains("c.sql"), "{said}");

    // Of two rules with one name the one that runs keeps it, wherever its file stands.
    let twin =
        reload(&on_disk(&[("0.sql", &sum_rule("b", "", "value > 9")), ("a.sql", &a), ("b.sql", &b)]), &good, Zone::default())
            .unwrap();
    assert_eq!((running(&twin), twin.texts == good), (vec!["a", "b"], true));
    // Two files may exchange their names.
    let swapped = reload(&on_disk(&[("a.sql", &b), ("b.sql", &a)]), &good, Zone::default()).unwrap();
    assert!(running(&swapped) == ["a", "b"] && swapped.reports.is_empty());
    // A file that is gone takes its rule along; one that cannot be read does not.
    let mut disk = on_disk(&[("b.sql", &b)]);
    assert_eq!(running(&reload(&disk, &good, Zone::default()).unwrap()), ["b"]);
    disk.files.insert("a.sql".into(), Err("cannot be read: no".into()));
    let unread = reload(&disk, &good, Zone::default()).unwrap();
    assert_eq!((running(&unread), unread.reports.len()), (vec!["a", "b"], 1));
    disk.no_folders.push(("rules".into(), "cannot be read: no".into()));
    assert!(reload(&disk, &good, Zone::default()).is_err(), "a folder that cannot be read says nothing about its rules");
}

#[test]
fn a_lookup_is_reloaded_as_the_rules_that_read_it() {
    let rule = "/*---\nrule: high\nseverity: warning\nwindow: 10s\n---*/\nSELECT m.service, m.v AS value \
                FROM (SELECT service, max(value) AS v FROM metrics GROUP BY service) m \
                JOIN lookup.limits l ON m.service = l.service WHERE m.v > l.most\n";
    let limits = |text: &str| on_disk(&[("lookups/limits.csv", text), ("rules/high.sql", rule)]);
    let fires = |renewed: &ReloadedRules| {
        let rules = from_texts(renewed.texts.clone().into_iter().collect()).unwrap().rules;
        let mut decoder = Decoder::new(&renewed.rules.label_keys, i64::MAX);
        let mut evaluator = Evaluator::new(rules.into_iter().map(Arc::new).collect(), WindowLimits::default(), || 0).unwrap();
        evaluator.start(1_773_446_400_000);
        let line = br#"{"kind":"metric","ts":1773446405000,"name":"m","value":50,"service":"web"}"#;
        decoder.message(line, MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        let batch = decoder.take();
        evaluator.ingest(&batch, [0; squelch::model::event::TABLES], std::array::from_fn(|table| batch.tables[table].num_rows()));
        let at = evaluator.next_tick().unwrap();
        evaluator.take_due(at);
        !evaluator.evaluate(0, at, i64::MIN).unwrap().is_empty()
    };
    let first = reload(&limits("service,most\nweb,90\n"), &RuleTexts::new(), Zone::default()).unwrap();
    assert!(!fires(&first));
    let second = reload(&limits("service,most\nweb,40\n"), &first.texts, Zone::default()).unwrap();
    assert!(second.reports.is_empty() && second.texts != first.texts && fires(&second));
    // A bad version keeps the good one, and the rules that read it.
    let third = reload(&limits("service,most\nweb,4O\nchat,1\n"), &second.texts, Zone::default()).unwrap();
    assert_eq!((running(&third), third.stale.len(), third.texts == second.texts), (vec!["high"], 1, true));
    let said = third.reports.iter().map(ToString::to_string).collect::<String>();
    assert!(said.contains("lookups/limits.csv:2:5") && said.contains("`4O` is no number"), "{said}");
    let gone = reload(&on_disk(&[("rules/high.sql", rule)]), &second.texts, Zone::default());
    assert!(gone.is_err_and(|wrong| wrong.to_string().contains("unknown lookup `limits`")), "a rule goes on with its lookup");
}
