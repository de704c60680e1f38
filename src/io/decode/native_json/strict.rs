//! The strict way to read a line: by serde_json, whose errors say what is wrong with it, and where.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::io::decode::raw_event::{Field, Pairs, RawEvent, Scalar};

/// Parses one line, or returns what is wrong with it.
pub(crate) fn parse_strictly(line: &[u8]) -> Result<RawEvent<'_>, serde_json::Error> {
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
                    match Field::of(&key) {
                        Field::Kind => map.next_value::<Scalar>()?.into_text(&key, &mut event.kind).map_err(A::Error::custom)?,
                        Field::Time => event.ts = map.next_value::<Scalar>()?.into_time(),
                        Field::Text(field) => {
                            let into = &mut event.texts[field as usize];
                            map.next_value::<Scalar>()?.into_text(&key, into).map_err(A::Error::custom)?;
                        }
                        Field::Number(field) => {
                            let into = &mut event.numbers[field as usize];
                            map.next_value::<Scalar>()?.into_number(&key, into).map_err(A::Error::custom)?;
                        }
                        Field::Labels => event.labels = map.next_value::<Option<Pairs>>()?.unwrap_or_default(),
                        Field::Annotations => event.annotations = map.next_value::<Option<Pairs>>()?.unwrap_or_default(),
                        Field::Unknown => {
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

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Pairs::default();
                while let Some((key, value)) = map.next_entry::<Scalar<'de>, Scalar<'de>>()? {
                    let Scalar::Text(key) = key else { return Err(A::Error::custom("a key is no text")) };
                    pairs.push(key, value);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
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
