//! The figures of decoding and of the engine as of the last batch. The engine's thread renews them and never waits for a reader.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Engine, EngineStats};
use crate::io::decode::unknown_words::UnknownWord;
use crate::process::pipeline::progress::Progress;
use crate::topology::live::TopologySize;

/// The figures.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) engine: EngineStats,
    pub(super) rules: Vec<RuleSnapshot>,
    pub(super) alerts_pending: usize,
    pub(super) alerts_firing: usize,
    pub(super) incidents_open: usize,
    /// Groups, panes and bytes of all windows.
    pub(super) windows: (usize, usize, usize),
    pub(super) topology: TopologySize,
    pub(super) watermark_ms: Option<i64>,
    pub(super) sources: usize,
    /// The slowest source, and how far it lags.
    pub(super) slowest: Option<(String, i64)>,
    /// The last message taken in.
    pub(super) sequence: u64,
    /// Rejected events by reason.
    pub(super) rejected: BTreeMap<&'static str, u64>,
    /// Words of other systems' alerts that are not known.
    pub(super) unknown_words: Arc<BTreeMap<UnknownWord, u64>>,
    /// Time spent in each stage.
    pub(super) stages: BTreeMap<&'static str, Duration>,
}

/// The figures of one rule.
#[derive(Clone, Debug)]
pub(super) struct RuleSnapshot {
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) evaluations: u64,
    pub(super) breaches: u64,
    pub(super) dropped: [(&'static str, u64); 5],
    pub(super) errors: u64,
    pub(super) quarantines: u64,
    pub(super) quarantined: Option<String>,
    pub(super) spent_ns: u64,
}

impl Snapshot {
    /// Takes over how far reading and decoding have come.
    pub fn set_progress(&mut self, progress: Progress) {
        (self.sequence, self.rejected) = (progress.sequence, progress.rejected);
        self.unknown_words = progress.unknown_words;
        self.stages.insert("decode", progress.decoding);
    }

    /// Adds time spent in a stage.
    pub fn add_stage(&mut self, stage: &'static str, took: Duration) {
        *self.stages.entry(stage).or_default() += took;
    }

    /// Takes over the figures of the engine.
    pub fn set_engine(&mut self, engine: &Engine) {
        self.engine = engine.stats();
        (self.alerts_pending, self.alerts_firing) = engine.alerts_pending_and_firing();
        self.incidents_open = engine.open_incidents();
        self.windows = engine.window_size();
        self.topology = engine.topology_size();
        self.watermark_ms = engine.watermark();
        let (sources, slowest) = engine.sources();
        self.sources = sources;
        self.slowest = slowest.map(|(name, lag_ms)| (name.to_string(), lag_ms));
        let rules = engine.rules().enumerate().map(|(index, (rule, stats, alerts))| RuleSnapshot {
            name: rule.name().to_string(),
            rows: stats.rows,
            evaluations: stats.ticks,
            breaches: stats.breaches,
            dropped: [
                ("late", stats.late),
                ("group_limit", stats.overflow),
                ("alert_limit", alerts.over_limit),
                ("same_labels", alerts.same_labels),
                ("bad_severity", alerts.bad_severity),
            ],
            errors: stats.errors,
            quarantines: stats.quarantines,
            quarantined: engine.evaluator().quarantine(index).map(|quarantine| quarantine.reason.clone()),
            spent_ns: stats.spent_ns,
        });
        self.rules = rules.collect();
    }
}
