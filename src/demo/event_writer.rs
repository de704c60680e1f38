//! Writes events as lines of squelch's native JSON. They come in any order and go out in time order.
//!
//! Owns: how an event is written down. It knows no serializer, so that the same values are the same bytes for ever.

use std::ops::Range;

/// What an event is about. What is absent here is absent from the line.
#[derive(Clone, Copy, Default)]
pub(crate) struct EventSource {
    pub(crate) service: Option<&'static str>,
    pub(crate) host: Option<&'static str>,
}

pub(crate) type LabelPairs<'a> = &'a [(&'a str, &'a str)];

#[derive(Default)]
pub(crate) struct EventWriter {
    text: Vec<u8>,
    lines: Vec<(i64, Range<usize>)>,
}

impl EventWriter {
    /// Appends one event; `fields` writes what follows `kind` and `ts`.
    pub(crate) fn event(&mut self, kind: &str, ts_ms: i64, fields: impl FnOnce(&mut JsonLine)) {
        let mut line = JsonLine(format!("{{\"kind\":\"{kind}\",\"ts\":{ts_ms}"));
        fields(&mut line);
        line.0.push_str("}\n");
        let from = self.text.len();
        self.text.extend_from_slice(line.0.as_bytes());
        self.lines.push((ts_ms, from..self.text.len()));
    }

    /// The recording in time order; events of one millisecond stay in the order in which they were written.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.lines.sort_by_key(|(ts_ms, _)| *ts_ms);
        let mut sorted = Vec::with_capacity(self.text.len());
        for (_, range) in self.lines {
            sorted.extend_from_slice(&self.text[range]);
        }
        sorted
    }
}

/// One JSON object that is being written.
pub(crate) struct JsonLine(String);

impl JsonLine {
    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.0.push(',');
        push_pair(&mut self.0, key, value);
        self
    }

    pub(crate) fn text_if_some(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(key, value);
        }
        self
    }

    /// Rounded to two digits: enough for every metric of the demo, and free of the noise of the last bits.
    pub(crate) fn number(&mut self, key: &str, value: f64) -> &mut Self {
        debug_assert!(value.is_finite(), "{key} is {value}, which JSON cannot write");
        let rounded = (value * 100.0).round() / 100.0;
        self.0.push_str(&format!(",\"{key}\":{rounded}"));
        self
    }

    /// Left out where empty.
    pub(crate) fn map(&mut self, key: &str, entries: LabelPairs<'_>) -> &mut Self {
        for (index, (name, value)) in entries.iter().enumerate() {
            self.0.push_str(&if index == 0 { format!(",\"{key}\":{{") } else { ",".to_owned() });
            push_pair(&mut self.0, name, value);
        }
        if !entries.is_empty() {
            self.0.push('}');
        }
        self
    }
}

fn push_pair(out: &mut String, key: &str, value: &str) {
    push_quoted(out, key);
    out.push(':');
    push_quoted(out, value);
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_escaped_and_sorted() {
        let mut events = EventWriter::default();
        events.event("log", 2, |line| {
            line.text("body", "a \"b\"\\\n").map("labels", &[("k", "v"), ("l", "w")]);
        });
        events.event("metric", 1, |line| {
            line.number("value", 0.125).number("other", 12.0).map("labels", &[]);
        });
        let text = String::from_utf8(events.into_bytes()).expect("UTF-8");
        assert_eq!(
            text,
            "{\"kind\":\"metric\",\"ts\":1,\"value\":0.13,\"other\":12}\n\
             {\"kind\":\"log\",\"ts\":2,\"body\":\"a \\\"b\\\"\\\\\\u000a\",\"labels\":{\"k\":\"v\",\"l\":\"w\"}}\n"
        );
    }
}
