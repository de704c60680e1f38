//! Files and buckets that change while squelch runs: rules and the topology, and the watcher of files.

pub mod file_watcher;
pub mod rules;
pub mod signals;
pub mod status;
pub mod topology;
