//! Why an event or a message was rejected, and how much of one bad message is handed back: a small message may decompress to
//! millions of bad lines.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::limits::{EVENT_BYTES_MAX, MESSAGE_INFLATED_BYTES_MAX, REASON_CHARS_MAX, REJECTED_LINES_MAX};

/// Why an event or a message was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The message cannot be decompressed, or decompresses to too much.
    Inflate(String),
    /// The event has more bytes than [`EVENT_BYTES_MAX`].
    Size(usize),
    /// The line is no JSON object of the expected shape.
    Json(String),
    /// The Arrow stream is corrupt, or has a column that cannot be read.
    Arrow(String),
    /// The protobuf message is corrupt or cut off, or a record of it is.
    Protobuf(String),
    /// A line is malformed, in a format whose lines are no JSON.
    Line(String),
    /// The format that a header names is unknown.
    Format(String),
    /// Neither the subject nor a `kind` field names the kind of event.
    Kind(String),
    /// The time is missing, unreadable or out of range.
    Time(String),
    /// The time lies further ahead of the broker's clock than is allowed.
    Future(String),
    /// A field that the kind needs is missing or unusable.
    Field(String),
    /// What came on the subject of a command is none.
    Command(String),
}

impl RejectReason {
    /// The code in metrics and in the header `Squelch-Reason`.
    pub fn code(&self) -> &'static str {
        match self {
            RejectReason::Inflate(_) => "inflate",
            RejectReason::Size(_) => "size",
            RejectReason::Json(_) => "json",
            RejectReason::Arrow(_) => "arrow",
            RejectReason::Protobuf(_) => "protobuf",
            RejectReason::Line(_) => "line",
            RejectReason::Format(_) => "format",
            RejectReason::Kind(_) => "kind",
            RejectReason::Time(_) => "time",
            RejectReason::Future(_) => "future",
            RejectReason::Field(_) => "field",
            RejectReason::Command(_) => "command",
        }
    }

    /// All codes.
    pub const CODES: [&'static str; 12] =
        ["inflate", "size", "json", "arrow", "protobuf", "line", "format", "kind", "time", "future", "field", "command"];
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RejectReason::Inflate(why) => write!(f, "cannot be inflated: {why}"),
            RejectReason::Size(bytes) => write!(f, "{bytes} bytes in one line, the limit is {EVENT_BYTES_MAX}"),
            RejectReason::Json(why)
            | RejectReason::Arrow(why)
            | RejectReason::Protobuf(why)
            | RejectReason::Line(why)
            | RejectReason::Format(why)
            | RejectReason::Kind(why)
            | RejectReason::Time(why)
            | RejectReason::Future(why)
            | RejectReason::Field(why)
            | RejectReason::Command(why) => f.write_str(clip(why)),
        }
    }
}

/// A reason may quote a whole event; its beginning is enough.
fn clip(why: &str) -> &str {
    let end = why.char_indices().nth(REASON_CHARS_MAX).map_or(why.len(), |(at, _)| at);
    &why[..end]
}

/// Input that was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Number of the line, row or record within the message, from 1; 0 for the whole message.
    pub line: usize,
    /// The bytes, untouched; a row of an Arrow stream is written as a line of JSON.
    pub bytes: Vec<u8>,
    /// The reason; where the message stands for several lines, the reason of the first.
    pub reason: RejectReason,
    /// Where the whole message stands for lines too many to be handed back one by one: their number, by code.
    pub unlisted: BTreeMap<&'static str, u64>,
}

impl Rejected {
    /// One line, or 0 for the whole message.
    pub fn one(line: usize, bytes: Vec<u8>, reason: RejectReason) -> Self {
        Self { line, bytes, reason, unlisted: BTreeMap::new() }
    }

    /// The number of rejected lines or messages, by code.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let itself = self.unlisted.is_empty().then(|| (self.reason.code(), 1));
        itself.into_iter().chain(self.unlisted.iter().map(|(code, lines)| (*code, *lines)))
    }
}

/// Hands back what is bad in one message, up to a limit; beyond it the lines are counted.
pub(crate) struct RejectionLimiter<'r> {
    reject: &'r mut dyn FnMut(Rejected),
    lines: usize,
    bytes: usize,
    first_unlisted: Option<RejectReason>,
    unlisted: BTreeMap<&'static str, u64>,
}

impl<'r> RejectionLimiter<'r> {
    pub(crate) fn new(reject: &'r mut dyn FnMut(Rejected)) -> Self {
        Self { reject, lines: 0, bytes: 0, first_unlisted: None, unlisted: BTreeMap::new() }
    }

    /// Hands back one line, or counts it.
    pub(crate) fn reject(&mut self, line: usize, bytes: &[u8], reason: RejectReason) {
        if self.lines < REJECTED_LINES_MAX && self.bytes < MESSAGE_INFLATED_BYTES_MAX {
            self.lines += 1;
            self.bytes += bytes.len();
            return (self.reject)(Rejected::one(line, bytes.to_vec(), reason));
        }
        *self.unlisted.entry(reason.code()).or_default() += 1;
        self.first_unlisted.get_or_insert(reason);
    }

    /// Ends the message: `whole` is the reason why all of it was rejected, if it was. The message itself stands for the lines that
    /// were only counted.
    pub(crate) fn end_message(self, message: &[u8], whole: Option<RejectReason>) {
        if let Some(reason) = whole {
            (self.reject)(Rejected::one(0, message.to_vec(), reason));
        }
        if let Some(reason) = self.first_unlisted {
            (self.reject)(Rejected { line: 0, bytes: message.to_vec(), reason, unlisted: self.unlisted });
        }
    }
}
