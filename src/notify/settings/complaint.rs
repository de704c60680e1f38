//! What is wrong at a place of squelch.yaml.

use serde_saphyr::{Location, Spanned};

use crate::model::diagnostic::{Diagnostic, offset_of};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedComplaint {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: String,
}

impl PlacedComplaint {
    /// At this place.
    pub fn at(place: Location, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { line: place.line() as usize, column: place.column() as usize, message: message.into(), hint: hint.into() }
    }

    /// About this value.
    pub fn about<T>(value: &Spanned<T>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::at(value.referenced, message, hint)
    }

    /// As an error in the text that the place is of.
    pub fn in_text(self, text: &str) -> Diagnostic {
        let start = offset_of(text, self.line.max(1), self.column.max(1));
        let rest = text[start..].split(['\n', '\r']).next().unwrap_or_default();
        let end = rest.find([',', '}', ']']).filter(|_| !rest.starts_with(['"', '\'', '{', '['])).unwrap_or(rest.len());
        let length = rest[..end].split(" #").next().unwrap_or_default().trim_end().len();
        Diagnostic::new(start..start + length, self.message, self.hint)
    }
}
