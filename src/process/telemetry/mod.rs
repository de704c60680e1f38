//! What squelch reports about itself: metrics, logs, and the processor time of each rule.

pub mod logging;
pub mod metrics;
pub mod rule_cpu;
