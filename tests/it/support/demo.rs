//! The night that `squelch demo` replays, as files that a squelch under test reads.

use squelch::demo::{SEED, record};
use squelch::model::time::MINUTE_MS;

/// The part with the outage: minutes after the recording's begin.
const OUTAGE_MINUTES: std::ops::Range<i64> = 14..30;

/// The events as JSON lines, and the topology as YAML.
pub fn demo_files() -> (Vec<u8>, &'static str) {
    let recording = record(SEED);
    (recording.events, recording.topology_yaml)
}

/// The events of a quarter of an hour around the outage, one a line: enough where the same is done many times.
pub fn outage_lines() -> Vec<Vec<u8>> {
    let (events, _) = demo_files();
    let mut lines: Vec<Vec<u8>> =
        events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    let begin = ts(&lines[0]) / MINUTE_MS;
    lines.retain(|line| OUTAGE_MINUTES.contains(&(ts(line) / MINUTE_MS - begin)));
    lines
}

fn ts(line: &[u8]) -> i64 {
    let line = std::str::from_utf8(line).unwrap();
    let (_, rest) = line.split_once("\"ts\":").unwrap();
    rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
}
