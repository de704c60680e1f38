//! Rules: what is refused and how, what their windows answer, and what the shipped ones say.

pub mod bad_files;
pub mod detectors;
pub mod hostile_files;
pub mod lookups;
pub mod mutations;
pub mod oracle;
pub mod other_engine;
pub mod packs;
pub mod promtool;
pub mod series_functions;
pub mod shipped;
pub mod shipped_thresholds;
