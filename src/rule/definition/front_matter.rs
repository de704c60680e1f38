//! The YAML head of a rule file: every key, its meaning and its limits. Reports all that is wrong, not the first thing.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;

use crate::model::diagnostic::yaml;
use crate::model::diagnostic::{Diagnostic, line_and_column, nearest, offset_of};
use crate::model::duration;
use crate::model::severity::Severity;
use crate::rule::definition::detectors::map_reader::Wrong;
use crate::rule::definition::detectors::{self, DetectorSpec};
use crate::rule::definition::file::{self, RuleFile};
use crate::rule::definition::window_spec::{KEEP_INSTANT_MS, NamedWindow, TimeSource, WindowSpec};

/// What an author set for a rule. Durations are event time in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontMatter {
    /// The rule's name: letters, digits, `_`, `-` and `.`.
    pub rule: String,
    /// The severity of a breach whose row has no `severity` of its own.
    pub severity: Severity,
    /// What stretch of time one evaluation looks at.
    pub window_spec: WindowSpec,
    /// How far one evaluation looks back, as [`Self::window_spec`] says; of a session its gap, of single events a second.
    pub window_ms: i64,
    /// How often the rule is evaluated, as [`Self::window_spec`] says; the window is a multiple of it.
    pub every_ms: i64,
    /// Further windows that the SQL asks for by name, by name.
    pub windows: Vec<NamedWindow>,
    /// By which time events fall into windows.
    pub time: TimeSource,
    /// How long a breach must last before the alert fires.
    pub for_ms: i64,
    /// How long an alert goes on firing after its last breach.
    pub keep_firing_for_ms: i64,
    /// What decides which rows are breaches, instead of all.
    pub detector: Option<DetectorSpec>,
    /// The output column that names the topology node; `service`, else `host`, where silent.
    pub entity: Option<String>,
    /// The output column that names the node at the other end of a slow or failing edge: who calls the entity.
    pub peer: Option<String>,
    /// A template: one line for a person.
    pub summary: Option<String>,
    /// A template: more for a person.
    pub description: Option<String>,
    /// Where to read on.
    pub runbook: Option<String>,
    /// Where each key's value stands in the file, for errors that only show later.
    pub places: Vec<(&'static str, Range<usize>)>,
}

impl FrontMatter {
    /// Where `key`'s value stands in the file; the file's start where it was not given.
    pub fn place(&self, key: &str) -> Range<usize> {
        self.places.iter().find(|(known, _)| *known == key).map_or(0..0, |(_, place)| place.clone())
    }
}

/// All keys, in the order in which the docs explain them.
pub const KEYS: [&str; 20] = [
    "rule",
    "severity",
    "window",
    "session",
    "instant",
    "every",
    "windows",
    "time",
    "for",
    "keep_firing_for",
    "deviation",
    "absence",
    "first_seen",
    "change",
    "sequence",
    "entity",
    "peer",
    "summary",
    "description",
    "runbook",
];

/// Reads the head of a file. On errors: all of them.
pub fn parse(file: &RuleFile) -> Result<FrontMatter, Vec<Diagnostic>> {
    let yaml = file.front_matter();
    let mut read = Reader { file, entries: Vec::new(), errors: Vec::new() };
    let options = serde_saphyr::options! { with_snippet: false };
    match serde_saphyr::from_str_with_options::<Option<Entries>>(&yaml, options) {
        Ok(entries) => read.entries = entries.unwrap_or_default().0,
        Err(error) => {
            let at = error.location().map_or(file.front.start, |at| offset_of(&yaml, at.line() as usize, at.column() as usize));
            let wrong = yaml::explain(&yaml, at, &error.to_string());
            // The YAML begins where the file's first line ends, with as many line breaks before it.
            let shift = |at: usize| {
                let (line, column) = line_and_column(&yaml, at);
                offset_of(&file.text, line, column)
            };
            let message = wrong.message.replace("the file is", "the front matter is");
            let hint = wrong.hint.unwrap_or("write `key: value` lines; quote values that hold `: ` or `{{`".into());
            read.error(shift(wrong.span.start)..shift(wrong.span.end), message, Some(&hint));
            return Err(read.errors);
        }
    }
    read.unknown_keys();
    read.finish()
}

pub(crate) struct Reader<'a> {
    file: &'a RuleFile,
    entries: Vec<(String, Spanned<serde_json::Value>)>,
    errors: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn finish(mut self) -> Result<FrontMatter, Vec<Diagnostic>> {
        let rule = self.rule_name();
        let severity = self.severity();
        let detector = self.detector();
        let window_spec = self.window_spec(detector.as_ref());
        let windows = self.windows(window_spec);
        let time = self.time();
        let for_ms = self.duration("for").unwrap_or(0);
        let usual_ms = if window_spec == Some(WindowSpec::Instant) { KEEP_INSTANT_MS } else { 0 };
        let keep_firing_for_ms = self.duration("keep_firing_for").unwrap_or(usual_ms);
        self.detector_fits(detector.as_ref(), window_spec, for_ms);
        let window_spec = window_spec.unwrap_or(WindowSpec::Instant);
        let front = FrontMatter {
            rule: rule.unwrap_or_default(),
            severity: severity.unwrap_or(Severity::Warning),
            window_spec,
            window_ms: window_spec.window_ms(),
            every_ms: window_spec.every_ms(),
            windows,
            time,
            for_ms,
            keep_firing_for_ms,
            detector,
            entity: self.text("entity"),
            peer: self.text("peer"),
            summary: self.text("summary"),
            description: self.text("description"),
            runbook: self.text("runbook"),
            places: KEYS.iter().filter_map(|key| Some((*key, self.entry(key)?.1))).collect(),
        };
        if self.errors.is_empty() { Ok(front) } else { Err(self.errors) }
    }

    /// The one detector that the author named.
    fn detector(&mut self) -> Option<DetectorSpec> {
        let named: Vec<&'static str> = detectors::KEYS.into_iter().filter(|key| self.entry(key).is_some()).collect();
        if let [first, second, ..] = named[..] {
            let place = self.place(second);
            let hint = "a rule has one of them: write a rule for each";
            self.error(place, format!("`{first}` and `{second}` in one rule"), Some(hint));
        }
        let mut all = named.into_iter().map(|key| {
            let (value, place) = self.entry(key)?;
            DetectorSpec::parse(key, &value).map_err(|wrong| self.wrong_below(&place, wrong)).ok()
        });
        // All are read, so that all that is wrong is said.
        let first = all.next().flatten();
        all.for_each(drop);
        first
    }

    /// Complaints about the map at `place`.
    pub(crate) fn wrong_below(&mut self, place: &Range<usize>, wrong: Vec<Wrong>) {
        for wrong in wrong {
            let window_spec = wrong.place(&self.file.text, place, self.file.front.end);
            self.error(window_spec, wrong.message, wrong.hint.as_deref());
        }
    }

    fn detector_fits(&mut self, detector: Option<&DetectorSpec>, window_spec: Option<WindowSpec>, for_ms: i64) {
        let Some(detector) = detector else { return };
        let key = detector.key();
        if window_spec == Some(WindowSpec::Instant) && matches!(detector, DetectorSpec::Deviation(_) | DetectorSpec::Absence(_)) {
            let place = self.place(key);
            self.error(
                place,
                format!("`{key}` with `instant`: single events have no evaluations to compare"),
                Some("give the rule a `window`, and its query a GROUP BY"),
            );
        }
        if detector.is_momentary() && for_ms > 0 && window_spec != Some(WindowSpec::Instant) {
            let place = self.place("for");
            let hint = "leave `for` out; `keep_firing_for` is how long the alert stays";
            self.error(
                place,
                format!("`for` with `{key}`: it is there for one evaluation, so the alert would never fire"),
                Some(hint),
            );
        }
    }

    /// Complains that a key is not there, unless a misspelt one stands for it: then that is the complaint.
    pub(crate) fn missing(&mut self, key: &'static str, hint: &str) {
        if self.entry(key).is_none() && !self.unknown().iter().any(|wrong| nearest(wrong, KEYS) == Some(key)) {
            let open = file::OPEN.len();
            self.error(self.file.front.start - open..self.file.front.start, format!("`{key}` is missing"), Some(hint));
        }
    }

    fn unknown(&self) -> Vec<String> {
        self.entries.iter().map(|(key, _)| key.clone()).filter(|key| !KEYS.contains(&key.as_str())).collect()
    }

    fn unknown_keys(&mut self) {
        for key in self.unknown() {
            let head = &self.file.text[self.file.front.clone()];
            let line = head.match_indices(&key).map(|(at, _)| at).find(|at| head[..*at].ends_with('\n'));
            let at = line.or_else(|| head.find(&key)).unwrap_or(0) + self.file.front.start;
            let hint = match nearest(&key, KEYS) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known keys are {}", KEYS.join(", ")),
            };
            self.error(at..at + key.len(), format!("unknown key `{key}`"), Some(&hint));
        }
    }

    fn rule_name(&mut self) -> Option<String> {
        let Some(name) = self.text("rule") else {
            self.missing("rule", "give the rule a name: `rule: checkout_error_rate`");
            return None;
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
            let place = self.place("rule");
            self.error(place, format!("{name:?} is no rule name"), Some("use letters, digits, `_`, `-` and `.`"));
        }
        Some(name)
    }

    fn severity(&mut self) -> Option<Severity> {
        let Some(text) = self.text("severity") else {
            self.missing("severity", "use info, warning or critical");
            return None;
        };
        // Rules are written here, so the words are ours; synonyms are for alerts that other systems send.
        let known = Severity::ALL.into_iter().find(|severity| severity.as_str() == text);
        if known.is_none() {
            let place = self.place("severity");
            let near = nearest(&text, Severity::ALL.map(Severity::as_str)).map(|name| format!("did you mean `{name}`?"));
            let synonym = text.parse::<Severity>().map(|ours| format!("`{text}` is another system's word: {ours}"));
            let hint = near.or(synonym.ok()).unwrap_or("use info, warning or critical".into());
            self.error(place, format!("unknown severity {text:?}"), Some(&hint));
        }
        known
    }

    pub(crate) fn duration(&mut self, key: &'static str) -> Option<i64> {
        let (value, place) = self.entry(key)?;
        let text = match &value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) if number.as_i64() == Some(0) => "0s".into(),
            serde_json::Value::Number(number) => number.to_string(),
            other => {
                self.error(place, format!("`{key}` is {other}, no duration"), Some("write for example 30s, 5m or 1h"));
                return None;
            }
        };
        match duration::parse_ms(&text) {
            Ok(duration_ms) => Some(duration_ms),
            Err(error) => {
                self.error(place, format!("`{key}`: {text:?} {}", error.what), Some(&error.hint));
                None
            }
        }
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        let (value, place) = self.entry(key)?;
        match value {
            serde_json::Value::String(text) => Some(text.trim().to_string()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            serde_json::Value::Null => None,
            other => {
                self.error(place, format!("`{key}` is {other}, no text"), Some("quote the value"));
                None
            }
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<(serde_json::Value, Range<usize>)> {
        let (_, spanned) = self.entries.iter().find(|(known, _)| known == key)?;
        let start = offset_of(&self.file.text, spanned.defined.line() as usize, spanned.defined.column() as usize);
        let line_end = self.file.text[start..].find('\n').map_or(self.file.text.len(), |at| start + at);
        let written = self.file.text[start..line_end].split(" #").next().unwrap_or_default().trim_end();
        Some((spanned.value.clone(), start..start + written.len().max(1)))
    }

    pub(crate) fn place(&self, key: &str) -> Range<usize> {
        self.entry(key).map_or(self.file.front.clone(), |(_, place)| place)
    }

    pub(crate) fn error(&mut self, span: Range<usize>, message: String, hint: Option<&str>) {
        self.errors.push(Diagnostic { file: self.file.path.clone(), span, message, hint: hint.map(String::from) });
    }
}

/// The map's entries in order, each value with its place.
#[derive(Default)]
struct Entries(Vec<(String, Spanned<serde_json::Value>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map of keys to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}
