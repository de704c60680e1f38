//! Reads the map below one key of the front matter, collects all that is wrong with it, and finds the places in the file.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::model::diagnostic::nearest;
use crate::model::duration;

/// One thing that is wrong below a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The keys that lead to it; empty for the whole value.
    pub path: Vec<String>,
    /// Whether the last of these keys itself is wrong, not its value.
    pub key_itself: bool,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Wrong {
    /// Of the value as a whole.
    pub fn whole(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: Vec::new(), key_itself: false, message: message.into(), hint: Some(hint.into()) }
    }

    /// The bytes of `text` that are wrong, where the value as a whole begins at `place` and the front matter ends at `end`.
    pub fn place(&self, text: &str, place: &Range<usize>, end: usize) -> Range<usize> {
        let (mut from, mut found) = (place.start, place.clone());
        // The next key of the front matter ends the value: a line that is not indented.
        let next = text[from..end].match_indices('\n').map(|(at, _)| from + at + 1);
        let end = next.into_iter().find(|at| text[*at..end].starts_with(|c: char| !c.is_whitespace() && c != '}')).unwrap_or(end);
        for (depth, key) in self.path.iter().enumerate() {
            let Some((name, value)) = entry(text, from..end, key) else { break };
            from = value.start;
            found = if self.key_itself && depth + 1 == self.path.len() { name } else { value };
        }
        found
    }
}

/// The places of `key` and of its value, in flow style (`{ over: 2h }`) or on lines of their own.
fn entry(text: &str, within: Range<usize>, key: &str) -> Option<(Range<usize>, Range<usize>)> {
    let part_of_a_word = |c: char| c.is_alphanumeric() || "_.-".contains(c);
    let head = text.get(within.clone())?;
    head.match_indices(key).find_map(|(at, _)| {
        let start = within.start + at;
        let after = text[start + key.len()..within.end].trim_start_matches(['"', '\'', ' ']);
        if text[..start].ends_with(part_of_a_word) || !after.starts_with(':') {
            return None;
        }
        let rest = after[1..].trim_start_matches([' ', '\t']);
        let rest_at = within.end - rest.len();
        let line = rest.split('\n').next().unwrap_or_default().split(" #").next().unwrap_or_default();
        let length = value_length(line);
        let written = if length == 0 { rest.trim_start() } else { &rest[..length] };
        let value =
            if length == 0 { (within.end - written.len())..(within.end - written.len()) } else { rest_at..rest_at + length };
        Some((start..start + key.len(), value))
    })
}

/// How much of a line is one value: up to a comma or a bracket that the value did not open.
fn value_length(line: &str) -> usize {
    let mut depth = 0;
    for (at, c) in line.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' if depth == 0 => return line[..at].trim_end().len(),
            ',' if depth == 0 => return line[..at].trim_end().len(),
            '}' | ']' => depth -= 1,
            _ => {}
        }
    }
    line.trim_end().len()
}

const QUOTE: &str = "quote what YAML takes for true or false: \"on\", \"y\"";

/// The map below a key, read key by key.
pub struct Reader {
    under: String,
    path: Vec<String>,
    map: Map<String, Value>,
    /// All that is wrong so far.
    pub wrong: Vec<Wrong>,
}

impl Reader {
    /// Opens the value of `under`. A text or number alone means the key `short`. `example` is for who wrote something else.
    pub fn open(under: &str, value: &Value, short: Option<&str>, example: &str, keys: &[&str]) -> Result<Self, Vec<Wrong>> {
        let map = match (value, short) {
            (Value::Object(map), _) => map.clone(),
            (Value::String(_) | Value::Number(_), Some(short)) => Map::from_iter([(short.to_string(), value.clone())]),
            _ => return Err(vec![Wrong::whole(format!("`{under}` is no map"), format!("write for example `{example}`"))]),
        };
        let mut reader = Self { under: under.into(), path: Vec::new(), map, wrong: Vec::new() };
        reader.unknown(keys);
        Ok(reader)
    }

    /// Opens a map that is itself the value of `key`.
    pub fn below(&self, key: &str, map: &Map<String, Value>, keys: &[&str]) -> Self {
        let path = self.path.iter().cloned().chain([key.to_string()]).collect();
        let mut reader = Self { under: key.into(), path, map: map.clone(), wrong: Vec::new() };
        reader.unknown(keys);
        reader
    }

    fn unknown(&mut self, keys: &[&str]) {
        let unknown: Vec<String> = self.map.keys().filter(|key| !keys.contains(&key.as_str())).cloned().collect();
        for key in unknown {
            let hint = nearest(&key, keys.iter().copied())
                .map_or_else(|| format!("known keys are {}", keys.join(", ")), |near| format!("did you mean `{near}`?"));
            let message = format!("unknown key `{key}` below `{}`", self.under);
            self.complain_of_key(&key, message, &hint);
        }
    }

    /// All went well, or all that did not.
    pub fn finish<T>(self, read: T) -> Result<T, Vec<Wrong>> {
        if self.wrong.is_empty() { Ok(read) } else { Err(self.wrong) }
    }

    /// Whether the author wrote `key`.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The value of `key` as it was written.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    /// Complains of the value of `key`.
    pub fn complain(&mut self, key: &str, message: String, hint: Option<String>) {
        let path = self.path.iter().cloned().chain([key.to_string()]).collect();
        self.wrong.push(Wrong { path, key_itself: false, message, hint });
    }

    /// Complains of `key` itself.
    pub fn complain_of_key(&mut self, key: &str, message: String, hint: &str) {
        self.complain(key, message, Some(hint.into()));
        self.wrong.iter_mut().rev().take(1).for_each(|wrong| wrong.key_itself = true);
    }

    /// Complains that `key` is not there, unless a misspelt one stands for it.
    pub fn missing(&mut self, key: &str, hint: &str) {
        let stands_for = format!("did you mean `{key}`?");
        if !self.wrong.iter().any(|wrong| wrong.hint.as_ref() == Some(&stands_for)) {
            let message = format!("`{key}` is missing below `{}`", self.under);
            self.wrong.push(Wrong { path: self.path.clone(), key_itself: false, message, hint: Some(hint.into()) });
        }
    }

    /// A duration, `otherwise` where the author is silent; more than nothing unless `otherwise` is nothing itself.
    pub fn duration(&mut self, key: &str, otherwise: i64) -> i64 {
        let text = match self.map.get(key) {
            None => return otherwise,
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if number.as_i64() == Some(0) => "0s".into(),
            Some(other) => other.to_string(),
        };
        let wrong = match duration::parse_ms(&text) {
            Ok(0) if otherwise != 0 => ("is no time at all".into(), "write for example 30s, 5m or 1h".into()),
            Ok(duration_ms) => return duration_ms,
            Err(error) => (error.what.to_string(), error.hint),
        };
        self.complain(key, format!("`{key}`: {text:?} {}", wrong.0), Some(wrong.1));
        otherwise
    }

    /// A number from `least` on, `otherwise` where the author is silent.
    pub fn number(&mut self, key: &str, otherwise: f64, least: f64) -> f64 {
        match self.map.get(key).map(Value::as_f64) {
            None => otherwise,
            Some(Some(number)) if number >= least => number,
            Some(_) => {
                self.complain(key, format!("`{key}` must be a number, {least} or more"), None);
                otherwise
            }
        }
    }

    /// A whole number from `least` on, `otherwise` where the author is silent.
    pub fn count(&mut self, key: &str, otherwise: usize, least: usize) -> usize {
        match self.map.get(key).map(Value::as_u64) {
            None => otherwise,
            Some(Some(number)) if number >= least as u64 => usize::try_from(number).unwrap_or(usize::MAX),
            Some(_) => {
                self.complain(key, format!("`{key}` must be a whole number, {least} or more"), None);
                otherwise
            }
        }
    }

    /// A share, `10%` or `0.1`, of `what`.
    pub fn share(&mut self, key: &str, otherwise: f64, what: &str) -> f64 {
        let share = match self.map.get(key) {
            None => return otherwise,
            Some(Value::String(text)) => {
                text.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok()).map(|percent| percent / 100.0)
            }
            Some(value) => value.as_f64(),
        };
        match share {
            Some(share) if share >= 0.0 => share,
            _ => {
                self.complain(key, format!("`{key}` must be a share of {what}"), Some("write for example 10% or 0.1".into()));
                otherwise
            }
        }
    }

    /// One of `words` by its place in the list, the first where the author is silent.
    pub fn choice(&mut self, key: &str, words: &[&str]) -> usize {
        let Some(value) = self.map.get(key) else { return 0 };
        let word = value.as_str().map_or_else(|| value.to_string(), String::from);
        if let Some(at) = words.iter().position(|known| *known == word) {
            return at;
        }
        let near = nearest(&word, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let (last, ahead) = words.split_last().map_or(("", String::new()), |(last, ahead)| (*last, ahead.join(", ")));
        self.complain(key, format!("`{key}` must be {ahead} or {last}"), near);
        0
    }

    /// True or false.
    pub fn flag(&mut self, key: &str, otherwise: bool) -> bool {
        match self.map.get(key).map(Value::as_bool) {
            None => otherwise,
            Some(Some(flag)) => flag,
            Some(None) => {
                self.complain(key, format!("`{key}` must be true or false"), None);
                otherwise
            }
        }
    }

    /// A word: a text that is not empty.
    pub fn word(&mut self, key: &str) -> Option<String> {
        let found = self.map.get(key).map(word_of)?;
        if found.is_none() {
            let hint = self.map.get(key).filter(|value| value.is_boolean()).map(|_| QUOTE.into());
            self.complain(key, format!("`{key}` must be a text"), hint);
        }
        found
    }

    /// Words: a list of them, or one alone. `None` where the author is silent.
    pub fn words(&mut self, key: &str) -> Option<Vec<String>> {
        let found: Option<Vec<String>> = match self.map.get(key)? {
            Value::Array(list) => list.iter().map(word_of).collect(),
            one => word_of(one).map(|word| vec![word]),
        };
        match found {
            Some(words) if !words.is_empty() => Some(words),
            _ => {
                let list = self.map.get(key).and_then(Value::as_array);
                let swallowed = list.is_some_and(|list| list.iter().any(Value::is_boolean));
                let hint = if swallowed { QUOTE.into() } else { format!("write for example `{key}: [a, b]`") };
                self.complain(key, format!("`{key}` must be a list of texts"), Some(hint));
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

#[cfg(test)]
mod tests {
    use super::Wrong;

    fn shown(text: &str, path: &[&str], key_itself: bool) -> String {
        let wrong =
            Wrong { path: path.iter().map(|key| key.to_string()).collect(), key_itself, message: String::new(), hint: None };
        text[wrong.place(text, &(0..text.len()), text.len())].to_string()
    }

    #[test]
    fn places_are_found_in_flow_and_in_block_style() {
        let flow = "windows: { before: { window: 1h, ago: 5x }, floor: 1 }";
        assert_eq!(shown(flow, &["before", "ago"], false), "5x");
        assert_eq!(shown(flow, &["before", "window"], false), "1h");
        assert_eq!(shown(flow, &["floor"], true), "floor");
        assert_eq!(shown(flow, &["before"], false), "{ window: 1h, ago: 5x }");
        let block = "  over_all: 1\n  over: 2h # two\n  steps: [a, b]\n  x:\n    over: 3\nelsewhere: 1";
        assert_eq!(shown(block, &["over"], false), "2h");
        assert_eq!(shown(block, &["steps"], false), "[a, b]");
        assert_eq!(shown(block, &["x", "over"], false), "3");
        assert_eq!(shown(block, &["elsewhere"], false), block, "it is another key's");
    }
}
