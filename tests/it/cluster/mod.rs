//! Several processes that share the work, or stand by for each other.

pub mod partitions;
pub mod rule_distribution;
pub mod takeover;
