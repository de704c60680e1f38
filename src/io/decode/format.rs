//! The shape that every input format has: what it is called, how a message of it is recognised, one function that decodes it, and one
//! that cuts a message that is too large.

use std::borrow::Cow;
use std::fmt;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split::SplitError;

/// Decodes one decompressed message. Events go to the sink one by one, bad ones with their bytes and the reason; an error rejects the
/// whole message, and is returned only where nothing of it was taken.
pub type DecodeFn = fn(Cow<'_, [u8]>, &mut EventSink<'_>) -> Result<(), RejectReason>;

/// Cuts one decompressed message into messages of at most so many bytes each, at the boundaries of its records, without losing one. A
/// message that is small enough stays whole.
pub type SplitFn = for<'m> fn(&'m [u8], usize) -> Result<Vec<Cow<'m, [u8]>>, SplitError>;

/// Whether a payload without a header looks like this format. Asked only on subjects that name the format.
pub type RecogniseFn = fn(&[u8]) -> bool;

/// An input format. There is one static of it in each format's folder, listed in [`crate::io::decode::formats`].
pub struct Format {
    /// The name in the header `Squelch-Format`, in settings, documents and fixtures; also the name of its folder.
    pub name: &'static str,
    /// Media types that a `Content-Type` header names it by.
    pub media_types: &'static [&'static str],
    /// Tokens of a subject that suggest this format, for a message whose headers and settings name none.
    pub subject_tokens: &'static [&'static str],
    /// Whether such a message is of this format.
    pub recognise: RecogniseFn,
    /// Decodes a message.
    pub decode: DecodeFn,
    /// Cuts a message.
    pub split: SplitFn,
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
