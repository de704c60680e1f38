//! The table of input formats: one line a format.

use crate::io::decode::format::Format;
use crate::io::decode::{arrow_ipc, native_json};

/// All formats.
pub static FORMATS: [&Format; 2] = [&native_json::FORMAT, &arrow_ipc::FORMAT];

/// The format that a `Content-Type` header names; `None` where it names none, as `application/json` does, which many formats use.
pub fn of_media_type(header: &str) -> Option<&'static Format> {
    let media_type = header.split(';').next().unwrap_or_default().trim();
    FORMATS.into_iter().find(|format| format.media_types.iter().any(|known| media_type.eq_ignore_ascii_case(known)))
}
