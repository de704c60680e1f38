//! What an operator sees of the input, also while it waits for the server.

use std::sync::atomic::AtomicU64;

use crate::io::nats::client::health::Health;

/// Counters and health of the input.
#[derive(Debug, Default)]
pub struct InputStats {
    /// Messages that wait in the stream.
    pub pending: AtomicU64,
    /// The last message that was read.
    pub read: AtomicU64,
    /// The last message whose results are stored, with those of all before it.
    pub stored: AtomicU64,
    /// Messages that the server delivered again.
    pub redelivered: AtomicU64,
    /// Gaps by cause, in the order of [`Gap::CODES`](crate::io::nats::input::gap::Gap::CODES).
    pub gaps: [AtomicU64; 3],
    /// Messages that the stream dropped before they were read.
    pub gap_messages: AtomicU64,
    /// Pulls that failed or stalled.
    pub failures: AtomicU64,
    /// Consumers created again while running.
    pub recreated: AtomicU64,
    /// Why nothing can be read.
    pub health: Health,
}
