//! Reads a mapping: `signals`, a list of lines. All errors of a text are found at once, each with its place.
//!
//! A mapping says names, units and labels. There is no key for a threshold, so what is normal is always learned from the series itself.

use std::ops::Range;

use crate::model::diagnostic::yaml_tree::{Entry, Node};
use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::limits::SIGNAL_LINES_MAX;
use crate::model::signal::field_ref::FieldRef;
use crate::model::signal::line::{Condition, MappingLine, SeriesKind};
use crate::model::signal::pattern::Pattern;
use crate::model::signal::role::Role;
use crate::model::signal::unit::Unit;

const KEYS: [&str; 8] = ["match", "role", "kind", "unit", "resource", "of", "seen_by", "on"];
const EXAMPLE: &str = "write for example - { match: { name: http_request_duration_ms }, role: duration, unit: ms, of: service }";
const FIELDS: &str = "write service, host, env or labels.KEY";
/// The role of series that are no signal.
const NONE: &str = "none";

/// The lines of a mapping.
pub fn read(text: &str) -> Result<Vec<MappingLine>, Vec<Diagnostic>> {
    let tree = Node::parse(text, 0..text.len()).map_err(|error| vec![error])?;
    let mut reading = Reading { errors: Vec::new() };
    let lines = reading.file(&tree);
    if reading.errors.is_empty() { Ok(lines) } else { Err(reading.errors) }
}

struct Reading {
    errors: Vec<Diagnostic>,
}

impl Reading {
    fn error(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.push(Diagnostic::new(span.clone(), message, hint));
    }

    fn file(&mut self, tree: &Node) -> Vec<MappingLine> {
        for entry in tree.entries().iter().filter(|entry| entry.key != "signals") {
            self.error(
                &entry.key_span,
                format!("unknown key `{}`", entry.key),
                "a mapping has one key, `signals`: a list of lines",
            );
        }
        let Some(signals) = tree.get("signals") else {
            if tree.entries().is_empty() {
                self.error(&tree.span, "the file holds no mapping", format!("begin with `signals:` and {EXAMPLE}"));
            }
            return Vec::new();
        };
        let Some(items) = signals.items() else {
            self.error(&signals.span, "`signals` is no list", EXAMPLE);
            return Vec::new();
        };
        if items.len() > SIGNAL_LINES_MAX {
            let message = format!("{} lines, the limit is {SIGNAL_LINES_MAX}", items.len());
            self.error(&signals.span, message, "a `*` in a name stands for any characters: one line can match many series");
            return Vec::new();
        }
        items.iter().filter_map(|item| self.line(item)).collect()
    }

    fn line(&mut self, item: &Node) -> Option<MappingLine> {
        if !item.is_map() {
            self.error(&item.span, "a line of a mapping is a map", EXAMPLE);
            return None;
        }
        for entry in item.entries().iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
            let hint = match nearest(&entry.key, KEYS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("a line has {}; what is normal is learned, so it has no thresholds", KEYS.join(", ")),
            };
            self.error(&entry.key_span, format!("unknown key `{}`", entry.key), hint);
        }
        let (names, conditions) = self.matching(item);
        let roles = self.roles(item);
        let kind = self.kind(item);
        let factor = self.factor(item, &roles, kind);
        let resource = self.word(item, "resource", "write for example cpu, memory, disk or network");
        let of = self.field(item, "of").unwrap_or(FieldRef::Service);
        let seen_by = self.field(item, "seen_by");
        let on = self.field(item, "on").unwrap_or(FieldRef::Host);
        if let (Some(entry), true) = (item.entry("seen_by"), seen_by.as_ref() == Some(&of)) {
            self.error(
                &entry.key_span,
                format!("`seen_by` and `of` are both {of}"),
                "`of` is the service that is called, `seen_by` the one that calls it",
            );
        }
        Some(MappingLine { names, conditions, roles: roles?, kind, factor, resource, of, seen_by, on })
    }

    fn matching(&mut self, item: &Node) -> (Vec<Pattern>, Vec<Condition>) {
        let hint = "write for example match: { name: http_requests_total, labels.code: \"5*\" }";
        let Some(node) = item.get("match") else {
            self.error(&item.span, "a line needs `match`: the series that it is about", hint);
            return Default::default();
        };
        if node.entries().is_empty() {
            self.error(&node.span, "`match` is no map of fields and patterns", hint);
            return Default::default();
        }
        let (mut names, mut conditions) = (Vec::new(), Vec::new());
        for entry in node.entries() {
            let patterns = self.patterns(entry);
            if entry.key == "name" {
                names = patterns.iter().map(|text| Pattern::of_name(text)).collect();
                continue;
            }
            match FieldRef::parse(&entry.key) {
                Some(field) => {
                    let patterns = patterns.iter().map(|text| Pattern::of_value(text)).collect();
                    conditions.push(Condition { field, patterns });
                }
                None => {
                    self.error(&entry.key_span, format!("`{}` is no field of a series", entry.key), format!("{FIELDS}, or name"))
                }
            }
        }
        if conditions.is_empty() && names.iter().any(Pattern::is_any) {
            self.error(&node.span, "this matches every series", "name the series, or a label that they have");
        }
        (names, conditions)
    }

    /// A pattern, or a list of them.
    fn patterns(&mut self, entry: &Entry) -> Vec<String> {
        let one = |node: &Node| match node.scalar() {
            Some(serde_json::Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            Some(serde_json::Value::Bool(bool)) => Some(bool.to_string()),
            _ => None,
        };
        let nodes = entry.node.items().map_or_else(|| vec![&entry.node], |items| items.iter().collect());
        let patterns: Option<Vec<String>> = nodes.iter().map(|node| one(node)).collect();
        match patterns {
            Some(patterns) if !patterns.is_empty() => patterns,
            _ => {
                let message = format!("`{}` is neither a pattern nor a list of patterns", entry.key);
                self.error(&entry.node.span, message, "a pattern is a text; a `*` in it stands for any characters");
                Vec::new()
            }
        }
    }

    /// A word, where the key is written.
    fn word(&mut self, item: &Node, key: &str, hint: &str) -> Option<String> {
        let entry = item.entry(key)?;
        let word = entry.node.text().filter(|text| !text.is_empty());
        if word.is_none() {
            self.error(&entry.node.span, format!("`{key}` is no word"), hint);
        }
        word.map(String::from)
    }

    fn field(&mut self, item: &Node, key: &str) -> Option<FieldRef> {
        let word = self.word(item, key, FIELDS)?;
        let field = FieldRef::parse(&word);
        if field.is_none() {
            let span = item.get(key).map_or(item.span.clone(), |node| node.span.clone());
            self.error(&span, format!("{word:?} is no field of a series"), FIELDS);
        }
        field
    }

    fn roles(&mut self, item: &Node) -> Option<Vec<Role>> {
        let known = || Role::ALL.map(Role::as_str).join(", ");
        let Some(entry) = item.entry("role") else {
            self.error(
                &item.span,
                "a line needs a `role`",
                format!("write one of {}; {NONE} for series that are no signal", known()),
            );
            return None;
        };
        let nodes = entry.node.items().map_or_else(|| vec![&entry.node], |items| items.iter().collect());
        let mut roles = Vec::new();
        for node in nodes {
            let name = node.text().unwrap_or_default();
            match Role::named(name) {
                Some(role) if !roles.contains(&role) => roles.push(role),
                Some(role) => self.error(&node.span, format!("{role} stands here twice"), "drop one of them"),
                None if name == NONE => {}
                None => {
                    let hint = match nearest(name, Role::ALL.map(Role::as_str)) {
                        Some(near) => format!("did you mean {near}?"),
                        None => format!("write one of {}; {NONE} for series that are no signal", known()),
                    };
                    self.error(&node.span, format!("{name:?} is no role"), hint);
                }
            }
        }
        Some(roles)
    }

    fn kind(&mut self, item: &Node) -> SeriesKind {
        let hint = "write gauge, counter or increment";
        let Some(word) = self.word(item, "kind", hint) else { return SeriesKind::default() };
        SeriesKind::named(&word).unwrap_or_else(|| {
            let span = item.get("kind").map_or(item.span.clone(), |node| node.span.clone());
            self.error(&span, format!("{word:?} is no kind of series"), hint);
            SeriesKind::default()
        })
    }

    fn factor(&mut self, item: &Node, roles: &Option<Vec<Role>>, kind: SeriesKind) -> f64 {
        let Some(roles) = roles.as_ref().filter(|roles| !roles.is_empty()) else { return 1.0 };
        let hint =
            |role: Role| format!("write one of {}", Unit::of_role(role).map(|unit| unit.name).collect::<Vec<_>>().join(", "));
        let Some(word) = self.word(item, "unit", &hint(roles[0])) else {
            let ambiguous = roles.iter().find(|role| matches!(role, Role::Duration | Role::Availability));
            if let Some(role) = ambiguous.filter(|_| item.entry("unit").is_none()) {
                self.error(&item.span, format!("a line of the role {role} needs a `unit`"), hint(*role));
            }
            return 1.0;
        };
        let span = item.get("unit").map_or(item.span.clone(), |node| node.span.clone());
        let Some(unit) = Unit::named(&word) else {
            self.error(&span, format!("{word:?} is no unit"), hint(roles[0]));
            return 1.0;
        };
        // A counter of seconds of work is a rate of cores.
        if let Some(role) = roles.iter().find(|role| !unit.fits(**role)).filter(|_| kind == SeriesKind::Gauge) {
            self.error(&span, format!("{role} is not measured in {word}"), hint(*role));
        }
        unit.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<(String, String)> {
        let errors = read(text).err().unwrap_or_default();
        errors.into_iter().map(|error| (text[error.span].to_string(), error.message)).collect()
    }

    #[test]
    fn a_line_says_what_a_series_is() {
        let lines = read(
            "signals:
  - { match: { name: \"edge.client.latency.*\" }, role: duration, unit: ms, of: labels.peer, seen_by: service }
  - { match: { name: http_requests_total, labels.code: [5*, 429] }, role: [errors, traffic], kind: counter }
  - { match: { name: cpu_pct }, role: utilisation, resource: cpu, unit: percent, on: labels.node.name }
  - { match: { service: canary }, role: none }",
        )
        .unwrap();
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[0].factor, &lines[0].of), (1e-3, &FieldRef::Label("peer".into())));
        assert_eq!((lines[1].roles.as_slice(), lines[1].kind), (&[Role::Errors, Role::Traffic][..], SeriesKind::Counter));
        assert_eq!((lines[2].resource.as_deref(), &lines[2].on), (Some("cpu"), &FieldRef::Label("node.name".into())));
        assert!(lines[3].roles.is_empty() && lines[3].names.is_empty());
    }

    #[test]
    fn all_errors_are_found_at_once_with_their_places() {
        let text = "signals:
  - { match: { name: a }, role: latency, unit: ms }
  - { match: { name: b }, role: duration }
  - { match: { name: c }, role: duration, unit: percent }
  - { match: { name: d }, role: errors, threshold: 5 }
  - { match: { name: \"*\" }, role: errors }
  - { match: { nam: e }, role: errors, kind: total }
  - { role: traffic }
  - { match: { name: f }, role: duration, unit: s, of: service, seen_by: service }
  - seconds
more: 1
";
        let found = errors(text);
        for (place, message) in [
            ("latency", "\"latency\" is no role"),
            ("percent", "duration is not measured in percent"),
            ("threshold", "unknown key `threshold`"),
            ("nam", "`nam` is no field of a series"),
            ("total", "\"total\" is no kind of series"),
            ("seen_by", "`seen_by` and `of` are both service"),
            ("seconds", "a line of a mapping is a map"),
            ("more", "unknown key `more`"),
        ] {
            assert!(found.iter().any(|(at, what)| at == place && what == message), "{place}: {message} is not among {found:#?}");
        }
        let messages: Vec<&str> = found.iter().map(|(_, message)| message.as_str()).collect();
        assert!(messages.contains(&"a line of the role duration needs a `unit`"), "{messages:?}");
        assert!(messages.contains(&"this matches every series"), "{messages:?}");
        assert!(messages.contains(&"a line needs `match`: the series that it is about"), "{messages:?}");
        assert_eq!(found.len(), 11, "{found:#?}");
        assert_eq!(errors("signals: 5").len(), 1);
        assert_eq!(errors("").len(), 1);
    }
}
