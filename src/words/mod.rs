//! Floor 0: the words every other floor speaks. Pure data: no query engine, no graph, no clock, no I/O.

pub mod blob;
pub mod diagnostic;
pub mod duration;
pub mod event;
pub mod fingerprint;
pub mod ipc;
pub mod labels;
pub mod limits;
pub mod saved;
pub mod seal;
pub mod severity;
pub mod time;
pub mod yaml;
