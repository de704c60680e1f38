//! What is known of a message besides its bytes: from its subject, its headers and the broker.

use crate::io::decode::command::CommandOrigin;
use crate::io::decode::decompress::Encoding;
use crate::io::decode::format::Format;
use crate::io::decode::syntax::Syntax;
use crate::model::event::{Kind, SourceId};
use crate::model::time::TimestampMs;

/// What is known of a message besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageInfo {
    /// The kind of its events, if the subject names one; a `kind` field in an event takes precedence.
    pub kind: Option<Kind>,
    /// The format, if headers or settings name one.
    pub format: Option<&'static Format>,
    /// What makes it a command: its subject, or the recording that it stands in. Nothing in its bytes can.
    pub command: Option<CommandOrigin>,
    /// The format that the subject suggests, where nothing names one; without it, or where the payload is not of it, native JSON.
    pub suggested: Option<&'static Format>,
    /// Whether the `Content-Type` names JSON or protobuf.
    pub syntax: Syntax,
    /// How its bytes are compressed.
    pub encoding: Encoding,
    /// When the broker received it; `None` in a replay.
    pub received_at: Option<TimestampMs>,
    /// The source whose event time it advances: see [`Decoder::source`](crate::io::decode::decoder::Decoder::source).
    pub source: SourceId,
}
