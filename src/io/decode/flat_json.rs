//! A JSON object of any shape as pairs: keys within objects are joined by dots, `{"service":{"name":"chat"}}` and `{"service.name":"chat"}`
//! are the same; lists become JSON text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::io::decode::json_text::JsonText;
use crate::io::decode::raw_event::{Scalar, Text};

/// The pairs, in the order of the message.
#[derive(Debug, Default)]
pub(crate) struct FlatJson<'a>(pub(crate) Vec<(Text<'a>, Scalar<'a>)>);

impl<'a> FlatJson<'a> {
    /// The last value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Scalar<'a>> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The text of a value, where it has one.
    pub(crate) fn text(&self, key: &str) -> Option<Text<'a>> {
        self.get(key).and_then(Scalar::text)
    }

    /// The first of these keys that has a text which is not empty.
    pub(crate) fn first_text(&self, keys: &[&str]) -> Option<Text<'a>> {
        keys.iter().find_map(|key| self.text(key).filter(|text| !text.is_empty()))
    }
}

impl<'a> Scalar<'a> {
    /// The value as the text that labels hold; null has none.
    pub(crate) fn text(&self) -> Option<Text<'a>> {
        match self {
            Scalar::Null => None,
            Scalar::Text(text) => Some(text.clone()),
            Scalar::Bool(true) => Some("true".into()),
            Scalar::Bool(false) => Some("false".into()),
            other => Some(other.to_string().into()),
        }
    }

    /// The value as a number; a text may be one.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Scalar::Whole(whole) => Some(*whole as f64),
            Scalar::Number(number) => Some(*number),
            Scalar::Text(text) => text.trim().parse().ok(),
            Scalar::Null | Scalar::Bool(_) => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for FlatJson<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pairs = Vec::new();
        deserializer.deserialize_map(Members { prefix: "", pairs: &mut pairs })?;
        Ok(Self(pairs))
    }
}

/// The members of an object whose key is `prefix`.
struct Members<'p, 'a> {
    prefix: &'p str,
    pairs: &'p mut Vec<(Text<'a>, Scalar<'a>)>,
}

/// The value of a key.
struct Member<'p, 'a> {
    key: Text<'a>,
    pairs: &'p mut Vec<(Text<'a>, Scalar<'a>)>,
}

impl<'de> Visitor<'de> for Members<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(JsonText(key)) = map.next_key::<JsonText<'de>>()? {
            let key = if self.prefix.is_empty() { key } else { Cow::Owned(format!("{}.{key}", self.prefix)) };
            map.next_value_seed(Member { key, pairs: self.pairs })?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Member<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Member<'_, 'de> {
    fn push<E>(self, value: Scalar<'de>) -> Result<(), E> {
        self.pairs.push((self.key, value));
        Ok(())
    }
}

impl<'de> Visitor<'de> for Member<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, yes: bool) -> Result<(), E> {
        self.push(Scalar::Bool(yes))
    }

    fn visit_i64<E>(self, whole: i64) -> Result<(), E> {
        self.push(Scalar::Whole(whole))
    }

    fn visit_u64<E>(self, whole: u64) -> Result<(), E> {
        self.push(i64::try_from(whole).map_or(Scalar::Number(whole as f64), Scalar::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.push(Scalar::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.push(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.push(Scalar::Text(Cow::Owned(text.to_string())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<serde_json::Value>()? {
            items.push(item);
        }
        let text = serde_json::Value::Array(items).to_string();
        self.push::<A::Error>(Scalar::Text(Cow::Owned(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Members { prefix: &self.key, pairs: self.pairs }.visit_map(map)
    }
}

/// Parses an object.
pub(crate) fn parse(bytes: &[u8]) -> Result<FlatJson<'_>, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_keys_are_joined() {
        let flat = parse(br#"{"a":{"b":1,"c.d":{"e":"x"}},"l":[1,{"y":2}],"n":null,"t":true,"f":1.5}"#).unwrap();
        let pairs: Vec<String> = flat.0.iter().map(|(key, value)| format!("{key}={}", value.text().unwrap())).collect();
        assert_eq!(pairs, ["a.b=1", "a.c.d.e=x", "l=[1,{\"y\":2}]", "t=true", "f=1.5"]);
        assert!(parse(b"[]").is_err() && parse(b"{\"a\":").is_err());
        let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        assert!(parse(deep.as_bytes()).unwrap_err().contains("recursion"));
    }
}
