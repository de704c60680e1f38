//! Cuts a message that is larger than the broker accepts into several, at the boundaries of its records. Each piece is a message of the
//! same format, with the context that its records need: the resource of OTLP records, the labels of a Loki stream.
//!
//! A record is never cut. One that is larger than a message may be is an error for the caller, who reports it to the sender.

pub mod json;
pub mod lines;
pub mod protobuf;

use std::borrow::Cow;

use crate::model::limits::SPLIT_PIECES_MAX;

/// Why a message cannot be cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A record alone is larger than a message may be.
    #[error(
        "a record has {bytes} bytes, and a message holds {max}: send smaller records, or raise max_payload of the NATS server"
    )]
    RecordTooLarge {
        /// Its size, with the context that it needs.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Its records cannot be found.
    #[error("the message cannot be cut: {0}")]
    Malformed(String),
    /// Messages of this format cannot be cut.
    #[error(
        "a message has {bytes} bytes, and holds at most {max}: send smaller batches, or raise max_payload of the NATS server"
    )]
    Whole {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It would become too many messages.
    #[error("the message would become more than {SPLIT_PIECES_MAX} messages")]
    TooManyPieces,
}

/// For formats whose messages cannot be cut.
pub fn whole(message: &[u8], max: usize) -> Result<Vec<Cow<'_, [u8]>>, SplitError> {
    if message.len() <= max {
        return Ok(vec![Cow::Borrowed(message)]);
    }
    Err(SplitError::Whole { bytes: message.len(), max })
}

/// Groups of neighbouring records whose sizes add up to at most `room`; a record that is larger is a group of its own.
fn groups(sizes: &[usize], room: usize) -> Vec<std::ops::Range<usize>> {
    let (mut all, mut start, mut sum) = (Vec::new(), 0, 0_usize);
    for (at, size) in sizes.iter().enumerate() {
        if at > start && sum.saturating_add(*size) > room {
            all.push(start..at);
            (start, sum) = (at, 0);
        }
        sum = sum.saturating_add(*size);
    }
    if start < sizes.len() {
        all.push(start..sizes.len());
    }
    all
}

/// Adds a piece, within the limit on their number.
fn add<T>(pieces: &mut Vec<T>, piece: T) -> Result<(), SplitError> {
    if pieces.len() >= SPLIT_PIECES_MAX {
        return Err(SplitError::TooManyPieces);
    }
    pieces.push(piece);
    Ok(())
}
