//! Tests in the form of `promtool test rules`, for rules that were imported from Prometheus. The rules are those beside the file, in SQL:
//! `rule_files` names what they were imported from and is not read.

use std::path::Path;
use std::sync::Arc;

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::process::testing::case::{Expectation, ExpectedAlert, RuleName, TestCase, TestFile};
use crate::process::testing::expectation::labels;
use crate::process::testing::find::usual_rules;
use crate::process::testing::native::{joined, lines_of};
use crate::process::testing::samples;
use crate::process::testing::series::Series;
use crate::process::testing::time_reader::{USUAL_START_MS, instant, positive};
use crate::rule::definition::detectors::map_reader::MapReader;

const FILE_KEYS: [&str; 5] = ["rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"];
const GROUP_KEYS: [&str; 8] = [
    "name",
    "interval",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
    "start_timestamp",
];

/// Reads a file.
pub(super) fn read(path: &Path, text: &Arc<str>, tree: &Node) -> Result<TestFile, Vec<Diagnostic>> {
    let mut file = MapReader::open("the file", tree, None, "tests: […]", &FILE_KEYS)?;
    let usual_ms = duration(&mut file, "evaluation_interval", 60_000);
    let mut tests = Vec::new();
    for (number, item) in items(&mut file, "tests").iter().enumerate() {
        match group(item, text, number + 1, usual_ms) {
            Ok(test) => tests.push(test),
            Err(errors) => file.errors.extend(errors),
        }
    }
    let rules = vec![usual_rules(path)];
    file.finish(TestFile { path: path.to_path_buf(), text: Arc::clone(text), rules, topology: None, settings: None, tests })
}

fn items<'n>(map: &mut MapReader<'n>, key: &str) -> &'n [Node] {
    let Some(node) = map.node(key) else { return &[] };
    if node.items().is_none() {
        map.error(node.span.clone(), format!("`{key}` must be a list"), None);
    }
    node.items().unwrap_or_default()
}

fn duration(map: &mut MapReader<'_>, key: &str, usual_ms: i64) -> i64 {
    match map.node(key).map(|node| positive(key, node)) {
        Some(Ok(duration_ms)) => duration_ms,
        Some(Err(error)) => {
            map.errors.push(error);
            usual_ms
        }
        None => usual_ms,
    }
}

fn group(node: &Node, text: &str, number: usize, usual_ms: i64) -> Result<TestCase, Vec<Diagnostic>> {
    let mut map = MapReader::open("tests", node, None, "- interval: 1m", &GROUP_KEYS)?;
    let interval_ms = duration(&mut map, "interval", usual_ms);
    let name = map.word("name").unwrap_or_else(|| format!("group {number}"));
    let (mut events, mut expectations) = (Vec::new(), Vec::new());
    for item in items(&mut map, "input_series") {
        match input(item, text) {
            Ok((series, values)) => events.extend(lines_of(&series, &values, USUAL_START_MS, interval_ms)),
            Err(errors) => map.errors.extend(errors),
        }
    }
    for item in items(&mut map, "alert_rule_test") {
        match expectation(item, USUAL_START_MS) {
            Ok(read) => expectations.push(read),
            Err(errors) => map.errors.extend(errors),
        }
    }
    expectations.sort_by_key(|expectation| expectation.at);
    let of_expressions = items(&mut map, "promql_expr_test").len();
    let skipped = (of_expressions > 0).then(|| format!("{of_expressions} of `promql_expr_test`: squelch evaluates no PromQL"));
    map.finish(TestCase {
        name,
        span: node.span.clone(),
        start: USUAL_START_MS,
        events: joined(events),
        event_files: Vec::new(),
        commands: Vec::new(),
        expectations,
        skipped: skipped.into_iter().collect(),
    })
}

fn input(node: &Node, text: &str) -> Result<(Series, Vec<Option<f64>>), Vec<Diagnostic>> {
    let mut map = MapReader::open("input_series", node, None, "{ series: up, values: 1x10 }", &["series", "values"])?;
    let series =
        map.word("series").and_then(|text| Series::parse(&text).map_err(|error| map.error_at("series", error, None)).ok());
    let values = map.node("values").and_then(|node| samples::as_written(node, text));
    let values = values.and_then(|text| samples::parse(&text).map_err(|error| map.error_at("values", error, None)).ok());
    for key in ["series", "values"] {
        if !map.has(key) {
            map.missing(key, "a series has a name and samples");
        }
    }
    match (series, values) {
        (Some(series), Some(values)) => map.finish((series, values)),
        _ => Err(map.errors),
    }
}

fn expectation(node: &Node, start: TimestampMs) -> Result<Expectation, Vec<Diagnostic>> {
    let keys = ["eval_time", "alertname", "exp_alerts"];
    let mut map = MapReader::open("alert_rule_test", node, None, "{ eval_time: 10m, alertname: HostDown }", &keys)?;
    let at = match map.node("eval_time").map(|node| instant("eval_time", node, start)) {
        Some(Ok(at)) => at,
        Some(Err(error)) => {
            map.errors.push(error);
            start
        }
        None => start,
    };
    let rule = map.word("alertname").map(|name| RuleName {
        name: rule_name_of(&name),
        span: map.node("alertname").map_or(node.span.clone(), |node| node.span.clone()),
        is_shared: true,
    });
    if rule.is_none() && !map.has("alertname") {
        map.missing("alertname", "name the alert");
    }
    let mut alerts = Vec::new();
    for item in items(&mut map, "exp_alerts") {
        match alert(item) {
            Ok(alert) => alerts.push(alert),
            Err(errors) => map.errors.extend(errors),
        }
    }
    let span = node.span.clone();
    map.finish(Expectation { at, span, rule, alerts: Some(alerts), silent: Vec::new(), incidents: None, notifications: None })
}

fn alert(node: &Node) -> Result<ExpectedAlert, Vec<Diagnostic>> {
    let keys = ["exp_labels", "exp_annotations"];
    let mut map = MapReader::open("exp_alerts", node, None, "{ exp_labels: { severity: warning } }", &keys)?;
    let mut read = |key: &str| map.node(key).map(|node| labels(&mut map.errors, node)).unwrap_or_default();
    let (mut labels, mut annotations) = (read("exp_labels"), read("exp_annotations"));
    labels.remove("alertname");
    let severity = labels.remove("severity").and_then(|word| word.parse::<Severity>().ok());
    let (summary, description) = (annotations.remove("summary"), annotations.remove("description"));
    map.finish(ExpectedAlert { rule: None, labels, only_these_labels: true, severity, value: None, summary, description })
}

/// The name of the rule that an alert of Prometheus becomes: letters, digits, `_`, `-` and `.` stay.
pub(crate) fn rule_name_of(alert: &str) -> String {
    alert.chars().map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' }).collect()
}
