//! The front matter of a rule file: every key, its meaning and its limits. Reports everything that is wrong, not the first thing.

use std::ops::Range;

use crate::model::diagnostic::yaml_tree::{Entry, Node};
use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::local_time::Zone;
use crate::model::severity::Severity;
use crate::rule::definition::active::ActiveSpec;
use crate::rule::definition::detectors::{self, DetectorSpec};
use crate::rule::definition::file::RuleFile;
use crate::rule::definition::key_reader::KeyReader;
use crate::rule::definition::window_spec::{self, KEEP_INSTANT_MS, NamedWindow, TimeSource, WindowSpec};
use crate::rule::function::time_zone::zone;

/// What an author set for a rule. Durations are event time in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontMatter {
    /// The rule's name: letters, digits, `_`, `-` and `.`.
    pub rule: String,
    /// The severity of a breach whose row has no `severity` of its own.
    pub severity: Severity,
    /// What stretch of time one evaluation looks at.
    pub window_spec: WindowSpec,
    /// How far one evaluation looks back, by [`Self::window_spec`]; of a session its gap, of single events a second.
    pub window_ms: i64,
    /// How often the rule is evaluated, by [`Self::window_spec`]; the window is a multiple of it.
    pub every_ms: i64,
    /// Further windows that the SQL asks for by name, by name.
    pub windows: Vec<NamedWindow>,
    /// By which time events fall into windows.
    pub time: TimeSource,
    /// The time zone of seasons, of `local_hour(ts)` and of `active`.
    pub time_zone: Option<Zone>,
    /// When breaches count; always, where it is not set.
    pub active: Option<ActiveSpec>,
    /// How long a breach must last before the alert fires.
    pub for_ms: i64,
    /// How long an alert goes on firing after its last breach.
    pub keep_firing_for_ms: i64,
    /// What decides which rows are breaches, instead of all.
    pub detector: Option<DetectorSpec>,
    /// The output column that names the topology node; `service`, else `host`, where none is set.
    pub entity: Option<String>,
    /// The output column that names the node at the other end of a slow or failing edge: who calls the entity.
    pub peer: Option<String>,
    /// A template: one line for a person.
    pub summary: Option<String>,
    /// A template: more for a person.
    pub description: Option<String>,
    /// Where to read on.
    pub runbook: Option<String>,
    /// The keys as they were written, for errors that only show later.
    pub written: Vec<Entry>,
}

impl FrontMatter {
    /// The value of `key` as it was written.
    pub fn node(&self, key: &str) -> Option<&Node> {
        self.written.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// With this time zone, where it names none of its own.
    pub fn in_zone(mut self, usual: Zone) -> Self {
        let zone = *self.time_zone.get_or_insert(usual);
        if let Some(DetectorSpec::Deviation(spec)) = &mut self.detector {
            spec.season = spec.season.in_zone(zone);
        }
        self
    }

    /// The place of `key`'s value in the file; the file's start where it was not given.
    pub fn place(&self, key: &str) -> Range<usize> {
        self.node(key).map_or(0..0, |node| node.span.clone())
    }
}

/// Reads the front matter of a file. On errors: all of them.
pub fn parse(file: &RuleFile) -> Result<FrontMatter, Vec<Diagnostic>> {
    let node = Node::parse(&file.text, file.front.clone()).map_err(|error| vec![broken(error)])?;
    let empty = node.scalar().is_some_and(serde_json::Value::is_null);
    if !node.is_map() && !empty {
        let what = if node.items().is_some() { "a list" } else { "a text" };
        let message = format!("the front matter is {what}, not a map of keys to values");
        return Err(vec![Diagnostic::new(node.span, message, "write `key: value` lines")]);
    }
    let mut read = KeyReader::new(file, node.entries());
    let rule = rule_name(&mut read);
    let severity = severity(&mut read);
    let detector = detector(&mut read);
    let window_spec = window_spec::read(&mut read, detector.as_ref());
    let windows = window_spec::read_named(&mut read, window_spec);
    let time = window_spec::read_time(&mut read);
    let for_ms = read.duration("for").unwrap_or(0);
    let usual_ms = if window_spec == Some(WindowSpec::Instant) { KEEP_INSTANT_MS } else { 0 };
    let keep_firing_for_ms = read.duration("keep_firing_for").unwrap_or(usual_ms);
    detector_fits(&mut read, detector.as_ref(), window_spec, for_ms);
    let window_spec = window_spec.unwrap_or(WindowSpec::Instant);
    let front = FrontMatter {
        rule: rule.unwrap_or_default(),
        severity: severity.unwrap_or(Severity::Warning),
        window_spec,
        window_ms: window_spec.window_ms(),
        every_ms: window_spec.every_ms(),
        windows,
        time,
        time_zone: time_zone(&mut read),
        active: active(&mut read),
        for_ms,
        keep_firing_for_ms,
        detector,
        entity: read.text("entity"),
        peer: read.text("peer"),
        summary: read.text("summary"),
        description: read.text("description"),
        runbook: read.text("runbook"),
        written: node.entries().to_vec(),
    };
    read.finish(front)
}

/// YAML that cannot be read at all.
fn broken(error: Diagnostic) -> Diagnostic {
    let message = error.message.replace("the file is", "the front matter is");
    let hint = error.hint.unwrap_or("write `key: value` lines; quote values that hold `: ` or `{{`".into());
    Diagnostic::new(error.span, message, hint)
}

/// The one detector that the author named.
fn detector(read: &mut KeyReader) -> Option<DetectorSpec> {
    let named: Vec<&'static str> = detectors::KEYS.into_iter().filter(|key| read.has(key)).collect();
    if let [first, second, ..] = named[..] {
        let hint = "a rule has one of them: write a rule for each";
        read.error(read.place(second), format!("`{first}` and `{second}` in one rule"), hint);
    }
    // All are read, so that everything that is wrong is reported.
    let all: Vec<Option<DetectorSpec>> = named
        .into_iter()
        .map(|key| DetectorSpec::parse(key, read.node(key)?).map_err(|errors| read.errors(errors)).ok())
        .collect();
    all.into_iter().next().flatten()
}

fn detector_fits(read: &mut KeyReader, detector: Option<&DetectorSpec>, window_spec: Option<WindowSpec>, for_ms: i64) {
    let Some(detector) = detector else { return };
    let key = detector.key();
    if window_spec == Some(WindowSpec::Instant) && matches!(detector, DetectorSpec::Deviation(_) | DetectorSpec::Absence(_)) {
        let message = format!("`{key}` with `instant`: single events have no evaluations to compare");
        read.error(read.place(key), message, "give the rule a `window`, and its query a GROUP BY");
    }
    if detector.is_momentary() && for_ms > 0 && window_spec != Some(WindowSpec::Instant) {
        let message = format!("`for` with `{key}`: it is there for one evaluation, so the alert would never fire");
        read.error(read.place("for"), message, "leave `for` out; `keep_firing_for` is how long the alert stays");
    }
}

fn time_zone(read: &mut KeyReader) -> Option<Zone> {
    let name = read.text("time_zone")?;
    match zone(&name) {
        Ok(zone) => Some(Zone(zone)),
        Err(hint) => {
            read.error(read.place("time_zone"), format!("`{name}` is no time zone"), &hint);
            None
        }
    }
}

fn active(read: &mut KeyReader) -> Option<ActiveSpec> {
    ActiveSpec::parse(read.node("active")?).map_err(|errors| read.errors(errors)).ok()
}

fn rule_name(read: &mut KeyReader) -> Option<String> {
    let Some(name) = read.text("rule") else {
        read.missing("rule", "give the rule a name: `rule: checkout_error_rate`");
        return None;
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
        read.error(read.place("rule"), format!("{name:?} is no rule name"), "use letters, digits, `_`, `-` and `.`");
    }
    Some(name)
}

fn severity(read: &mut KeyReader) -> Option<Severity> {
    let Some(text) = read.text("severity") else {
        read.missing("severity", "use info, warning or critical");
        return None;
    };
    // Rules are written here, so the words are ours; synonyms are for alerts that other systems send.
    let known = Severity::ALL.into_iter().find(|severity| severity.as_str() == text);
    if known.is_none() {
        let near = nearest(&text, Severity::ALL.map(Severity::as_str)).map(|name| format!("did you mean `{name}`?"));
        let synonym = text.parse::<Severity>().map(|ours| format!("`{text}` is another system's word: {ours}"));
        let hint = near.or(synonym.ok()).unwrap_or("use info, warning or critical".into());
        read.error(read.place("severity"), format!("unknown severity {text:?}"), &hint);
    }
    known
}
