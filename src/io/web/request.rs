//! What requests hold.

use crate::page::text::in_address;

/// The fields of a query or form, as they came.
pub(crate) type Fields = Vec<(String, String)>;

/// A field that is not empty; the last one of its name.
pub(crate) fn field<'f>(form: &'f Fields, name: &str) -> Option<&'f str> {
    let value = form.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value.trim());
    value.filter(|value| !value.is_empty())
}

/// Whether a text may be the id of an incident.
pub(crate) fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("inc-");
    digits.is_some_and(|digits| (1..=64).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_alphanumeric()))
}

/// Where an incident is shown.
pub(crate) fn address(id: &str) -> String {
    format!("/incidents/{}", in_address(id))
}
