//! A field of a series that a mapping refers to: a column of the table `metrics`, or a label.

use std::fmt;

/// Which field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldRef {
    /// `service`
    Service,
    /// `host`
    Host,
    /// `env`
    Env,
    /// `labels.KEY`
    Label(String),
}

impl FieldRef {
    /// The field that is written so; a key may itself have dots.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "service" => Some(FieldRef::Service),
            "host" => Some(FieldRef::Host),
            "env" => Some(FieldRef::Env),
            _ => text.strip_prefix("labels.").filter(|key| !key.is_empty()).map(|key| FieldRef::Label(key.into())),
        }
    }

    /// The key of the label that it is.
    pub fn label(&self) -> Option<&str> {
        match self {
            FieldRef::Label(key) => Some(key),
            _ => None,
        }
    }
}

impl fmt::Display for FieldRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldRef::Service => f.write_str("service"),
            FieldRef::Host => f.write_str("host"),
            FieldRef::Env => f.write_str("env"),
            FieldRef::Label(key) => write!(f, "labels.{key}"),
        }
    }
}

/// An event whose fields a mapping can look at.
pub trait SeriesFields {
    /// The text of a field; `None` where the event lacks it.
    fn field(&self, field: &FieldRef) -> Option<&str>;
}
