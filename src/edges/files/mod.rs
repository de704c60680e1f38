//! Files in: recorded events and the topology.

pub mod events;
pub mod topology;
