//! What several squelch processes share over NATS: the lease of the active one, partial counts of workers, the rules in force, and
//! checkpoints.

pub mod active_rules;
pub mod checkpoint_store;
pub mod lease;
pub mod partial_stream;
