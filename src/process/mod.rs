//! Floor 5: the process. Configuration, wiring, draining, the command line. The only place with `anyhow`.

pub mod check;
pub mod checkpointing;
pub mod cli;
pub mod config;
pub mod cpu;
pub mod decoding;
pub mod demo;
pub mod evaluating;
pub mod explain;
pub mod file_limit;
pub mod gaps;
pub mod incident_story;
pub mod keeping;
pub mod logging;
pub mod looking;
pub mod metrics;
pub mod pack;
pub mod reading;
pub mod recall;
pub mod reload;
pub mod replay;
pub mod report;
pub mod role;
mod rule_cost;
mod rule_words;
pub mod run;
pub mod segments;
pub mod standby;
pub mod story;
pub mod topology;
pub mod validate;
pub mod writing;

/// The demo's events as JSON lines, and its topology as YAML.
pub fn demo_files() -> (Vec<u8>, &'static str) {
    let recording = crate::demo::record(crate::demo::SEED);
    (recording.events, recording.topology_yaml)
}
