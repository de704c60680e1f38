//! Reads the keys of a rule's front matter one by one and collects everything that is wrong with them, each with its place.

use std::ops::Range;

use serde_json::Value;

use crate::model::diagnostic::yaml_tree::{Entry, Node};
use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::duration;
use crate::rule::definition::file::{self, RuleFile};

/// All keys, in the order in which the docs explain them.
pub const KEYS: [&str; 22] = [
    "rule",
    "severity",
    "window",
    "session",
    "instant",
    "every",
    "windows",
    "time",
    "time_zone",
    "active",
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

/// The front matter of one file.
pub struct KeyReader<'a> {
    file: &'a RuleFile,
    entries: &'a [Entry],
    errors: Vec<Diagnostic>,
}

impl<'a> KeyReader<'a> {
    /// Over the keys that were written; unknown ones are errors.
    pub fn new(file: &'a RuleFile, entries: &'a [Entry]) -> Self {
        let mut reader = Self { file, entries, errors: Vec::new() };
        for entry in entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
            let hint = match nearest(&entry.key, KEYS) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known keys are {}", KEYS.join(", ")),
            };
            reader.error(entry.key_span.clone(), format!("unknown key `{}`", entry.key), &hint);
        }
        reader
    }

    /// What was read, or everything that is wrong.
    pub fn finish<T>(self, read: T) -> Result<T, Vec<Diagnostic>> {
        if self.errors.is_empty() { Ok(read) } else { Err(self.errors) }
    }

    /// The value of a key.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Whether the author wrote a key.
    pub fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// The place of a key's value; the whole front matter where it was not written.
    pub fn place(&self, key: &str) -> Range<usize> {
        self.node(key).map_or(self.file.front.clone(), |node| node.span.clone())
    }

    /// Adds an error.
    pub fn error(&mut self, span: Range<usize>, message: impl Into<String>, hint: &str) {
        self.errors.push(Diagnostic::new(span, message, hint));
    }

    /// Adds errors.
    pub fn errors(&mut self, errors: Vec<Diagnostic>) {
        self.errors.extend(errors);
    }

    /// Adds the error that a key is missing, unless a misspelt one stands for it: then that is the error.
    pub fn missing(&mut self, key: &'static str, hint: &str) {
        let unknown = self.entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str()));
        let misspelt = unknown.into_iter().any(|entry| nearest(&entry.key, KEYS) == Some(key));
        if !self.has(key) && !misspelt {
            let open = file::OPEN.len();
            self.error(self.file.front.start - open..self.file.front.start, format!("`{key}` is missing"), hint);
        }
    }

    /// A duration in milliseconds.
    pub fn duration(&mut self, key: &'static str) -> Option<i64> {
        let node = self.node(key)?;
        let text = match node.scalar() {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if number.as_i64() == Some(0) => "0s".into(),
            Some(Value::Number(number)) => number.to_string(),
            _ => {
                let message = format!("`{key}` is {}, no duration", node.to_json());
                self.error(node.span.clone(), message, "write for example 30s, 5m or 1h");
                return None;
            }
        };
        match duration::parse_ms(&text) {
            Ok(duration_ms) => Some(duration_ms),
            Err(error) => {
                self.error(node.span.clone(), format!("`{key}`: {text:?} {}", error.what), &error.hint);
                None
            }
        }
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        let node = self.node(key)?;
        match node.scalar() {
            Some(Value::String(text)) => Some(text.trim().to_string()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Null) => None,
            _ => {
                self.error(node.span.clone(), format!("`{key}` is {}, no text", node.to_json()), "quote the value");
                None
            }
        }
    }
}
