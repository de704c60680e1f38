//! Inputs that change while squelch runs: rule files and the topology, and the watcher of both.

pub mod file_watcher;
pub mod rules;
pub mod topology;
