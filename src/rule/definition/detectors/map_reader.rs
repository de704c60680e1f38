//! Reads the map below one key of the front matter and collects everything that is wrong with it, each with its place.

use std::ops::Range;

use serde_json::Value;

use crate::model::diagnostic::yaml_tree::Node;
use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::duration;

const QUOTE: &str = "quote what YAML takes for true or false: \"on\", \"y\"";

/// The map below a key, read key by key.
pub struct MapReader<'n> {
    under: String,
    /// The place of the map.
    span: Range<usize>,
    values: Vec<(&'n str, &'n Node)>,
    /// Everything that is wrong so far.
    pub errors: Vec<Diagnostic>,
}

impl<'n> MapReader<'n> {
    /// Opens the value of `under`. A text or number alone means the key `short`. `example` is for who wrote something else.
    pub fn open(
        under: &str,
        node: &'n Node,
        short: Option<&'static str>,
        example: &str,
        keys: &[&str],
    ) -> Result<Self, Vec<Diagnostic>> {
        let alone = matches!(node.scalar(), Some(Value::String(_) | Value::Number(_)));
        match short.filter(|_| alone) {
            Some(short) => Ok(Self::new(under, node, vec![(short, node)])),
            None if node.is_map() => Ok(Self::of_map(under, node, keys)),
            None => {
                let (message, hint) = (format!("`{under}` is no map"), format!("write for example `{example}`"));
                Err(vec![Diagnostic::new(node.span.clone(), message, hint)])
            }
        }
    }

    /// Opens a map that is itself the value of `key`.
    pub fn below(&self, key: &str, map: &'n Node, keys: &[&str]) -> Self {
        Self::of_map(key, map, keys)
    }

    fn new(under: &str, node: &Node, values: Vec<(&'n str, &'n Node)>) -> Self {
        Self { under: under.into(), span: node.span.clone(), values, errors: Vec::new() }
    }

    /// Unknown keys are errors.
    fn of_map(under: &str, map: &'n Node, keys: &[&str]) -> Self {
        let values = map.entries().iter().map(|entry| (entry.key.as_str(), &entry.node)).collect();
        let mut reader = Self::new(under, map, values);
        for entry in map.entries().iter().filter(|entry| !keys.contains(&entry.key.as_str())) {
            let hint = nearest(&entry.key, keys.iter().copied())
                .map_or_else(|| format!("known keys are {}", keys.join(", ")), |near| format!("did you mean `{near}`?"));
            let message = format!("unknown key `{}` below `{under}`", entry.key);
            reader.error(entry.key_span.clone(), message, Some(hint));
        }
        reader
    }

    /// What was read, or everything that is wrong.
    pub fn finish<T>(self, read: T) -> Result<T, Vec<Diagnostic>> {
        if self.errors.is_empty() { Ok(read) } else { Err(self.errors) }
    }

    /// Whether the author wrote `key`.
    pub fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// The value of `key` as it was written.
    pub fn node(&self, key: &str) -> Option<&'n Node> {
        self.values.iter().find(|(known, _)| *known == key).map(|(_, node)| *node)
    }

    fn value(&self, key: &str) -> Option<Value> {
        self.node(key).map(Node::to_json)
    }

    /// Adds an error.
    pub fn error(&mut self, span: Range<usize>, message: String, hint: Option<String>) {
        self.errors.push(Diagnostic { span, message, hint });
    }

    /// Adds an error about the value of `key`.
    pub fn error_at(&mut self, key: &str, message: String, hint: Option<String>) {
        let span = self.node(key).map_or(self.span.clone(), |node| node.span.clone());
        self.error(span, message, hint);
    }

    /// Adds the error that `key` is missing, unless a misspelt one stands for it.
    pub fn missing(&mut self, key: &str, hint: &str) {
        let stands_for = format!("did you mean `{key}`?");
        if !self.errors.iter().any(|error| error.hint.as_ref() == Some(&stands_for)) {
            let message = format!("`{key}` is missing below `{}`", self.under);
            self.error(self.span.clone(), message, Some(hint.into()));
        }
    }

    /// A duration, `otherwise` where the author is silent; more than nothing unless `otherwise` is nothing itself.
    pub fn duration(&mut self, key: &str, otherwise: i64) -> i64 {
        let text = match self.value(key) {
            None => return otherwise,
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) if number.as_i64() == Some(0) => "0s".into(),
            Some(other) => other.to_string(),
        };
        let wrong = match duration::parse_ms(&text) {
            Ok(0) if otherwise != 0 => ("is no time at all".into(), "write for example 30s, 5m or 1h".into()),
            Ok(duration_ms) => return duration_ms,
            Err(error) => (error.what.to_string(), error.hint),
        };
        self.error_at(key, format!("`{key}`: {text:?} {}", wrong.0), Some(wrong.1));
        otherwise
    }

    /// A number from `least` on, `otherwise` where the author is silent.
    pub fn number(&mut self, key: &str, otherwise: f64, least: f64) -> f64 {
        match self.value(key).map(|value| value.as_f64()) {
            None => otherwise,
            Some(Some(number)) if number >= least => number,
            Some(_) => {
                self.error_at(key, format!("`{key}` must be a number, {least} or more"), None);
                otherwise
            }
        }
    }

    /// A whole number from `least` on, `otherwise` where the author is silent.
    pub fn count(&mut self, key: &str, otherwise: usize, least: usize) -> usize {
        match self.value(key).map(|value| value.as_u64()) {
            None => otherwise,
            Some(Some(number)) if number >= least as u64 => usize::try_from(number).unwrap_or(usize::MAX),
            Some(_) => {
                self.error_at(key, format!("`{key}` must be a whole number, {least} or more"), None);
                otherwise
            }
        }
    }

    /// A share, `10%` or `0.1`, of `what`.
    pub fn share(&mut self, key: &str, otherwise: f64, what: &str) -> f64 {
        let share = match self.value(key) {
            None => return otherwise,
            Some(Value::String(text)) => {
                text.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok()).map(|percent| percent / 100.0)
            }
            Some(value) => value.as_f64(),
        };
        match share {
            Some(share) if share >= 0.0 => share,
            _ => {
                self.error_at(key, format!("`{key}` must be a share of {what}"), Some("write for example 10% or 0.1".into()));
                otherwise
            }
        }
    }

    /// One of `words` by its place in the list, the first where the author is silent.
    pub fn choice(&mut self, key: &str, words: &[&str]) -> usize {
        let Some(value) = self.value(key) else { return 0 };
        let word = value.as_str().map_or_else(|| value.to_string(), String::from);
        if let Some(at) = words.iter().position(|known| *known == word) {
            return at;
        }
        let near = nearest(&word, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let (last, ahead) = words.split_last().map_or(("", String::new()), |(last, ahead)| (*last, ahead.join(", ")));
        self.error_at(key, format!("`{key}` must be {ahead} or {last}"), near);
        0
    }

    /// True or false.
    pub fn flag(&mut self, key: &str, otherwise: bool) -> bool {
        match self.value(key).map(|value| value.as_bool()) {
            None => otherwise,
            Some(Some(flag)) => flag,
            Some(None) => {
                self.error_at(key, format!("`{key}` must be true or false"), None);
                otherwise
            }
        }
    }

    /// A word: a text that is not empty.
    pub fn word(&mut self, key: &str) -> Option<String> {
        let found = self.value(key).map(|value| word_of(&value))?;
        if found.is_none() {
            let hint = self.value(key).filter(|value| value.is_boolean()).map(|_| QUOTE.into());
            self.error_at(key, format!("`{key}` must be a text"), hint);
        }
        found
    }

    /// Words: a list of them, or one alone. `None` where the author is silent.
    pub fn words(&mut self, key: &str) -> Option<Vec<String>> {
        let found: Option<Vec<String>> = match self.value(key)? {
            Value::Array(list) => list.iter().map(word_of).collect(),
            one => word_of(&one).map(|word| vec![word]),
        };
        match found {
            Some(words) if !words.is_empty() => Some(words),
            _ => {
                let list = self.value(key).and_then(|value| value.as_array().cloned());
                let swallowed = list.is_some_and(|list| list.iter().any(Value::is_boolean));
                let hint = if swallowed { QUOTE.into() } else { format!("write for example `{key}: [a, b]`") };
                self.error_at(key, format!("`{key}` must be a list of texts"), Some(hint));
                None
            }
        }
    }
}

/// A text, or a number that stands for one. YAML takes `on`, `y` and the like for true: what was written is lost then.
pub fn word_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_string()).filter(|text| !text.is_empty()),
        Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}
