//! A checkpoint that waits to be stored. The engine takes no other one meanwhile: a slow disk must not fill the memory with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Shared by the engine and whoever stores the checkpoint: as long as both hold it, the checkpoint is not stored yet.
#[derive(Debug, Default)]
pub struct CheckpointInProgress {
    cpu_ns: AtomicU64,
}

impl CheckpointInProgress {
    /// Reports the processor time that storing the checkpoint took.
    pub fn stored(&self, cpu: Duration) {
        self.cpu_ns.store(cpu.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The processor time that storing the last checkpoint took.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }
}
