//! One event as read, of whatever kind, borrowed from the message: no text is copied before it lands in its column. A field has
//! a place, not a name: it is looked up by name once, where its key is read.

use std::borrow::Cow;
use std::fmt;

use crate::model::time::{TimestampMs, parse_rfc3339};

/// A text of the event.
pub type Text<'a> = Cow<'a, str>;

/// The text fields; the number is the place in [`RawEvent::texts`].
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
}

/// The number fields; the number is the place in [`RawEvent::numbers`].
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

/// How many texts there are.
pub(crate) const TEXT_FIELDS: usize = TextField::ParentId as usize + 1;
/// How many numbers there are.
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
    /// Nothing: it is passed over.
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
            "value" => Field::Number(NumberField::Value),
            "duration_ms" => Field::Number(NumberField::DurationMs),
            "labels" => Field::Labels,
            "annotations" => Field::Annotations,
            _ => Field::Unknown,
        }
    }
}

/// The fields of an event, of whatever kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawEvent<'a> {
    /// `kind`
    pub kind: Option<Text<'a>>,
    /// `ts`, read: the error says what is wrong with it.
    pub ts: Option<Result<TimestampMs, String>>,
    /// The texts, each in the place of its [`TextField`].
    pub texts: [Option<Text<'a>>; TEXT_FIELDS],
    /// The numbers, each in the place of its [`NumberField`].
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

    /// Forgets everything but the memory of its lists, for the next event.
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

/// Text to text, in the order of the message; numbers and booleans are taken as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs<'a>(pub Vec<(Text<'a>, Text<'a>)>);

impl<'a> Pairs<'a> {
    /// The value of a key; of a repeated key the last.
    pub fn get(&self, key: &str) -> Option<&Text<'a>> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Takes a value; null is as good as absent.
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
    /// What a text field makes of it.
    #[inline]
    pub(crate) fn into_text(self, key: &str, into: &mut Option<Text<'a>>) -> Result<(), String> {
        match self {
            Scalar::Null => {}
            Scalar::Text(text) => *into = Some(text),
            other => return Err(format!("`{key}` is {other}, no text")),
        }
        Ok(())
    }

    /// What a number field makes of it.
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

    /// What `ts` makes of it.
    #[inline]
    pub(crate) fn into_time(self) -> Option<Result<TimestampMs, String>> {
        match self {
            Scalar::Null => None,
            Scalar::Whole(ms) => Some(Ok(ms)),
            Scalar::Text(text) => Some(
                parse_rfc3339(&text).ok_or_else(|| format!("`ts` is {text:?}: it must be RFC 3339 or whole Unix milliseconds")),
            ),
            other => Some(Err(format!("`ts` is {other}: it must be RFC 3339 or whole Unix milliseconds"))),
        }
    }
}
