//! The night that `squelch demo` replays, as files that a squelch under test reads.

use squelch::demo::{SEED, record};

/// The events as JSON lines, and the topology as YAML.
pub fn demo_files() -> (Vec<u8>, &'static str) {
    let recording = record(SEED);
    (recording.events, recording.topology_yaml)
}
