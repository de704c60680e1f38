//! The outage that `squelch demo` replays: a night of a chat product in three environments, made from a seed.
//!
//! The engine knows nothing of it. It yields bytes as collectors would publish them, and the topology they are about;
//! equal seeds yield equal bytes. It reads no clock, and the script is data (`script`), laid over healthy traffic
//! (`baseline`, `usage`) and over the usual noise (`noise`).

mod baseline;
mod effects;
mod event_writer;
mod noise;
mod rng;
mod sampler;
mod script;
mod topology;
mod usage;

use effects::Announcement;
use event_writer::EventWriter;
use noise::FlappingDisk;
use rng::Rng;
use sampler::SamplePoint;

/// The seed of the recording that ships.
pub const SEED: u64 = 20_260_314;

/// 2026-03-14T02:30:00Z.
const STARTED_AT_MS: i64 = 1_773_455_400_000;
const LASTS_S: i64 = 52 * 60;
const SAMPLED_EVERY_S: i64 = 10;
/// Samples lie in mid-interval, so that jitter moves none of them out of the recording, or into a neighbouring interval.
const SAMPLED_AFTER_S: i64 = SAMPLED_EVERY_S / 2;

/// One recorded outage: NDJSON events in time order, and the topology they are about.
pub struct Recording {
    /// Squelch's native JSON, one event a line.
    pub events: Vec<u8>,
    /// What depends on what, as `squelch replay --topology` reads it.
    pub topology_yaml: &'static str,
    /// No event is earlier.
    pub started_at_ms: i64,
    /// No event is later.
    pub ended_at_ms: i64,
}

/// Makes the recording of a seed; any two of one seed are equal, byte by byte.
pub fn record(seed: u64) -> Recording {
    let mut rng = Rng::new(seed);
    let mut events = EventWriter::default();
    let mut disk = FlappingDisk::new();
    for interval_s in (0..LASTS_S).step_by(SAMPLED_EVERY_S as usize) {
        for env in topology::ENVIRONMENTS {
            if interval_s % env.sampled_every_s != 0 {
                continue;
            }
            let at_s = interval_s + SAMPLED_AFTER_S;
            let ts_ms = STARTED_AT_MS + at_s * 1000;
            let mut point = SamplePoint { env, at_s, ts_ms, rng: &mut rng, events: &mut events };
            baseline::sample(&mut point);
            usage::sample(&mut point);
            noise::sample(&mut point, &mut disk);
        }
    }
    for announcement in script::ANNOUNCEMENTS.iter().chain(noise::ANNOUNCEMENTS) {
        announce(&mut events, announcement);
    }
    Recording {
        events: events.into_bytes(),
        topology_yaml: topology::TOPOLOGY_YAML,
        started_at_ms: STARTED_AT_MS,
        ended_at_ms: STARTED_AT_MS + LASTS_S * 1000,
    }
}

fn announce(events: &mut EventWriter, announcement: &Announcement) {
    let reports = [("firing", Some(announcement.firing_at_s)), ("resolved", announcement.resolved_at_s)];
    for (status, at_s) in reports {
        let Some(at_s) = at_s else { continue };
        events.event("alert", STARTED_AT_MS + at_s * 1000, |line| {
            line.text("name", announcement.name).text("status", status).text("severity", announcement.severity);
            line.text("service", announcement.service).text("env", announcement.env);
            line.map("labels", &[("origin", announcement.origin)]);
            line.map("annotations", &[("summary", announcement.summary)]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamps_ms(events: &[u8]) -> Vec<i64> {
        let text = std::str::from_utf8(events).expect("UTF-8");
        let after_kind = |line: &str| line.split_once(",\"ts\":").map(|(_, rest)| rest.to_owned());
        text.lines()
            .map(|line| after_kind(line).expect("a line has a ts"))
            .map(|rest| rest.split(',').next().expect("never empty").parse().expect("whole ms"))
            .collect()
    }

    #[test]
    fn equal_seeds_are_equal_bytes() {
        assert!(record(SEED).events == record(SEED).events);
    }

    #[test]
    fn different_seeds_differ() {
        assert!(record(SEED).events != record(SEED + 1).events);
    }

    #[test]
    fn lines_are_in_time_order_and_within_the_recording() {
        let recording = record(SEED);
        let ts_ms = timestamps_ms(&recording.events);
        assert!(ts_ms.is_sorted());
        assert!(ts_ms.first().is_some_and(|first| *first >= recording.started_at_ms));
        assert!(ts_ms.last().is_some_and(|last| *last <= recording.ended_at_ms));
        assert!((60_000..=120_000).contains(&ts_ms.len()), "{} events", ts_ms.len());
    }
}
