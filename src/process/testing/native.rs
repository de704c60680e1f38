//! Tests in squelch's own form.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::io::decode::command;
use crate::io::decode::native_json;
use crate::model::command::CommandKind;
use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::limits::TEST_SAMPLES_MAX;
use crate::model::time::{TimestampMs, format_rfc3339};
use crate::process::testing::case::{TestCase, TestFile};
use crate::process::testing::expectation;
use crate::process::testing::find::usual_rules;
use crate::process::testing::samples;
use crate::process::testing::series::Series;
use crate::process::testing::time_reader::{USUAL_START_MS, instant, positive};
use crate::rule::definition::detectors::map_reader::MapReader;

const FILE_KEYS: [&str; 6] = ["rules", "topology", "settings", "start", "interval", "tests"];
const TEST_KEYS: [&str; 9] =
    ["name", "start", "interval", "series", "events", "event_files", "commands", "expect", "description"];
const SERIES_KEYS: [&str; 4] = ["series", "values", "interval", "temporality"];
/// The times in a command.
const COMMAND_TIMES: [&str; 4] = ["at", "from", "to", "until"];

/// Reads a file.
pub(super) fn read(path: &Path, text: &Arc<str>, tree: &Node) -> Result<TestFile, Vec<Diagnostic>> {
    let mut file = MapReader::open("the file", tree, None, "tests: […]", &FILE_KEYS)?;
    let base = path.parent().unwrap_or(Path::new(""));
    let below = |name: String| base.join(name);
    let rules = file.words("rules").map(|all| all.into_iter().map(below).collect::<Vec<_>>());
    let (topology, settings) = (file.word("topology").map(below), file.word("settings").map(below));
    let defaults = Defaults::read(&mut file, Defaults { start: USUAL_START_MS, interval_ms: 60_000 });
    let mut tests = Vec::new();
    match file.node("tests").map(|node| (node, node.items())) {
        Some((_, Some(items))) if !items.is_empty() => {
            for item in items {
                match test(item, text, base, defaults) {
                    Ok(test) => tests.push(test),
                    Err(errors) => file.errors.extend(errors),
                }
            }
        }
        Some((node, _)) => {
            file.error(node.span.clone(), "`tests` must be a list".into(), Some("write `tests:` and below it `- name: …`".into()))
        }
        None => file.missing("tests", "list the tests below `tests:`"),
    }
    let rules = rules.unwrap_or_else(|| vec![usual_rules(path)]);
    file.finish(TestFile { path: path.to_path_buf(), text: Arc::clone(text), rules, topology, settings, tests })
}

/// What a file sets for its tests.
#[derive(Clone, Copy)]
struct Defaults {
    start: TimestampMs,
    interval_ms: i64,
}

impl Defaults {
    fn read(map: &mut MapReader<'_>, above: Self) -> Self {
        let mut read = above;
        if let Some(node) = map.node("start") {
            match instant("start", node, above.start) {
                Ok(start) => read.start = start,
                Err(error) => map.errors.push(error),
            }
        }
        if let Some(node) = map.node("interval") {
            match positive("interval", node) {
                Ok(interval_ms) => read.interval_ms = interval_ms,
                Err(error) => map.errors.push(error),
            }
        }
        read
    }
}

/// Lines, each with its time.
type Lines = Vec<(TimestampMs, String)>;

fn test(node: &Node, text: &str, base: &Path, above: Defaults) -> Result<TestCase, Vec<Diagnostic>> {
    let mut map = MapReader::open("tests", node, None, "- name: a busy host is reported", &TEST_KEYS)?;
    let name = map.word("name");
    if name.is_none() && !map.has("name") {
        map.missing("name", "give the test a name: what happens, and what must come out");
    }
    let defaults = Defaults::read(&mut map, above);
    let (mut events, mut commands) = (Lines::new(), Lines::new());
    each(&mut map, "series", &mut |item| series(item, text, defaults, &mut events));
    each(&mut map, "events", &mut |item| event(item, defaults.start, &mut events));
    each(&mut map, "commands", &mut |item| one_command(item, defaults.start, &mut commands));
    let event_files: Vec<PathBuf> =
        map.words("event_files").unwrap_or_default().into_iter().map(|name| base.join(name)).collect();
    let mut expectations = Vec::new();
    if map.has("expect") {
        each(&mut map, "expect", &mut |item| expectation::read(item, text, defaults.start).map(|read| expectations.push(read)));
    } else {
        map.missing("expect", "say what must come out: `expect: [{ at: 10m, alerts: [{ rule: … }] }]`");
    }
    expectations.sort_by_key(|expectation| expectation.at);
    let span = map.node("name").map_or(node.span.clone(), |node| node.span.clone());
    map.finish(TestCase {
        name: name.unwrap_or_default(),
        span,
        start: defaults.start,
        events: joined(events),
        event_files,
        commands: joined(commands),
        expectations,
        skipped: Vec::new(),
    })
}

/// In order of time.
pub(super) fn joined(mut lines: Lines) -> Vec<u8> {
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().flat_map(|(_, line)| line.into_bytes().into_iter().chain([b'\n'])).collect()
}

/// Reads each item of a list.
fn each(map: &mut MapReader<'_>, key: &str, read: &mut dyn FnMut(&Node) -> Result<(), Vec<Diagnostic>>) {
    let Some(node) = map.node(key) else { return };
    let Some(items) = node.items() else {
        let hint = format!("write `{key}:` and its items below it, each behind `- `");
        return map.error(node.span.clone(), format!("`{key}` must be a list"), Some(hint));
    };
    for item in items {
        if let Err(errors) = read(item) {
            map.errors.extend(errors);
        }
    }
}

fn series(node: &Node, text: &str, defaults: Defaults, into: &mut Lines) -> Result<(), Vec<Diagnostic>> {
    let mut map = MapReader::open("series", node, None, "{ series: 'up{job=\"web\"}', values: 1x10 }", &SERIES_KEYS)?;
    let interval_ms = Defaults::read(&mut map, defaults).interval_ms;
    let temporality = ["", "cumulative", "delta", "gauge"];
    let temporality = temporality[if map.has("temporality") { map.choice("temporality", &temporality) } else { 0 }];
    let name = map.word("series");
    let values = map.node("values").and_then(|node| samples::as_written(node, text));
    for key in ["series", "values"] {
        if !map.has(key) {
            map.missing(key, "a series has a name and samples: { series: 'up{job=\"web\"}', values: 1x10 }");
        }
    }
    let series = name.and_then(|name| Series::parse(&name).map_err(|error| map.error_at("series", error, None)).ok());
    let values = values.and_then(|text| {
        let hint = "write promtool's notation: `0+10x60` is a sample and 60 more, each 10 higher; `_` leaves one out";
        samples::parse(&text).map_err(|error| map.error_at("values", error, Some(hint.into()))).ok()
    });
    if let (Some(series), Some(values)) = (series, values) {
        let series = if temporality.is_empty() { series } else { series.with_temporality(temporality) };
        into.extend(lines_of(&series, &values, defaults.start, interval_ms));
    }
    map.finish(())
}

/// Samples as events. A sample is a millisecond before its instant: a window that ends at an instant does not hold events of it, and in
/// Prometheus a sample counts for the evaluation at its instant.
pub(super) fn lines_of<'s>(
    series: &'s Series,
    values: &'s [Option<f64>],
    start: TimestampMs,
    interval_ms: i64,
) -> impl Iterator<Item = (TimestampMs, String)> + 's {
    let at = move |index: usize| start.saturating_add(interval_ms.saturating_mul(index as i64)) - 1;
    values.iter().enumerate().filter_map(move |(index, value)| Some((at(index), series.sample(at(index), (*value)?))))
}

fn object_of(node: &Node, what: &str, example: &str) -> Result<Map<String, Value>, Vec<Diagnostic>> {
    match node.to_json() {
        Value::Object(object) => Ok(object),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(vec![Diagnostic::new(
                node.span.clone(),
                format!("the text cannot be read as {what} in JSON"),
                format!("write {example}"),
            )]),
        },
        _ => Err(vec![Diagnostic::new(node.span.clone(), format!("{what} must be a map"), format!("write {example}"))]),
    }
}

/// The time of a key.
fn time(node: &Node, key: &str, start: TimestampMs) -> Result<Option<TimestampMs>, Vec<Diagnostic>> {
    node.get(key).map(|node| instant(key, node, start)).transpose().map_err(|error| vec![error])
}

fn event(node: &Node, start: TimestampMs, into: &mut Lines) -> Result<(), Vec<Diagnostic>> {
    let example = "{ at: 5m, kind: log, severity: ERROR, body: out of memory, service: chat }";
    let mut object = object_of(node, "an event", example)?;
    let wrong = |message: &str, hint: &str| vec![Diagnostic::new(node.span.clone(), message, hint)];
    let at = match (time(node, "at", start)?, object.get("ts")) {
        (Some(at), None) => at,
        (None, Some(ts)) => match ts.as_i64().or_else(|| crate::model::time::parse_rfc3339(ts.as_str()?)) {
            Some(at) => at,
            None => return Err(wrong("`ts` is no time", "write RFC 3339 or Unix milliseconds; or `at: 5m`")),
        },
        (Some(_), Some(_)) => return Err(wrong("`at` and `ts` in one event", "keep one of the two")),
        (None, None) => return Err(wrong("an event without a time", &format!("write for example {example}"))),
    };
    let (until, every_ms) = match (node.get("every"), time(node, "until", start)?) {
        (None, None) => (at, 1),
        (Some(every), Some(until)) => (until, positive("every", every).map_err(|error| vec![error])?),
        _ => {
            return Err(wrong(
                "an event that is repeated needs both `every` and `until`",
                "write `at: 0m, every: 10s, until: 5m`",
            ));
        }
    };
    if (until - at) / every_ms >= TEST_SAMPLES_MAX as i64 {
        return Err(wrong(&format!("more than {TEST_SAMPLES_MAX} events"), "repeat it less often"));
    }
    ["at", "every", "until"].iter().for_each(|key| drop(object.remove(*key)));
    let mut ts = at;
    while ts <= until {
        object.insert("ts".into(), json!(ts));
        into.push((ts, Value::Object(object.clone()).to_string()));
        ts += every_ms;
    }
    check_event(node, &object)
}

/// What a decoder would have to say of it, before anything runs.
fn check_event(node: &Node, object: &Map<String, Value>) -> Result<(), Vec<Diagnostic>> {
    let line = Value::Object(object.clone()).to_string();
    let wrong = |span, message: String, hint: &str| vec![Diagnostic::new(span, message, hint)];
    match object.get("kind").and_then(Value::as_str).map(str::parse::<crate::model::event::Kind>) {
        Some(Ok(_)) => {}
        Some(Err(error)) => {
            let span = node.get("kind").map_or(node.span.clone(), |kind| kind.span.clone());
            return Err(wrong(span, error.to_string(), "write `kind: log`"));
        }
        None => {
            return Err(wrong(
                node.span.clone(),
                "an event without `kind`".into(),
                "add `kind: metric`, `log`, `span` or `alert`",
            ));
        }
    }
    let unknown = node
        .entries()
        .iter()
        .find(|entry| !["at", "every", "until"].contains(&entry.key.as_str()) && native_json::is_unknown_field(&entry.key));
    if let Some(entry) = unknown {
        let message = format!("an event has no field `{}`", entry.key);
        return Err(wrong(entry.key_span.clone(), message, "what is not a field of events is a label: `labels: { key: value }`"));
    }
    native_json::parse(line.as_bytes())
        .map(drop)
        .map_err(|error| wrong(node.span.clone(), error.to_string(), "see docs/formats.md"))
}

fn one_command(node: &Node, start: TimestampMs, into: &mut Lines) -> Result<(), Vec<Diagnostic>> {
    let example = "{ at: 5m, command: silence, by: ann, matchers: ['service=\"chat\"'], for: 1h }";
    let mut object = object_of(node, "a command", example)?;
    for key in COMMAND_TIMES {
        if let Some(at) = time(node, key, start)? {
            object.insert(key.into(), json!(format_rfc3339(at)));
        }
    }
    let wrong = |message: String, hint: String| vec![Diagnostic::new(node.span.clone(), message, hint)];
    let Some(at) = time(node, "at", start)? else {
        return Err(wrong("a command without a time".into(), format!("write for example {example}")));
    };
    let Some(kind) = object.get("command").and_then(Value::as_str) else {
        return Err(wrong("a command without `command`".into(), format!("write for example {example}")));
    };
    let kind: CommandKind = kind.parse().map_err(|error| wrong(format!("{error}"), "docs/commands.md lists them".into()))?;
    let line = Value::Object(object).to_string();
    let read = command::check(line.as_bytes(), kind).and_then(|command| command.action.map(drop));
    read.map_err(|error| wrong(error, "docs/commands.md has the fields of each command".into()))?;
    into.push((at, line));
    Ok(())
}
