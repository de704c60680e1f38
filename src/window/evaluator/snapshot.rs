//! All windows, detectors and counts as a snapshot, and back.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::model::snapshot::versioned::{RestoreError, StateFormat};
use crate::model::snapshot::{LoadedSnapshot, StateSnapshot};
use crate::model::time::TimestampMs;
use crate::rule::plan::stream_scan::Leaf;
use crate::window::detector::Detector;
use crate::window::evaluator::Evaluator;
use crate::window::quarantine::Quarantine;
use crate::window::rule_stats::RuleStats;
use crate::window::state::table_registry::snapshot::RegistrySnapshot;
use crate::window::time::rule_set_start::RuleSetStart;

const FORMAT: StateFormat = StateFormat { magic: *b"squelchW", version: 4 };

/// The head of the snapshot.
#[derive(Serialize, Deserialize)]
struct EvaluatorSnapshot {
    started: bool,
    rules: Vec<RuleSnapshot>,
    registry: RegistrySnapshot,
}

/// A rule without its tables.
#[derive(Serialize, Deserialize)]
struct RuleSnapshot {
    name: String,
    /// The whole file: a rule with another text is another rule.
    text: String,
    next_ticks: Vec<TimestampMs>,
    complete_since: TimestampMs,
    stats: RuleStats,
    detector: Option<Detector>,
    quarantine: Option<Quarantine>,
}

impl Evaluator {
    /// The state of the evaluator, which goes on unchanged.
    ///
    /// # Errors
    ///
    /// A state that cannot be written as Arrow: a defect.
    pub fn save(&mut self) -> Result<StateSnapshot, RestoreError> {
        let rules = self.rules.iter().enumerate().map(|(index, state)| RuleSnapshot {
            name: state.rule.name().into(),
            text: state.rule.file.text.to_string(),
            next_ticks: self.schedule.of(index).collect(),
            complete_since: state.complete_since,
            stats: state.stats,
            detector: state.detector.clone(),
            quarantine: state.quarantine.clone(),
        });
        let rules = rules.collect();
        let (registry, chunks) = RegistrySnapshot::of(&mut self.registry)?;
        let head = EvaluatorSnapshot { started: self.started, rules, registry };
        Ok(StateSnapshot { head: FORMAT.encode(&head)?, chunks })
    }

    /// Fills an evaluator that has seen nothing. Rules that are the same go on as if nothing had happened; one that is new or has
    /// another text starts with the tick after `start.now`.
    ///
    /// # Errors
    ///
    /// The snapshot is something else, of another version, or damaged. The evaluator is then unusable.
    pub fn restore(&mut self, snapshot: &LoadedSnapshot, start: RuleSetStart) -> Result<(), RestoreError> {
        let head: EvaluatorSnapshot = FORMAT.decode(&snapshot.head)?;
        let leaves: Vec<&Leaf> = self.rules.iter().flat_map(|state| &state.rule.plan.leaves).collect();
        let limits = self.registry.limits();
        let mut registry = head.registry.restore(&snapshot.chunks, &leaves, limits)?.detach_all(limits, start);
        registry.role = self.registry.role;
        let rules = self.rules.iter().map(|state| Arc::clone(&state.rule)).collect();
        let damaged = |error: DataFusionError| RestoreError::Damaged(error.strip_backtrace());
        *self = Self::over(registry, rules, self.clock).map_err(damaged)?;
        if head.started {
            self.start(start.now);
            self.update_completeness();
        }
        for old in head.rules {
            let Some(index) = self.rules.iter().position(|state| state.rule.name() == old.name) else { continue };
            let state = &mut self.rules[index];
            state.stats = old.stats;
            if *state.rule.file.text == *old.text {
                (state.detector, state.quarantine) = (old.detector, old.quarantine);
                state.complete_since = old.complete_since;
                self.schedule.set(index, &old.next_ticks);
            }
        }
        Ok(())
    }
}
