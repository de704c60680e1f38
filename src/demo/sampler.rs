//! One sample point of one environment: gives the level of each signal and writes the samples.
//!
//! Owns: that scripted effects reach every signal, and that clocks of many machines do not agree to the second.

use crate::demo::effects::Signal;
use crate::demo::event_writer::{EventSource, EventWriter, LabelPairs};
use crate::demo::rng::Rng;
use crate::demo::script::EFFECTS;
use crate::demo::topology::Environment;

/// Machines sample within this much of the planned second.
const JITTER_MS_MAX: i64 = 2_000;
/// Log lines come at any time, not when metrics are sampled.
const LOG_SPREAD_MS_MAX: i64 = 4_500;

pub(crate) struct SamplePoint<'a> {
    pub(crate) env: &'static Environment,
    /// Since the recording's start.
    pub(crate) at_s: i64,
    pub(crate) ts_ms: i64,
    pub(crate) rng: &'a mut Rng,
    pub(crate) events: &'a mut EventWriter,
}

impl SamplePoint<'_> {
    /// What the signal is now: its healthy level, unless the script disturbs it. Of several effects the farthest one wins.
    pub(crate) fn level(&mut self, entity: &str, signal: Signal, healthy: f64) -> f64 {
        let mut farthest = healthy;
        for effect in EFFECTS {
            if effect.signal != signal || effect.entity != entity || effect.env != self.env.name {
                continue;
            }
            let strength = effect.window.strength(self.at_s);
            if strength > 0.0 {
                let disturbed = healthy + (self.rng.between(effect.low, effect.high) - healthy) * strength;
                if (disturbed - healthy).abs() > (farthest - healthy).abs() {
                    farthest = disturbed;
                }
            }
        }
        farthest
    }

    /// How often something of this size in production happens here in one sampling, for a signal that is a factor.
    pub(crate) fn count(&mut self, entity: &str, factor: Signal, in_production: f64) -> f64 {
        let usual = in_production * self.env.traffic_share * self.rng.between(0.92, 1.08);
        let expected = usual * self.level(entity, factor, 1.0);
        self.rng.whole(expected)
    }

    /// A healthy latency: mostly near its base, one in twenty a good deal slower.
    pub(crate) fn latency_ms(&mut self, entity: &str, signal: Signal, base_ms: f64) -> f64 {
        let slow = self.rng.chance(0.05);
        let healthy = base_ms * if slow { self.rng.between(1.2, 2.4) } else { self.rng.between(0.6, 1.2) };
        self.level(entity, signal, healthy)
    }

    pub(crate) fn metric(&mut self, name: &str, value: f64, source: EventSource, labels: LabelPairs<'_>) {
        let ts_ms = self.ts_ms + self.rng.between_whole(-JITTER_MS_MAX, JITTER_MS_MAX);
        let env = self.env.name;
        self.events.event("metric", ts_ms, |line| {
            line.text("name", name).number("value", value);
            line.text_if_some("service", source.service).text_if_some("host", source.host);
            line.text("env", env).map("labels", labels);
        });
    }

    pub(crate) fn log(&mut self, severity: &str, body: &str, source: EventSource) {
        let ts_ms = self.ts_ms + self.rng.between_whole(-LOG_SPREAD_MS_MAX, LOG_SPREAD_MS_MAX);
        let trace = (severity == "ERROR").then(|| format!("{:016x}{:016x}", self.rng.bits(), self.rng.bits()));
        let env = self.env.name;
        self.events.event("log", ts_ms, |line| {
            line.text("severity", severity).text("body", body);
            line.text_if_some("service", source.service).text_if_some("host", source.host);
            line.text("env", env).text_if_some("trace_id", trace.as_deref());
        });
    }
}
