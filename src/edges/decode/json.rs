//! One event of the native JSON format, borrowed from the message: no text is copied before it lands in its column.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::words::time::{TimestampMs, parse_rfc3339};

/// A text of the event.
pub type Text<'a> = Cow<'a, str>;

/// The fields of an event, of whatever kind.
#[derive(Debug, Default)]
pub struct RawEvent<'a> {
    /// `kind`
    pub kind: Option<Text<'a>>,
    /// `ts`, read: the error says what is wrong with it.
    pub ts: Option<Result<TimestampMs, String>>,
    /// `name`
    pub name: Option<Text<'a>>,
    /// `value`
    pub value: Option<f64>,
    /// `service`
    pub service: Option<Text<'a>>,
    /// `host`
    pub host: Option<Text<'a>>,
    /// `env`
    pub env: Option<Text<'a>>,
    /// `severity`
    pub severity: Option<Text<'a>>,
    /// `body`
    pub body: Option<Text<'a>>,
    /// `status`
    pub status: Option<Text<'a>>,
    /// `trace_id`
    pub trace_id: Option<Text<'a>>,
    /// `span_id`
    pub span_id: Option<Text<'a>>,
    /// `parent_id`
    pub parent_id: Option<Text<'a>>,
    /// `duration_ms`
    pub duration_ms: Option<f64>,
    /// `labels`
    pub labels: Pairs<'a>,
    /// `annotations`
    pub annotations: Pairs<'a>,
}

/// Parses one line.
pub fn parse(line: &[u8]) -> Result<RawEvent<'_>, serde_json::Error> {
    serde_json::from_slice(line)
}

impl<'de> Deserialize<'de> for RawEvent<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EventVisitor;
        impl<'de> Visitor<'de> for EventVisitor {
            type Value = RawEvent<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON object, one event a line")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEvent<'de>, A::Error> {
                let mut event = RawEvent::default();
                while let Some(key) = map.next_key::<Scalar<'de>>()? {
                    let Scalar::Text(key) = key else { return Err(A::Error::custom("a key is no text")) };
                    match key.as_ref() {
                        "kind" => text(&mut map, &key, &mut event.kind)?,
                        "ts" | "timestamp" => event.ts = time(map.next_value()?),
                        "name" => text(&mut map, &key, &mut event.name)?,
                        "value" => number(&mut map, &key, &mut event.value)?,
                        "service" => text(&mut map, &key, &mut event.service)?,
                        "host" => text(&mut map, &key, &mut event.host)?,
                        "env" => text(&mut map, &key, &mut event.env)?,
                        "severity" => text(&mut map, &key, &mut event.severity)?,
                        "body" => text(&mut map, &key, &mut event.body)?,
                        "status" => text(&mut map, &key, &mut event.status)?,
                        "trace_id" => text(&mut map, &key, &mut event.trace_id)?,
                        "span_id" => text(&mut map, &key, &mut event.span_id)?,
                        "parent_id" => text(&mut map, &key, &mut event.parent_id)?,
                        "duration_ms" => number(&mut map, &key, &mut event.duration_ms)?,
                        "labels" => event.labels = map.next_value::<Option<Pairs>>()?.unwrap_or_default(),
                        "annotations" => event.annotations = map.next_value::<Option<Pairs>>()?.unwrap_or_default(),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(event)
            }
        }
        deserializer.deserialize_map(EventVisitor)
    }
}

fn text<'de, A: MapAccess<'de>>(map: &mut A, key: &str, into: &mut Option<Text<'de>>) -> Result<(), A::Error> {
    match map.next_value::<Scalar<'de>>()? {
        Scalar::Null => {}
        Scalar::Text(text) => *into = Some(text),
        other => return Err(A::Error::custom(format!("`{key}` is {other}, no text"))),
    }
    Ok(())
}

fn number<'de, A: MapAccess<'de>>(map: &mut A, key: &str, into: &mut Option<f64>) -> Result<(), A::Error> {
    match map.next_value::<Scalar<'de>>()? {
        Scalar::Null => {}
        Scalar::Whole(whole) => *into = Some(whole as f64),
        Scalar::Number(number) => *into = Some(number),
        // Some exporters quote their numbers.
        Scalar::Text(text) => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => *into = Some(number),
            _ => return Err(A::Error::custom(format!("`{key}` is {text:?}, no finite number"))),
        },
        other => return Err(A::Error::custom(format!("`{key}` is {other}, no number"))),
    }
    Ok(())
}

fn time(ts: Scalar<'_>) -> Option<Result<TimestampMs, String>> {
    match ts {
        Scalar::Null => None,
        Scalar::Whole(ms) => Some(Ok(ms)),
        Scalar::Number(number) => Some(Err(format!("`ts` is {number}: it must be RFC 3339 or whole Unix milliseconds"))),
        Scalar::Text(text) => {
            Some(parse_rfc3339(&text).ok_or_else(|| format!("`ts` is {text:?}: it must be RFC 3339 or whole Unix milliseconds")))
        }
        other => Some(Err(format!("`ts` is {other}: it must be RFC 3339 or whole Unix milliseconds"))),
    }
}

/// Text to text, in the order of the message; numbers and booleans are taken as text.
#[derive(Debug, Default)]
pub struct Pairs<'a>(pub Vec<(Text<'a>, Text<'a>)>);

impl<'a> Pairs<'a> {
    /// The value of a key; of a repeated key the last.
    pub fn get(&self, key: &str) -> Option<&Text<'a>> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<Scalar<'de>, Scalar<'de>>()? {
                    let Scalar::Text(key) = key else { return Err(A::Error::custom("a key is no text")) };
                    match value {
                        Scalar::Null => {}
                        Scalar::Text(text) => pairs.push((key, text)),
                        other => pairs.push((key, other.to_string().into())),
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// A value that is neither map nor list.
enum Scalar<'a> {
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

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a text, a number, true, false or null")
            }

            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Null)
            }

            fn visit_bool<E>(self, yes: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Bool(yes))
            }

            fn visit_i64<E>(self, whole: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Whole(whole))
            }

            fn visit_u64<E>(self, whole: u64) -> Result<Scalar<'de>, E> {
                Ok(i64::try_from(whole).map_or(Scalar::Number(whole as f64), Scalar::Whole))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(number))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_string())))
            }

            fn visit_string<E>(self, text: String) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}
