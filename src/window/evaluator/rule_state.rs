//! One rule of the evaluator: the tables that it reads, its detector, its counts and its quarantine.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};

use crate::model::limits::QUARANTINE_MS;
use crate::model::time::TimestampMs;
use crate::rule::Rule;
use crate::rule::definition::output_columns::Breach;
use crate::rule::definition::window_spec::WindowSpec;
use crate::window::detector::Detector;
use crate::window::quarantine::Quarantine;
use crate::window::rule_stats::RuleStats;
use crate::window::state::ingest_counts::IngestCounts;
use crate::window::state::leaf_window::LeafWindow;

/// A rule and its state.
#[derive(Debug)]
pub(crate) struct RuleState {
    pub(crate) rule: Arc<Rule>,
    /// What each leaf of its plan reads.
    pub(crate) leaves: Vec<LeafWindow>,
    /// From when on its windows are complete; the earliest instant for a rule that is there from the first event.
    pub(crate) complete_since: TimestampMs,
    pub(crate) stats: RuleStats,
    pub(crate) last_error: Option<String>,
    pub(crate) detector: Option<Detector>,
    pub(crate) quarantine: Option<Quarantine>,
}

impl RuleState {
    pub(crate) fn new(rule: Arc<Rule>) -> Self {
        let detector = Detector::new(&rule.front);
        Self {
            rule,
            leaves: Vec::new(),
            complete_since: TimestampMs::MIN,
            stats: RuleStats::default(),
            last_error: None,
            detector,
            quarantine: None,
        }
    }

    /// Whether it is about single events.
    pub(crate) fn is_instant(&self) -> bool {
        self.rule.front.window_spec == WindowSpec::Instant
    }

    /// Counts rows that one of its tables took in.
    pub(crate) fn count_ingested(&mut self, ingested: &Result<IngestCounts>) {
        match ingested {
            Ok(counts) => {
                self.stats.rows += counts.rows;
                self.stats.late += counts.late;
                self.stats.overflow += counts.overflow;
            }
            Err(error) => self.count_error(error),
        }
    }

    pub(crate) fn count_error(&mut self, error: &DataFusionError) {
        self.stats.errors += 1;
        if self.last_error.is_none() {
            tracing::warn!(rule = self.rule.name(), %error, "the rule fails on some rows; further failures are only counted");
        }
        self.last_error = Some(error.strip_backtrace());
    }

    /// Which rows of an evaluation are breaches.
    pub(crate) fn detect(&mut self, at: TimestampMs, rows: Vec<Breach>) -> Vec<Breach> {
        let mut breaches = match &mut self.detector {
            Some(detector) => {
                let before = detector.overflow();
                let breaches = detector.detect(at, rows);
                self.stats.overflow += detector.overflow() - before;
                breaches
            }
            None => rows,
        };
        if self.is_instant() {
            // Events of one second with the same labels are one alert: that of the first event.
            let mut seen = BTreeSet::new();
            breaches.retain(|breach| seen.insert(breach.labels.clone()));
        }
        if let Some(active) = &self.rule.active {
            breaches.retain(|breach| active.contains(breach.ts));
        }
        breaches
    }

    /// Begins a quarantine.
    pub(crate) fn quarantine_until(&mut self, until: TimestampMs, reason: &str) {
        tracing::error!(
            rule = self.rule.name(),
            reason,
            "the rule is quarantined: it is not evaluated for {} minutes, then begins with empty windows",
            QUARANTINE_MS / 60_000
        );
        self.stats.quarantines += 1;
        self.quarantine = Some(Quarantine { until, reason: reason.to_string() });
    }

    /// Whether the state of `old`'s detector means the same for this rule.
    pub(crate) fn detects_like(&self, old: &Self) -> bool {
        let times = |state: &Self| (state.rule.front.window_spec, state.rule.front.window_ms, state.rule.front.time_zone);
        let sql = |state: &Self| state.rule.file.sql().trim_start().to_string();
        self.rule.front.detector == old.rule.front.detector && times(self) == times(old) && sql(self) == sql(old)
    }
}
