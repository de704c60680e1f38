//! One event of any kind, borrowed from its message: a text is copied once, into its column. Fields are addressed by index; a name is
//! looked up once, where its key is read.

use std::borrow::Cow;
use std::fmt;

use crate::model::event::Kind;
use crate::model::time::{TimestampMs, parse_rfc3339};

/// A text of the event.
pub type Text<'a> = Cow<'a, str>;

/// The text fields; the discriminant is the index in [`RawEvent::texts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextField {
    /// `name`
    Name,
    /// `service`
    Service,
    /// `host`
    Host,
    /// `env`
    Env,
    /// `severity`
    Severity,
    /// `body`
    Body,
    /// `status`
    Status,
    /// `trace_id`
    TraceId,
    /// `span_id`
    SpanId,
    /// `parent_id`
    ParentId,
    /// `temporality`
    Temporality,
    /// `series`
    Series,
    /// The id of an alert of another system: no field of squelch's own format.
    AlertKey,
}

/// The number fields; the discriminant is the index in [`RawEvent::numbers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberField {
    /// `value`
    Value,
    /// `duration_ms`
    DurationMs,
}

impl NumberField {
    /// Its key.
    pub fn name(self) -> &'static str {
        match self {
            NumberField::Value => "value",
            NumberField::DurationMs => "duration_ms",
        }
    }
}

/// The number of text fields.
pub(crate) const TEXT_FIELDS: usize = TextField::AlertKey as usize + 1;
/// The number of number fields.
pub(crate) const NUMBER_FIELDS: usize = NumberField::DurationMs as usize + 1;

/// What a key of the event means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `kind`
    Kind,
    /// `ts` or `timestamp`
    Time,
    /// One of the texts.
    Text(TextField),
    /// One of the numbers.
    Number(NumberField),
    /// `labels`
    Labels,
    /// `annotations`
    Annotations,
    /// No field: the value is skipped.
    Unknown,
}

impl Field {
    /// The field of this key.
    #[inline]
    pub fn of(key: &str) -> Self {
        match key {
            "kind" => Field::Kind,
            "ts" | "timestamp" => Field::Time,
            "name" => Field::Text(TextField::Name),
            "service" => Field::Text(TextField::Service),
            "host" => Field::Text(TextField::Host),
            "env" => Field::Text(TextField::Env),
            "severity" => Field::Text(TextField::Severity),
            "body" => Field::Text(TextField::Body),
            "status" => Field::Text(TextField::Status),
            "trace_id" => Field::Text(TextField::TraceId),
            "span_id" => Field::Text(TextField::SpanId),
            "parent_id" => Field::Text(TextField::ParentId),
            "temporality" => Field::Text(TextField::Temporality),
            "series" => Field::Text(TextField::Series),
            "value" => Field::Number(NumberField::Value),
            "duration_ms" => Field::Number(NumberField::DurationMs),
            "labels" => Field::Labels,
            "annotations" => Field::Annotations,
            _ => Field::Unknown,
        }
    }
}

/// The fields of an event of any kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawEvent<'a> {
    /// `kind`
    pub kind: Option<Text<'a>>,
    /// `ts`, or what is wrong with it.
    pub ts: Option<Result<TimestampMs, String>>,
    /// The texts, by [`TextField`].
    pub texts: [Option<Text<'a>>; TEXT_FIELDS],
    /// The numbers, by [`NumberField`].
    pub numbers: [Option<f64>; NUMBER_FIELDS],
    /// `labels`
    pub labels: Pairs<'a>,
    /// `annotations`
    pub annotations: Pairs<'a>,
}

impl<'a> RawEvent<'a> {
    /// The text of a field.
    #[inline]
    pub fn text(&self, field: TextField) -> Option<&str> {
        self.texts[field as usize].as_deref()
    }

    /// The number of a field.
    #[inline]
    pub fn number(&self, field: NumberField) -> Option<f64> {
        self.numbers[field as usize]
    }

    /// Sets a text field.
    pub fn set(&mut self, field: TextField, text: impl Into<Text<'a>>) {
        self.texts[field as usize] = Some(text.into());
    }

    /// The event as a line of native JSON: what stands for it where it is rejected.
    pub(crate) fn to_json(&self, kind: Kind) -> Vec<u8> {
        let mut line = serde_json::Map::new();
        line.insert("kind".into(), kind.to_string().into());
        for (name, _) in kind.columns() {
            let value = match Field::of(name) {
                Field::Time => self.ts.as_ref().and_then(|ts| ts.as_ref().ok()).map(|ts| (*ts).into()),
                Field::Text(field) => self.text(field).map(Into::into),
                Field::Number(field) => self.number(field).map(Into::into),
                _ => None,
            };
            if let Some(value) = value {
                line.insert((*name).into(), value);
            }
        }
        for (name, pairs) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !pairs.0.is_empty() {
                let pairs = pairs.0.iter().map(|(key, value)| (key.to_string(), value.as_ref().into()));
                line.insert(name.into(), pairs.collect::<serde_json::Map<_, _>>().into());
            }
        }
        serde_json::Value::Object(line).to_string().into_bytes()
    }

    /// Empties the event, and keeps the memory of its lists for the next one.
    #[inline]
    pub fn clear(&mut self) {
        self.kind = None;
        self.ts = None;
        self.texts = Default::default();
        self.numbers = Default::default();
        self.labels.0.clear();
        self.annotations.0.clear();
    }
}

/// Labels or annotations in the order of the message; numbers and booleans become texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs<'a>(pub Vec<(Text<'a>, Text<'a>)>);

impl<'a> Pairs<'a> {
    /// The value of a key; the last one, if the key is repeated.
    pub fn get(&self, key: &str) -> Option<&Text<'a>> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Adds a value; null counts as absent.
    pub(crate) fn push(&mut self, key: Text<'a>, value: Scalar<'a>) {
        match value {
            Scalar::Null => {}
            Scalar::Text(text) => self.0.push((key, text)),
            other => self.0.push((key, other.to_string().into())),
        }
    }
}

/// A value that is neither map nor list.
#[derive(Debug)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(Text<'a>),
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Null => f.write_str("null"),
            Scalar::Bool(yes) => write!(f, "{yes}"),
            Scalar::Whole(whole) => write!(f, "{whole}"),
            Scalar::Number(number) => write!(f, "{number}"),
            Scalar::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl<'a> Scalar<'a> {
    /// Stores it in a text field.
    #[inline]
    pub(crate) fn into_text(self, key: &str, into: &mut Option<Text<'a>>) -> Result<(), String> {
        match self {
            Scalar::Null => {}
            Scalar::Text(text) => *into = Some(text),
            other => return Err(format!("`{key}` is {other}, no text")),
        }
        Ok(())
    }

    /// Stores it in a number field.
    #[inline]
    pub(crate) fn into_number(self, key: &str, into: &mut Option<f64>) -> Result<(), String> {
        match self {
            Scalar::Null => {}
            Scalar::Whole(whole) => *into = Some(whole as f64),
            Scalar::Number(number) => *into = Some(number),
            // Some exporters quote their numbers.
            Scalar::Text(text) => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => *into = Some(number),
                _ => return Err(format!("`{key}` is {text:?}, no finite number")),
            },
            other => return Err(format!("`{key}` is {other}, no number")),
        }
        Ok(())
    }

    /// Reads it as a time: RFC 3339, or Unix milliseconds as a number or in quotes. Digits of RFC 3339
    /// beyond milliseconds are cut off; a number must be whole, be it written `1773446595000` or `1773446595000.0`.
    #[inline]
    pub(crate) fn into_time(self) -> Option<Result<TimestampMs, String>> {
        match self {
            Scalar::Null => None,
            Scalar::Whole(ms) => Some(Ok(ms)),
            Scalar::Number(ms) if ms.abs() < 2f64.powi(63) && ms.fract() == 0.0 => Some(Ok(ms as TimestampMs)),
            Scalar::Text(text) => Some(
                parse_rfc3339(&text)
                    .or_else(|| text.parse().ok())
                    .ok_or_else(|| format!("`ts` is {text:?}: it must be RFC 3339 with a zone, or Unix milliseconds")),
            ),
            other => Some(Err(format!("`ts` is {other}: it must be RFC 3339 or Unix milliseconds"))),
        }
    }
}
