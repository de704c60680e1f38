//! What several squelch processes share over NATS: the lease of the active one, its checkpoints, the partial counts of workers, and the
//! rules in force.

pub mod active_rules;
pub mod checkpoint_store;
pub mod lease;
pub mod packing;
pub mod partial_stream;
