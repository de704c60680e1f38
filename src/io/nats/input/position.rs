//! A position in a JetStream stream. A sequence number alone is not enough: a stream that was deleted and created again counts from 1,
//! so the creation time tells which stream the number belongs to.

use serde::{Deserialize, Serialize};

/// The last message that was read, and the stream it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPosition {
    /// When the stream was created, nanoseconds since 1970.
    pub created_ns: i64,
    /// The sequence number of the message.
    pub sequence: u64,
}
