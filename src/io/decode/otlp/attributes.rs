//! Attributes of resources and records. Values stay as they are until a rule's label asks for their text; lists and maps become JSON text, and
//! are nested within a limit.

use std::borrow::Cow;

use serde::Deserialize;

use crate::io::decode::json_text::JsonText;
use crate::io::decode::otlp::json_numbers::{Double, Signed};
use crate::io::decode::protobuf::{Fields, ProtobufError, Value};
use crate::io::decode::raw_event::Text;
use crate::io::decode::rows::Rows;
use crate::model::limits::ATTRIBUTE_DEPTH_MAX;

/// The value of an attribute, or the body of a log record.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AnyValue<'a> {
    /// No value.
    #[default]
    Empty,
    /// A text.
    Text(Text<'a>),
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// A list, a map or bytes, as the protobuf message of an `AnyValue`.
    Encoded(&'a [u8]),
    /// A list, a map or bytes, as JSON text.
    Json(String),
}

/// Attributes in the order of the message.
pub type Attributes<'a> = Vec<(Text<'a>, AnyValue<'a>)>;

impl<'a> AnyValue<'a> {
    /// Reads the protobuf message of a value. Lists and maps are not looked into.
    pub fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut value = Self::Empty;
        for field in Fields::new(message) {
            let (number, field) = field?;
            value = match number {
                1 => Self::Text(field.cow(1)?),
                2 => Self::Bool(field.unsigned(2)? != 0),
                3 => Self::Int(field.signed(3)?),
                4 => Self::Double(field.double(4)?),
                5..=7 => Self::Encoded(message),
                _ => continue,
            };
        }
        Ok(value)
    }

    /// Its text; `None` without a value.
    pub fn into_text(self) -> Result<Option<Text<'a>>, ProtobufError> {
        Ok(Some(match self {
            Self::Empty => return Ok(None),
            Self::Text(text) => text,
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Int(value) => value.to_string().into(),
            Self::Double(value) => value.to_string().into(),
            Self::Json(text) => text.into(),
            Self::Encoded(message) => {
                let mut text = String::new();
                write_json(message, &mut text, 0)?;
                text.into()
            }
        }))
    }
}

fn write_json(message: &[u8], into: &mut String, depth: usize) -> Result<(), ProtobufError> {
    if depth > ATTRIBUTE_DEPTH_MAX {
        return Err(ProtobufError::Depth(ATTRIBUTE_DEPTH_MAX));
    }
    let mut empty = true;
    for field in Fields::new(message) {
        let (number, value) = field?;
        if !empty {
            continue;
        }
        empty = false;
        match number {
            1 => into.push_str(&quoted(value.text(1)?)),
            2 => into.push_str(if value.unsigned(2)? != 0 { "true" } else { "false" }),
            3 => into.push_str(&value.signed(3)?.to_string()),
            4 => into.push_str(&value.double(4)?.to_string()),
            5 => write_list(value.message(5)?, into, depth)?,
            6 => write_map(value.message(6)?, into, depth)?,
            7 => {
                let bytes = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, value.message(7)?);
                into.push_str(&quoted(&bytes));
            }
            _ => empty = true,
        }
    }
    if empty {
        into.push_str("null");
    }
    Ok(())
}

fn write_list(message: &[u8], into: &mut String, depth: usize) -> Result<(), ProtobufError> {
    into.push('[');
    let mut first = true;
    for field in Fields::new(message) {
        if let (1, value) = field? {
            into.push_str(if first { "" } else { "," });
            write_json(value.message(1)?, into, depth + 1)?;
            first = false;
        }
    }
    into.push(']');
    Ok(())
}

fn write_map(message: &[u8], into: &mut String, depth: usize) -> Result<(), ProtobufError> {
    into.push('{');
    let mut first = true;
    for field in Fields::new(message) {
        if let (1, value) = field? {
            let (key, value) = key_value(value.message(1)?)?;
            into.push_str(if first { "" } else { "," });
            into.push_str(&quoted(key));
            into.push(':');
            write_json(value, into, depth + 1)?;
            first = false;
        }
    }
    into.push('}');
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The key of an attribute, and the message of its value.
pub fn key_value(message: &[u8]) -> Result<(&str, &[u8]), ProtobufError> {
    let (mut key, mut value): (&str, &[u8]) = ("", &[]);
    for field in Fields::new(message) {
        match field? {
            (1, text) => key = text.text(1)?,
            (2, any) => value = any.message(2)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Adds an attribute, given as field `number` of a record.
#[inline]
pub fn push<'a>(field: Value<'a>, number: u32, into: &mut Attributes<'a>) -> Result<(), ProtobufError> {
    let (key, value) = key_value(field.message(number)?)?;
    into.push((Cow::Borrowed(key), AnyValue::read(value)?));
    Ok(())
}

/// The attributes of a resource.
pub fn of_resource(message: &[u8]) -> Result<Attributes<'_>, ProtobufError> {
    let mut attributes = Attributes::new();
    for field in Fields::new(message) {
        if let (1, value) = field? {
            push(value, 1, &mut attributes)?;
        }
    }
    Ok(attributes)
}

/// The records that follow are of the resource with these attributes.
pub(crate) fn share<'a>(rows: &mut Rows<'_, '_, 'a>, attributes: Attributes<'a>) -> Result<(), ProtobufError> {
    rows.begin_shared();
    write(rows, attributes)?;
    rows.end_shared();
    Ok(())
}

/// Writes the attributes that anything becomes of.
#[inline]
pub(crate) fn write<'a>(
    rows: &mut Rows<'_, '_, 'a>,
    attributes: impl IntoIterator<Item = (Text<'a>, AnyValue<'a>)>,
) -> Result<(), ProtobufError> {
    for (key, value) in attributes {
        if let Some(wanted) = rows.wanted(&key)
            && let Some(text) = value.into_text()?
        {
            rows.put(wanted, key, text);
        }
    }
    Ok(())
}

/// A resource in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct JsonResource<'a> {
    /// What it is.
    #[serde(borrow)]
    pub attributes: Vec<JsonAttribute<'a>>,
}

/// An attribute in JSON.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct JsonAttribute<'a> {
    #[serde(borrow)]
    key: JsonText<'a>,
    #[serde(borrow)]
    value: JsonValue<'a>,
}

/// An `AnyValue` in JSON.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JsonValue<'a> {
    #[serde(borrow)]
    string_value: Option<JsonText<'a>>,
    bool_value: Option<bool>,
    int_value: Option<Signed>,
    double_value: Option<Double>,
    #[serde(borrow)]
    array_value: Option<JsonList<'a>>,
    #[serde(borrow)]
    kvlist_value: Option<JsonMap<'a>>,
    #[serde(borrow)]
    bytes_value: Option<JsonText<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct JsonList<'a> {
    #[serde(borrow)]
    values: Vec<JsonValue<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct JsonMap<'a> {
    #[serde(borrow)]
    values: Vec<JsonAttribute<'a>>,
}

impl JsonValue<'_> {
    fn to_json(&self) -> serde_json::Value {
        if let Some(list) = &self.array_value {
            return list.values.iter().map(Self::to_json).collect();
        }
        if let Some(map) = &self.kvlist_value {
            let pairs = map.values.iter().map(|pair| (pair.key.0.to_string(), pair.value.to_json()));
            return serde_json::Value::Object(pairs.collect());
        }
        let text = self.string_value.as_ref().or(self.bytes_value.as_ref()).map(|text| text.0.as_ref().into());
        let number = || self.int_value.map(|value| value.0.into()).or_else(|| self.double_value.map(|value| value.0.into()));
        text.or_else(|| self.bool_value.map(Into::into)).or_else(number).unwrap_or_default()
    }
}

impl<'a> From<JsonValue<'a>> for AnyValue<'a> {
    fn from(value: JsonValue<'a>) -> Self {
        if value.array_value.is_some() || value.kvlist_value.is_some() {
            return Self::Json(value.to_json().to_string());
        }
        match value {
            JsonValue { string_value: Some(text), .. } | JsonValue { bytes_value: Some(text), .. } => Self::Text(text.0),
            JsonValue { bool_value: Some(value), .. } => Self::Bool(value),
            JsonValue { int_value: Some(value), .. } => Self::Int(value.0),
            JsonValue { double_value: Some(value), .. } => Self::Double(value.0),
            _ => Self::Empty,
        }
    }
}

/// Attributes out of JSON.
pub fn of_json(attributes: Vec<JsonAttribute<'_>>) -> Attributes<'_> {
    attributes.into_iter().map(|attribute| (attribute.key.0, attribute.value.into())).collect()
}
