//! What a test expects at one time, as it is written.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::incident::notify::decision::Decision;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::process::testing::case::{
    Expectation, ExpectedAlert, ExpectedIncident, ExpectedNotification, ExpectedValue, RuleName,
};
use crate::process::testing::time_reader::instant;
use crate::rule::definition::detectors::map_reader::{MapReader, word_of};

const KEYS: [&str; 6] = ["at", "rule", "alerts", "silent", "incidents", "notifications"];
const ALERT_KEYS: [&str; 6] = ["rule", "labels", "severity", "value", "summary", "description"];
const INCIDENT_KEYS: [&str; 6] = ["env", "severity", "cause", "entities", "rules", "title"];
const NOTIFICATION_KEYS: [&str; 6] = ["at", "code", "severity", "env", "cause", "title"];

/// Reads one. `text` is the whole file's, whose digits count.
pub(super) fn read(node: &Node, text: &str, start: TimestampMs) -> Result<Expectation, Vec<Diagnostic>> {
    let mut map = MapReader::open("expect", node, None, "{ at: 10m, alerts: [{ rule: host_cpu_high }] }", &KEYS)?;
    let at = time(&mut map, "at", start);
    if at.is_none() && !map.has("at") {
        map.missing("at", "say when: `at: 10m`");
    }
    let rule = map.node("rule").and_then(|node| rule_name(&mut map.errors, "rule", node));
    let alerts = list(&mut map, "alerts", &mut |item| alert(item, text));
    let silent = list(&mut map, "silent", &mut |item| {
        let mut errors = Vec::new();
        rule_name(&mut errors, "silent", item).ok_or(errors)
    });
    let incidents = list(&mut map, "incidents", &mut incident);
    let notifications = list(&mut map, "notifications", &mut |item| notification(item, start));
    // A misspelt key stands for what is expected.
    if map.errors.is_empty() && !["alerts", "silent", "incidents", "notifications"].iter().any(|key| map.has(key)) {
        let hint = "add `alerts`, `silent`, `incidents` or `notifications`; `alerts: []` expects that no alert fires";
        map.error(node.span.clone(), "nothing is expected here".into(), Some(hint.into()));
    }
    let at = at.unwrap_or(start);
    map.finish(Expectation {
        at,
        span: node.span.clone(),
        rule,
        alerts,
        silent: silent.unwrap_or_default(),
        incidents,
        notifications,
    })
}

fn time(map: &mut MapReader<'_>, key: &str, start: TimestampMs) -> Option<TimestampMs> {
    instant(key, map.node(key)?, start).map_err(|error| map.errors.push(error)).ok()
}

fn rule_name(errors: &mut Vec<Diagnostic>, key: &str, node: &Node) -> Option<RuleName> {
    let name = node.scalar().and_then(word_of);
    if name.is_none() {
        errors.push(Diagnostic::new(
            node.span.clone(),
            format!("`{key}` must be the name of a rule"),
            "write the `rule:` of its file",
        ));
    }
    Some(RuleName { name: name?, span: node.span.clone(), is_shared: false })
}

/// Reads the items of a list; `None` where there is none. An empty one expects nothing.
fn list<T>(map: &mut MapReader<'_>, key: &str, read: &mut dyn FnMut(&Node) -> Result<T, Vec<Diagnostic>>) -> Option<Vec<T>> {
    let node = map.node(key)?;
    let Some(items) = node.items() else {
        map.error(node.span.clone(), format!("`{key}` must be a list"), Some(format!("write `{key}: []` for none")));
        return None;
    };
    let mut all = Vec::new();
    for item in items {
        match read(item) {
            Ok(one) => all.push(one),
            Err(errors) => map.errors.extend(errors),
        }
    }
    Some(all)
}

fn alert(node: &Node, text: &str) -> Result<ExpectedAlert, Vec<Diagnostic>> {
    let mut map = MapReader::open("alerts", node, Some("rule"), "{ rule: host_cpu_high, labels: { host: web-1 } }", &ALERT_KEYS)?;
    let rule = map.node("rule").and_then(|node| rule_name(&mut map.errors, "rule", node));
    let labels = map.node("labels").map(|node| labels(&mut map.errors, node)).unwrap_or_default();
    let severity = severity(&mut map);
    let value = map.node("value").and_then(|node| {
        let number = node.scalar().and_then(Value::as_f64);
        if number.is_none() {
            map.errors.push(Diagnostic::new(node.span.clone(), "`value` must be a number", "write for example `value: 0.42`"));
        }
        Some(ExpectedValue { number: number?, written: text[node.span.clone()].to_string() })
    });
    let (summary, description) = (map.word("summary"), map.word("description"));
    map.finish(ExpectedAlert { rule, labels, only_these_labels: false, severity, value, summary, description })
}

/// A map of texts.
pub(crate) fn labels(errors: &mut Vec<Diagnostic>, node: &Node) -> BTreeMap<String, String> {
    if !node.is_map() {
        errors.push(Diagnostic::new(node.span.clone(), "labels must be a map of texts", "write for example { service: chat }"));
    }
    let mut labels = BTreeMap::new();
    for entry in node.entries() {
        match entry.node.scalar() {
            Some(Value::String(text)) => drop(labels.insert(entry.key.clone(), text.clone())),
            Some(Value::Number(number)) => drop(labels.insert(entry.key.clone(), number.to_string())),
            _ => {
                errors.push(Diagnostic::new(entry.node.span.clone(), format!("the label `{}` is no text", entry.key), "quote it"))
            }
        }
    }
    labels
}

fn severity(map: &mut MapReader<'_>) -> Option<Severity> {
    let word = map.word("severity")?;
    let known = Severity::ALL.into_iter().find(|severity| severity.as_str() == word);
    if known.is_none() {
        let near = nearest(&word, Severity::ALL.map(Severity::as_str)).map(|name| format!("did you mean `{name}`?"));
        map.error_at("severity", format!("unknown severity {word:?}"), near.or(Some("use info, warning or critical".into())));
    }
    known
}

fn incident(node: &Node) -> Result<ExpectedIncident, Vec<Diagnostic>> {
    let mut map = MapReader::open("incidents", node, None, "{ severity: critical, cause: postgres }", &INCIDENT_KEYS)?;
    let sorted = |mut words: Vec<String>| {
        words.sort();
        words
    };
    let read = ExpectedIncident {
        env: map.word("env"),
        severity: severity(&mut map),
        cause: map.word("cause"),
        entities: map.words("entities").map(sorted),
        rules: map.words("rules").map(sorted),
        title: map.word("title"),
    };
    map.finish(read)
}

fn notification(node: &Node, start: TimestampMs) -> Result<ExpectedNotification, Vec<Diagnostic>> {
    let mut map = MapReader::open("notifications", node, Some("code"), "{ code: first_notification }", &NOTIFICATION_KEYS)?;
    let code = map.word("code");
    if let Some(word) = code.as_deref().filter(|code| !Decision::CODES.contains(code)) {
        let near = nearest(word, Decision::CODES).map(|near| format!("did you mean `{near}`?"));
        let known = || format!("the codes are {}", Decision::CODES.join(", "));
        map.error_at("code", format!("no decision has the code `{word}`"), near.or_else(|| Some(known())));
    }
    let read = ExpectedNotification {
        at: time(&mut map, "at", start),
        is_sent: code.as_deref().is_none_or(Decision::is_sent_code),
        code,
        severity: severity(&mut map),
        env: map.word("env"),
        cause: map.word("cause"),
        title: map.word("title"),
    };
    map.finish(read)
}
