//! A text out of JSON, borrowed from the message where it has no escapes. Serde borrows a `Cow` only where a field has exactly that type, and
//! not within options, lists and maps.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::io::decode::raw_event::Text;

/// A text; null is the empty one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonText<'a>(pub Text<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = JsonText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_unit<E: Error>(self) -> Result<JsonText<'de>, E> {
                Ok(JsonText::default())
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Owned(text.to_string())))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<JsonText<'de>, E> {
                Ok(JsonText(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}
