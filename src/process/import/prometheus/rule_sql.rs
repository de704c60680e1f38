//! A rule of Prometheus as a file of squelch: the original as a comment, what is not quite the same, front matter and SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use promql_parser::parser::token;
use promql_parser::parser::{Expr, VectorSelector};

use crate::model::duration::format_ms;
use crate::model::severity::Severity;
use crate::model::time::MINUTE_MS;
use crate::process::import::prometheus::compile::{Compiler, Record};
use crate::process::import::prometheus::example::{self, Example};
use crate::process::import::prometheus::go_template::{labels_of, translate};
use crate::process::import::prometheus::relation::{
    Collected, ENV, Refusal, Relation, columns, indented, literal, quoted, table_placeholder, window_name,
};
use crate::process::import::prometheus::rule_file::{Makes, RuleDefinition};

/// How often Prometheus evaluates where nothing is set.
const USUAL_INTERVAL_MS: i64 = MINUTE_MS;
/// Labels that name what an alert is about, the best first.
const ENTITY_LABELS: [&str; 10] =
    ["service", "instance", "node", "host", "pod", "deployment", "statefulset", "job", "namespace", "cluster"];
/// Columns of the result that mean something else.
const RESERVED: [&str; 3] = ["severity", "value", "sample_at"];

/// The files of a rule.
#[derive(Debug)]
pub(crate) struct Written {
    /// Below the output folder.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// A test of it, where one can be told from the expression.
    pub(crate) test: Option<(PathBuf, String)>,
}

/// The recording rules by name.
pub(crate) struct Records(BTreeMap<String, Vec<Record>>);

impl Records {
    pub(crate) fn of(rules: &[RuleDefinition]) -> Self {
        let mut records: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for rule in rules {
            if let Makes::Record(name) = &rule.makes {
                let record = Record { expr: rule.expr.clone(), labels: rule.labels.clone() };
                records.entry(name.clone()).or_default().push(record);
            }
        }
        Self(records)
    }
}

/// Labels that the rule adds to its alerts.
struct StaticLabels {
    severity: Severity,
    texts: BTreeMap<String, String>,
}

/// Translates an alerting rule. `more_labels` are labels that series have besides those that the rule names.
///
/// # Errors
///
/// Why it cannot be the same.
pub(crate) fn translate_rule(
    rule: &RuleDefinition,
    name: &str,
    records: &Records,
    more_labels: &[String],
) -> Result<Written, String> {
    let mut compiler = Compiler::new(&records.0);
    let fixed = static_labels(rule, &mut compiler.collected);
    let needed = needed_labels(rule, more_labels);
    let relation = compiler.vector(&rule.expr, &needed).map_err(|Refusal(why)| why)?;
    if let Some(label) = relation.labels.iter().find(|label| RESERVED.contains(&label.as_str()) && *label != "severity") {
        return Err(format!("the label `{label}` has the name of a column of every alert"));
    }
    let (mut collected, labels) = (compiler.collected, relation.labels.clone());
    let windows = windows(rule, &mut collected);
    let front = front_matter(rule, name, &fixed, &labels, &windows, &mut collected);
    let sql = query(&rule.expr, &relation, &fixed, &windows);
    let example = example::of(rule, name, fixed.severity, &labels, &collected);
    let text = with_comments(rule, &front, &sql, &collected, example.is_some());
    let folder = PathBuf::from(file_name(&rule.group));
    let test = example.map(|Example(text)| (folder.join("tests").join(format!("{name}.yaml")), text));
    Ok(Written { path: folder.join(format!("{name}.sql")), text, test })
}

/// A text as the name of a file or a rule.
pub(crate) fn file_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' }).collect()
}

fn needed_labels(rule: &RuleDefinition, more: &[String]) -> BTreeSet<String> {
    let texts = rule.annotations.values().chain(rule.labels.values());
    let named = texts.flat_map(|text| labels_of(text));
    let usual = [ENV, "instance", "job"].map(String::from);
    let all = named.chain(usual).chain(more.iter().cloned()).chain(matched_labels(&rule.expr));
    all.filter(|label| !RESERVED.contains(&label.as_str())).collect()
}

/// Labels that the expression's matchers name: they tell its series apart.
fn matched_labels(expr: &Expr) -> BTreeSet<String> {
    let of_selector = |selector: &VectorSelector| -> BTreeSet<String> {
        selector.matchers.matchers.iter().map(|matcher| matcher.name.clone()).filter(|name| name != "__name__").collect()
    };
    let both = |a: &Expr, b: &Expr| matched_labels(a).into_iter().chain(matched_labels(b)).collect();
    match expr {
        Expr::VectorSelector(selector) => of_selector(selector),
        Expr::MatrixSelector(range) => of_selector(&range.vs),
        Expr::Paren(inner) => matched_labels(&inner.expr),
        Expr::Unary(inner) => matched_labels(&inner.expr),
        Expr::Call(call) => call.args.args.iter().flat_map(|argument| matched_labels(argument)).collect(),
        // Of a set operation the left side goes on; matchers of the right one only choose.
        Expr::Binary(binary) if [token::T_LAND, token::T_LUNLESS].contains(&binary.op.id()) => matched_labels(&binary.lhs),
        Expr::Binary(binary) if binary.modifier.is_none() => both(&binary.lhs, &binary.rhs),
        _ => BTreeSet::new(),
    }
}

fn static_labels(rule: &RuleDefinition, collected: &mut Collected) -> StaticLabels {
    let mut fixed = StaticLabels { severity: Severity::Warning, texts: BTreeMap::new() };
    for (label, value) in &rule.labels {
        match label.as_str() {
            "severity" => match value.parse() {
                Ok(severity) => {
                    fixed.severity = severity;
                    if severity.as_str() != value {
                        collected.notes.insert(format!("The severity `{value}` is {severity} here."));
                    }
                }
                Err(_) => drop(collected.notes.insert(format!("The severity `{value}` is unknown: it is a warning here."))),
            },
            reserved if RESERVED.contains(&reserved) => {
                collected.notes.insert(format!("The label `{label}` is left out: it has the name of a column of every alert."));
            }
            _ if value.contains("{{") => {
                collected.notes.insert(format!("The label `{label}` is left out: it is a template. Write it as a column."));
            }
            _ => drop(fixed.texts.insert(label.clone(), value.clone())),
        }
    }
    if !rule.labels.contains_key("severity") {
        collected.notes.insert("The original has no severity: it is a warning here.".into());
    }
    fixed
}

/// The windows of a rule.
struct Windows {
    own_ms: i64,
    every_ms: i64,
    /// Window and how long before the evaluation it ends.
    named: Vec<(i64, i64)>,
}

fn windows(rule: &RuleDefinition, collected: &mut Collected) -> Windows {
    let all = &collected.windows;
    let own_ms = all.iter().filter(|(_, ago_ms)| *ago_ms == 0).map(|(window_ms, _)| *window_ms).max();
    let own_ms = own_ms.or_else(|| all.iter().map(|(window_ms, _)| *window_ms).max()).unwrap_or(5 * MINUTE_MS);
    let named: Vec<(i64, i64)> = all.iter().copied().filter(|window| *window != (own_ms, 0)).collect();
    let interval_ms = rule.interval_ms.unwrap_or(USUAL_INTERVAL_MS);
    let every_ms = all.iter().flat_map(|(window_ms, ago_ms)| [*window_ms, *ago_ms]).fold(interval_ms, gcd).max(1_000);
    if every_ms != interval_ms {
        let (every, interval) = (format_ms(every_ms), format_ms(interval_ms));
        collected.notes.insert(format!("Evaluated each {every}, not each {interval}: windows are multiples of `every`."));
    }
    if !named.is_empty() {
        let longest = named.iter().map(|(window_ms, ago_ms)| window_ms + ago_ms).max().unwrap_or_default();
        let longest = format_ms(longest);
        collected
            .notes
            .insert(format!("It reads further windows: after a start it is silent for {longest}, until they are filled."));
    }
    Windows { own_ms, every_ms, named }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn front_matter(
    rule: &RuleDefinition,
    name: &str,
    fixed: &StaticLabels,
    labels: &BTreeSet<String>,
    windows: &Windows,
    collected: &mut Collected,
) -> String {
    let mut lines = vec![format!("rule: {name}"), format!("severity: {}", fixed.severity)];
    lines.push(format!("window: {}", format_ms(windows.own_ms)));
    lines.push(format!("every: {}", format_ms(windows.every_ms)));
    if !windows.named.is_empty() {
        let one = |(window_ms, ago_ms): &(i64, i64)| {
            let ago = if *ago_ms == 0 { String::new() } else { format!(", ago: {}", format_ms(*ago_ms)) };
            format!("{}: {{ window: {}{ago} }}", window_name(*window_ms, *ago_ms), format_ms(*window_ms))
        };
        lines.push(format!("windows: {{ {} }}", windows.named.iter().map(one).collect::<Vec<_>>().join(", ")));
    }
    for (key, duration_ms) in [("for", rule.for_ms), ("keep_firing_for", rule.keep_firing_for_ms)] {
        if duration_ms > 0 {
            lines.push(format!("{key}: {}", format_ms(duration_ms)));
        }
    }
    let is_label = |label: &&str| labels.contains(*label) || fixed.texts.contains_key(*label);
    if let Some(entity) = ENTITY_LABELS.into_iter().find(is_label) {
        lines.push(format!("entity: {entity}"));
    }
    let known: BTreeSet<String> = labels.iter().chain(fixed.texts.keys()).cloned().collect();
    let mut written = BTreeSet::new();
    for (annotation, text) in in_order(&rule.annotations) {
        let key = match annotation {
            "summary" => "summary",
            "message" | "title" if !rule.annotations.contains_key("summary") => "summary",
            "description" => "description",
            "runbook_url" | "runbook" => "runbook",
            _ => "",
        };
        if key.is_empty() || !written.insert(key) {
            collected.notes.insert(format!("The annotation `{annotation}` is left out."));
            continue;
        }
        match translate(text, &known) {
            Ok(text) if key == "runbook" && text.contains("{{") => {
                collected.notes.insert("The runbook is left out: a runbook is no template here.".into());
            }
            Ok(text) if text.is_empty() => {}
            Ok(text) => lines.push(format!("{key}: {}", serde_json::Value::String(text))),
            Err(why) => drop(collected.notes.insert(format!("The annotation `{annotation}` is left out: {why}."))),
        }
    }
    lines.join("\n")
}

/// The annotations, those first that give a key its best text.
fn in_order(annotations: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    let all = annotations.iter().map(|(key, text)| (key.as_str(), text.as_str()));
    let mut all: Vec<(&str, &str)> = all.collect();
    all.sort_by_key(|(key, _)| match *key {
        "summary" => 0,
        "description" => 1,
        "runbook_url" => 2,
        _ => 3,
    });
    all.into_iter()
}

/// Whether the expression ends in a comparison for values that are too low.
fn lower_is_worse(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(inner) => lower_is_worse(&inner.expr),
        Expr::Binary(binary) => match binary.op.id() {
            token::T_LSS | token::T_LTE => true,
            token::T_LAND | token::T_LUNLESS | token::T_LOR => lower_is_worse(&binary.lhs),
            _ => false,
        },
        _ => false,
    }
}

fn query(expr: &Expr, relation: &Relation, fixed: &StaticLabels, windows: &Windows) -> String {
    let kept: Vec<&String> =
        relation.labels.iter().filter(|label| !fixed.texts.contains_key(*label) && *label != "severity").collect();
    let mut select = columns("", kept.iter().copied());
    let group = select.join(", ");
    select.extend(fixed.texts.iter().map(|(label, value)| format!("{} AS {}", literal(value), quoted(label))));
    let (value, group) = match relation.is_unique && kept.len() == relation.labels.len() {
        true => ("value".to_string(), String::new()),
        // Series that differ in other labels only are one alert.
        false => {
            let worst = if lower_is_worse(expr) { "min" } else { "max" };
            let group = if group.is_empty() { "HAVING count(*) > 0".into() } else { format!("GROUP BY {group}") };
            (format!("{worst}(value) AS value"), format!("\n{group}"))
        }
    };
    select.push(value);
    let sql = format!("SELECT {}\nFROM (\n{}\n) alert{group}", select.join(", "), indented(&relation.sql));
    let own = table_placeholder(windows.own_ms, 0);
    let sql = sql.replace(&own, "metrics");
    windows.named.iter().fold(sql, |sql, (window_ms, ago_ms)| {
        sql.replace(&table_placeholder(*window_ms, *ago_ms), &format!("{}.metrics", window_name(*window_ms, *ago_ms)))
    })
}

fn with_comments(rule: &RuleDefinition, front: &str, sql: &str, collected: &Collected, has_test: bool) -> String {
    let file = rule.path.file_name().unwrap_or_default().to_string_lossy();
    let Makes::Alert(alert) = &rule.makes else { return String::new() };
    let mut comments = vec![format!("Imported from {file}, the alert {alert} of the group {}:", rule.group)];
    comments.extend(rule.text.trim().lines().map(|line| format!("    {}", line.trim_end())));
    comments.extend(collected.notes.iter().cloned());
    if !has_test {
        comments.push("No test could be made from it: write one in `tests/`.".into());
    }
    let comments: String = comments.iter().map(|line| format!("-- {line}").trim_end().to_string() + "\n").collect();
    format!("/*---\n{front}\n---*/\n{comments}{sql}\n")
}
