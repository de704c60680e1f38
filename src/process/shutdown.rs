//! SIGTERM and Ctrl-C, and the runtime that a process runs in until then.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a stop may take to publish what was read.
pub const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How long tasks that were abandoned at the end may hold up the exit.
const ABANDON_AFTER: Duration = Duration::from_secs(5);

/// The signals that stop a process. None is lost between two waits.
pub struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
}

impl Shutdown {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn listen() -> Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        Ok(Self { terminate, interrupt })
    }

    /// Waits for the next signal.
    pub async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs a process to its end.
///
/// # Errors
///
/// Its own, or the runtime cannot be started.
pub fn block_on(process: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("cannot start the runtime")?;
    let outcome = runtime.block_on(process);
    runtime.shutdown_timeout(ABANDON_AFTER);
    outcome
}
