//! A series of a test as the events that Prometheus's remote write would bring: the same fields from the same labels.

use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr};
use serde_json::{Map, Value, json};

use crate::io::decode::prometheus::samples::temporality_of_name;
use crate::io::decode::raw_event::{RawEvent, TextField};
use crate::io::decode::semantic::{Ranks, meaning_of};
use crate::model::time::TimestampMs;

/// The metric and the labels of `http_requests_total{code="500"}`.
#[derive(Debug)]
pub(crate) struct Series {
    event: Map<String, Value>,
}

impl Series {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, labels) = name_and_labels(text)?;
        let (mut fields, mut ranks) = (RawEvent::default(), Ranks::default());
        for (key, value) in &labels {
            if let Some(meaning) = meaning_of(key) {
                ranks.offer(&mut fields, meaning, key, value.as_str().into());
            }
        }
        let mut event = Map::from_iter([("kind".to_string(), json!("metric")), ("name".to_string(), json!(name))]);
        for (key, field) in [("service", TextField::Service), ("host", TextField::Host), ("env", TextField::Env)] {
            if let Some(text) = fields.text(field) {
                event.insert(key.into(), json!(text));
            }
        }
        // Metadata is not in a test: the ending of the name says what is a counter.
        if let Some(temporality) = temporality_of_name(&name) {
            event.insert("temporality".into(), json!(temporality));
        }
        event.insert("labels".into(), labels.into_iter().map(|(key, value)| (key, Value::String(value))).collect());
        Ok(Self { event })
    }

    /// Sets the temporality, whatever the name says.
    pub(crate) fn with_temporality(mut self, temporality: &str) -> Self {
        self.event.insert("temporality".into(), json!(temporality));
        self
    }

    /// A sample as a line of native JSON.
    pub(crate) fn sample(&self, ts: TimestampMs, value: f64) -> String {
        let mut event = self.event.clone();
        event.insert("ts".into(), json!(ts));
        event.insert("value".into(), json!(value));
        Value::Object(event).to_string()
    }
}

fn name_and_labels(text: &str) -> Result<(String, Vec<(String, String)>), String> {
    let no_series = || format!("{text:?} is no series: write for example http_requests_total{{code=\"500\"}}");
    let Ok(Expr::VectorSelector(selector)) = parser::parse(text) else { return Err(no_series()) };
    if selector.offset.is_some() || selector.at.is_some() || !selector.matchers.or_matchers.is_empty() {
        return Err(no_series());
    }
    let (mut name, mut labels) = (selector.name, Vec::new());
    for matcher in selector.matchers.matchers {
        if !matches!(matcher.op, MatchOp::Equal) {
            return Err(format!("`{}` is no label of a series: a series has labels by `=`", matcher.name));
        }
        if matcher.name == "__name__" {
            name = Some(matcher.value);
        } else {
            labels.push((matcher.name, matcher.value));
        }
    }
    Ok((name.ok_or_else(no_series)?, labels))
}
