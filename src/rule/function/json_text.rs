//! `json_text(body, 'request', 'ms')`: a value inside a JSON text, as a text.
//!
//! PostgreSQL's `body->>'key'` and `body->'request'->>'ms'`, and the `json_extract…` functions, are rewritten to it
//! ([`crate::rule::sql::rewrite`]). Only what lies on the path is built; the rest of the text is skipped.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The name that rules call it by.
pub const NAME: &str = "json_text";

static JSON_TEXT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(JsonText::new())));

/// The function.
pub fn json_text() -> Arc<ScalarUDF> {
    Arc::clone(&JSON_TEXT)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonText {
    signature: Signature,
}

impl JsonText {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for JsonText {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        if arguments.len() < 2 {
            return plan_err!("json_text() takes a text and the keys inside it: json_text(body, 'request', 'ms')");
        }
        let keys = vec![DataType::Utf8; arguments.len() - 1];
        Ok(std::iter::once(DataType::Utf8View).chain(keys).collect())
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if args.scalar_arguments.iter().skip(1).any(Option::is_none) {
            return plan_err!("a key of a JSON text is computed anew for each row: write it out as one text in quotes");
        }
        Ok(Arc::new(Field::new(NAME, DataType::Utf8View, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let key = |key: &ColumnarValue| match key {
            ColumnarValue::Scalar(key) => Ok(key.try_as_str().flatten().unwrap_or_default().to_string()),
            ColumnarValue::Array(_) => exec_err!("a key is no constant"),
        };
        let path = args.args[1..].iter().map(key).collect::<Result<Vec<String>>>()?;
        let answer = |texts: &ArrayRef| -> Result<ArrayRef> {
            let texts = cast(texts, &DataType::Utf8View)?;
            let found = texts.as_string_view().iter().map(|text| found(text?, &path));
            Ok(Arc::new(found.collect::<StringViewArray>()))
        };
        match &args.args[0] {
            ColumnarValue::Array(texts) => Ok(ColumnarValue::Array(answer(texts)?)),
            ColumnarValue::Scalar(text) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer(&text.to_array()?)?, 0)?))
            }
        }
    }
}

/// The value at the end of the path; `None` where there is none, where it is null, and where the text is no JSON.
fn found(text: &str, path: &[String]) -> Option<String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = At(path).deserialize(&mut reader).ok().flatten()?;
    reader.end().ok()?;
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// Reads what lies at the end of a path of keys, or of places in lists counted from 0.
#[derive(Clone, Copy)]
struct At<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Value>, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if self.0.first().is_some_and(|first| *first == key) {
                found = map.next_value_seed(At(&self.0[1..]))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Value>, A::Error> {
        let wanted = self.0.first().and_then(|place| place.parse::<usize>().ok());
        let (mut found, mut place) = (None, 0);
        loop {
            if Some(place) == wanted {
                match list.next_element_seed(At(&self.0[1..]))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            place += 1;
        }
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _value: i64) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _value: u64) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _value: &str) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::found;

    #[test]
    fn what_lies_at_the_end_of_a_path() {
        let text = r#"{"level":"error","request":{"ms":12.5,"ok":false,"tags":["a","b"]},"user":null,"a\"b":1}"#;
        let of = |path: &[&str]| found(text, &path.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of(&["level"]).as_deref(), Some("error"));
        assert_eq!((of(&["request", "ms"]).as_deref(), of(&["request", "ok"]).as_deref()), (Some("12.5"), Some("false")));
        assert_eq!(of(&["request", "tags", "1"]).as_deref(), Some("b"));
        assert_eq!(of(&["request", "tags"]).as_deref(), Some(r#"["a","b"]"#));
        assert_eq!(of(&["a\"b"]).as_deref(), Some("1"));
        for path in [&["user"][..], &["nothing"], &["level", "deeper"], &["request", "tags", "2"]] {
            assert_eq!(of(path), None, "{path:?}");
        }
        assert_eq!(found("no JSON", &["a".to_string()]), None);
        assert_eq!(found(r#"{"a":1} and more"#, &["a".to_string()]), None);
    }
}
