//! The shape that every input format has: what it is called, how a message of it is recognised, and one function that decodes it.

use std::borrow::Cow;
use std::fmt;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::rejection::RejectReason;

/// Decodes one decompressed message. Events go to the sink one by one, bad ones with their bytes and the reason; an error rejects the
/// whole message, and is returned only where nothing of it was taken.
pub type DecodeFn = fn(Cow<'_, [u8]>, &mut EventSink<'_>) -> Result<(), RejectReason>;

/// An input format. There is one static of it in each format's folder, listed in [`crate::io::decode::formats`].
pub struct Format {
    /// The name in settings, documents and fixtures; also the name of its folder.
    pub name: &'static str,
    /// Media types that a `Content-Type` header names it by.
    pub media_types: &'static [&'static str],
    /// Decodes a message.
    pub decode: DecodeFn,
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
