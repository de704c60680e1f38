//! What an operator sees of the output, also while it waits for the server.

use std::sync::atomic::AtomicU64;

use crate::io::nats::client::health::Health;

/// Counters and health of the output.
#[derive(Debug, Default)]
pub struct OutputStats {
    /// Writes tried again.
    pub retries: AtomicU64,
    /// Revisions that were published shortened.
    pub truncated: AtomicU64,
    /// Why results cannot be stored.
    pub health: Health,
}
