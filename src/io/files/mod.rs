//! Files: recorded events and the topology in, checkpoints out and in.

pub mod bounded_text;
pub mod checkpoint_folder;
pub mod recorded_events;
pub mod secret_files;
pub mod signals_file;
pub mod timed_lines;
pub mod topology_file;
