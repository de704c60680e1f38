//! Ids of traces and spans: bytes in protobuf, hexadecimal digits in columns and in JSON.

use crate::io::decode::raw_event::Text;

/// The digits of an id; an id of zeros is none.
pub fn hex(id: &[u8]) -> Text<'static> {
    let mut digits = String::with_capacity(2 * id.len());
    if id.iter().any(|byte| *byte != 0) {
        let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
        id.iter().for_each(|byte| digits.extend([digit(byte >> 4), digit(byte & 15)]));
    }
    digits.into()
}

/// An id out of JSON, in the same form.
pub fn of_json(id: Text<'_>) -> Text<'_> {
    if id.bytes().all(|digit| digit == b'0') {
        return Text::default();
    }
    if id.bytes().any(|digit| digit.is_ascii_uppercase()) { id.to_ascii_lowercase().into() } else { id }
}
