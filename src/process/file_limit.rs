//! A file that may not grow further (`ulimit -f`, a container's limit) is an error of the write that meets it, as a full disk is.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// The signal of such a write, which ends a process that does not listen for it. It has this number on Linux and on macOS.
const SIGXFSZ: i32 = 25;

/// From here on, for the whole process, the write fails and nothing else happens.
///
/// # Errors
///
/// The system takes no handlers of signals.
pub fn is_an_error() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _here = runtime.enter();
    // The handler outlives the listener, and nobody needs to hear of it.
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop)
}
