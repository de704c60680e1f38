//! Floor 0: the words every other floor speaks. Pure data: no query engine, no graph, no clock, no I/O.

pub mod command;
pub mod diagnostic;
pub mod duration;
pub mod event;
pub mod fingerprint;
pub mod hex;
pub mod labels;
pub mod limits;
pub mod local_time;
pub mod severity;
pub mod signal;
pub mod snapshot;
pub mod star_pattern;
pub mod time;
