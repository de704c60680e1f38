//! Floor 5: the process. Configuration, wiring, draining, the command line. The only place with `anyhow`.

pub mod checkpoint;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod file_limit;
pub mod pipeline;
pub mod reload;
pub mod report;
pub mod run;
pub mod shipped_rules;
pub mod telemetry;

/// The demo's events as JSON lines, and its topology as YAML.
pub fn demo_files() -> (Vec<u8>, &'static str) {
    let recording = crate::demo::record(crate::demo::SEED);
    (recording.events, recording.topology_yaml)
}
