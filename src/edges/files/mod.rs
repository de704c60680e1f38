//! Files: recorded events and the topology in, checkpoints out and in.

pub mod checkpoint;
pub mod events;
pub mod text;
pub mod topology;
