//! What windows and rules hold, saved for a restart and taken over after it.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::model::snapshot::{Found, Saved as State};
use crate::model::time::TimestampMs;
use crate::rule::plan::stream_scan::Leaf;
use crate::window::detector::Judge;
use crate::window::evaluator::{Evaluator, Quarantine, RuleStats};
use crate::window::snapshot::{RestoreError, Saved};
use crate::window::state::table_registry::Began;

/// What is kept of a rule besides its windows.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedRule {
    name: String,
    /// The whole file: a rule with another text is another rule.
    text: String,
    next_ticks: Vec<TimestampMs>,
    since: TimestampMs,
    stats: RuleStats,
    judge: Option<Judge>,
    quarantine: Option<Quarantine>,
}

impl Evaluator {
    /// The state of all windows, for [`Self::restore`]. The evaluator goes on unchanged.
    ///
    /// # Errors
    ///
    /// A state that cannot be written as Arrow: a defect.
    pub fn save(&mut self) -> Result<State, RestoreError> {
        let rules = self.rules.iter().enumerate().map(|(index, evaluated)| SavedRule {
            name: evaluated.rule.name().into(),
            text: evaluated.rule.file.text.to_string(),
            next_ticks: self.schedule.of(index).collect(),
            since: evaluated.since,
            stats: evaluated.stats,
            judge: evaluated.judge.clone(),
            quarantine: evaluated.quarantine.clone(),
        });
        let (head, pieces) = Saved::new(&mut self.tables, rules.collect(), self.started)?;
        Ok(State { head: head.to_bytes()?, pieces })
    }

    /// Fills an evaluator that has seen nothing with what was saved. Rules that are the same go on as if nothing had happened; one
    /// that is new or has another text starts with the tick after `began.now`.
    ///
    /// # Errors
    ///
    /// The bytes are something else, of another version, or damaged; then the evaluator is of no more use.
    pub fn restore(&mut self, found: &Found, began: Began) -> Result<(), RestoreError> {
        let saved = Saved::from_bytes(&found.head)?;
        let leaves: Vec<&Leaf> = self.rules.iter().flat_map(|rule| &rule.rule.plan.leaves).collect();
        let limits = self.tables.limits();
        let mut tables = saved.tables(&found.pieces, &leaves, limits)?.left_by_all(limits, began);
        tables.counting = self.tables.counting;
        let rules = self.rules.iter().map(|rule| Arc::clone(&rule.rule)).collect();
        let refused = |error: DataFusionError| RestoreError::Damaged(error.strip_backtrace());
        *self = Self::over(tables, rules, self.clock).map_err(refused)?;
        if saved.started {
            self.start(began.now);
            self.know_since_tables();
        }
        for old in saved.rules {
            let Some(index) = self.rules.iter().position(|rule| rule.rule.name() == old.name) else { continue };
            let evaluated = &mut self.rules[index];
            evaluated.stats = old.stats;
            if *evaluated.rule.file.text == *old.text {
                (evaluated.judge, evaluated.quarantine, evaluated.since) = (old.judge, old.quarantine, old.since);
                self.schedule.set(index, &old.next_ticks);
            }
        }
        Ok(())
    }
}
