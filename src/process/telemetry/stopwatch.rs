//! Measures time for operators: summaries, metrics, the cost of rules. No result of the engine depends on it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Starts a stopwatch. Calling what it returns stops it.
#[expect(clippy::disallowed_methods, reason = "measures for summaries and metrics; no result depends on it")]
pub fn stopwatch() -> impl FnOnce() -> Duration {
    let started = Instant::now();
    move || started.elapsed()
}

/// Nanoseconds since the first call.
#[expect(clippy::disallowed_methods, reason = "measures the cost of rules; no result depends on it")]
pub fn monotonic_ns() -> u64 {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    STARTED.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Processor time of this thread in nanoseconds; 0 where the system does not report it.
pub fn thread_cpu_ns() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat.split(' ').next().and_then(|on_cpu| on_cpu.parse().ok()).unwrap_or(0)
}
