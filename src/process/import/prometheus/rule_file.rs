//! Rule files of Prometheus as they are written: `groups`, or the same below `spec` of a Kubernetes resource. Everything that is wrong with
//! one has its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use promql_parser::parser::{self, Expr};

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::report::Report;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::duration;
use crate::process::testing::expectation::labels;
use crate::rule::definition::detectors::map_reader::MapReader;

const GROUP_KEYS: [&str; 7] = ["name", "interval", "limit", "query_offset", "labels", "rules", "partial_response_strategy"];
const RULE_KEYS: [&str; 7] = ["alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"];

/// What a rule makes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Makes {
    /// Alerts of this name.
    Alert(String),
    /// A metric of this name.
    Record(String),
}

/// A rule as it is written.
#[derive(Clone, Debug)]
pub(crate) struct RuleDefinition {
    pub(crate) path: PathBuf,
    pub(crate) group: String,
    pub(crate) interval_ms: Option<i64>,
    pub(crate) makes: Makes,
    /// The expression as it is written, and parsed.
    pub(crate) text: String,
    pub(crate) expr: Expr,
    /// Where it stands in the file.
    pub(crate) span: Range<usize>,
    pub(crate) for_ms: i64,
    pub(crate) keep_firing_for_ms: i64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Reads a file. Its good rules, and what is wrong with the others.
pub(crate) fn read(path: &Path, text: &Arc<str>, report: &mut Report) -> Vec<RuleDefinition> {
    report.add_text(path, Arc::clone(text));
    let tree = match Node::parse(text, 0..text.len()) {
        Ok(tree) => tree,
        Err(error) => {
            report.add(path, error);
            return Vec::new();
        }
    };
    let root = tree.get("spec").unwrap_or(&tree);
    let Some(groups) = root.get("groups").and_then(Node::items) else {
        let hint = "a rule file of Prometheus has `groups`, and below it `- name: …` with `rules`";
        report.add(path, Diagnostic::new(root.span.clone(), "the file has no groups of rules", hint));
        return Vec::new();
    };
    let mut rules = Vec::new();
    for node in groups {
        let mut errors = Vec::new();
        group(path, text, node, &mut rules, &mut errors);
        report.extend(path, errors);
    }
    rules
}

fn group(path: &Path, text: &str, node: &Node, rules: &mut Vec<RuleDefinition>, errors: &mut Vec<Diagnostic>) {
    let mut map = match MapReader::open("groups", node, None, "- name: example", &GROUP_KEYS) {
        Ok(map) => map,
        Err(wrong) => return errors.extend(wrong),
    };
    let name = map.word("name").unwrap_or_else(|| "rules".into());
    let interval_ms = time(&mut map, "interval").filter(|interval_ms| *interval_ms > 0);
    let shared = map.node("labels").map(|node| labels(&mut map.errors, node)).unwrap_or_default();
    let items = map.node("rules").and_then(Node::items).unwrap_or_default();
    for item in items {
        match rule(path, text, item) {
            Ok(mut rule) => {
                (rule.group, rule.interval_ms) = (name.clone(), interval_ms);
                for (key, value) in &shared {
                    rule.labels.entry(key.clone()).or_insert_with(|| value.clone());
                }
                rules.push(rule);
            }
            Err(wrong) => map.errors.extend(wrong),
        }
    }
    errors.extend(map.errors);
}

fn time(map: &mut MapReader<'_>, key: &str) -> Option<i64> {
    let text = map.word(key)?;
    match duration::parse_ms(&text) {
        Ok(duration_ms) => Some(duration_ms),
        Err(_) if text == "0" => Some(0),
        Err(error) => {
            map.error_at(key, format!("`{key}`: {text:?} {}", error.what), Some(error.hint));
            None
        }
    }
}

fn rule(path: &Path, text: &str, node: &Node) -> Result<RuleDefinition, Vec<Diagnostic>> {
    let mut map = MapReader::open("rules", node, None, "{ alert: HostDown, expr: up == 0 }", &RULE_KEYS)?;
    let makes = match (map.word("alert"), map.word("record")) {
        (Some(name), None) => Some(Makes::Alert(name)),
        (None, Some(name)) => Some(Makes::Record(name)),
        (Some(_), Some(_)) => {
            map.error_at("record", "`alert` and `record` in one rule".into(), Some("keep one of the two".into()));
            None
        }
        (None, None) => {
            map.missing("alert", "a rule has `alert` or `record`");
            None
        }
    };
    let written = map.word("expr");
    if written.is_none() && !map.has("expr") {
        map.missing("expr", "write the expression");
    }
    let expr = written.as_deref().and_then(|written| match parser::parse(written) {
        Ok(expr) => Some(expr),
        Err(error) => {
            map.error_at("expr", format!("no PromQL: {}", error.trim()), Some("`promtool check rules` explains it".into()));
            None
        }
    });
    let (for_ms, keep_firing_for_ms) = (time(&mut map, "for").unwrap_or(0), time(&mut map, "keep_firing_for").unwrap_or(0));
    let mut read = |key: &str| map.node(key).map(|node| labels(&mut map.errors, node)).unwrap_or_default();
    let (labels, annotations) = (read("labels"), read("annotations"));
    let span = first_line(text, map.node("expr").map_or(node.span.clone(), |node| node.span.clone()));
    match (makes, written, expr) {
        (Some(makes), Some(written), Some(expr)) => map.finish(RuleDefinition {
            path: path.to_path_buf(),
            group: String::new(),
            interval_ms: None,
            makes,
            text: written,
            expr,
            span,
            for_ms,
            keep_firing_for_ms,
            labels,
            annotations,
        }),
        _ => Err(map.errors),
    }
}

/// The first line of an expression that fills several.
fn first_line(text: &str, span: Range<usize>) -> Range<usize> {
    let length = text.get(span.clone()).and_then(|shown| shown.find('\n')).unwrap_or(span.len());
    span.start..span.start + length
}
