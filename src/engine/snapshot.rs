//! The whole engine as bytes, and back: a restart goes on as if nothing had happened.
//!
//! What is saved is what the events told: windows, alerts, incidents, how far time has come. What a person set (rules, topology,
//! settings) is not: an engine is made of that first, and takes over what was saved as far as it still means something.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::external::SavedExternalAlerts;
use crate::alert::lifecycle::{AlertPolicy, RuleAlerts, SavedAlerts};
use crate::engine::partial::partition_merge::SavedLanes;
use crate::engine::{Engine, EngineStats, policy_of};
use crate::incident::Revision;
use crate::incident::invariants::Invariants;
use crate::incident::store::snapshot::IncidentStoreSnapshot;
use crate::model::event::ExternalAlert;
use crate::model::severity::Severity;
use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::{Found, Saved as State};
use crate::model::time::TimestampMs;
use crate::rule::definition::window_spec::WindowSpec;
use crate::topology::live::SavedTopology;
use crate::window::snapshot::RestoreError;
use crate::window::snapshot::versioned::Form;
use crate::window::time::watermark::{SavedWatermark, Watermark};

/// The form of the bytes. A form that is not this one is refused.
const FORM: Form = Form { magic: *b"squelchE", version: 4 };

#[derive(Serialize, Deserialize)]
struct Saved {
    /// The head of the windows.
    windows: Blob,
    watermark: SavedWatermark,
    sources: Vec<String>,
    lanes: SavedLanes,
    /// By the name of the rule.
    alerts: BTreeMap<String, SavedAlerts>,
    external: SavedExternalAlerts,
    awaited: Vec<ExternalAlert>,
    topology: SavedTopology,
    book: IncidentStoreSnapshot,
    handled: TimestampMs,
    stats: EngineStats,
}

impl Engine {
    /// All that the events told so far, for [`Self::restore`]. The engine goes on unchanged.
    ///
    /// # Errors
    ///
    /// Windows that cannot be written: a defect.
    pub fn save(&mut self) -> Result<State, RestoreError> {
        let State { head: windows, pieces } = self.evaluator.save()?;
        let names = (0..self.evaluator.len()).map(|index| self.evaluator.rule(index).name().to_string());
        let saved = Saved {
            windows: Blob(windows),
            watermark: self.watermark.save(),
            sources: self.sources.to_vec(),
            lanes: self.lanes.save(),
            alerts: names.zip(self.alerts.iter().map(RuleAlerts::save)).collect(),
            external: self.external.save(),
            awaited: self.awaited.values().cloned().collect(),
            topology: self.topology.save(),
            book: self.book.save(),
            handled: self.handled,
            stats: self.stats,
        };
        Ok(State { head: FORM.to_bytes(&saved)?, pieces })
    }

    /// Fills an engine that has seen nothing. Yields what follows from rules that are gone: their alerts end.
    ///
    /// # Errors
    ///
    /// The bytes are something else, of another version, or damaged; then the engine is of no more use.
    pub fn restore(&mut self, found: &Found) -> Result<Vec<Revision>, RestoreError> {
        // Arrow's reader and what adds up damaged times answer some of what is wrong with a panic; nothing outlives it here.
        let whole = catch_unwind(AssertUnwindSafe(|| self.restore_whole(found)));
        whole.unwrap_or_else(|_| Err(RestoreError::Damaged("what they say cannot be".into())))
    }

    fn restore_whole(&mut self, found: &Found) -> Result<Vec<Revision>, RestoreError> {
        let saved: Saved = FORM.from_bytes(&found.head)?;
        self.watermark = Watermark::restore(self.watermark.params(), saved.watermark);
        self.sources = Arc::new(saved.sources);
        self.lanes.restore(saved.lanes, &self.sources);
        let began = self.began();
        let now = began.now;
        let windows = Found { head: saved.windows.0, pieces: found.pieces.clone() };
        self.evaluator.restore(&windows, began)?;
        self.external.restore(saved.external);
        saved.awaited.into_iter().for_each(|alert| self.await_alert(alert));
        self.topology.restore(saved.topology);
        self.book.set_topology(now, Arc::clone(self.topology.current()));
        self.book.restore(now, saved.book);
        (self.handled, self.stats) = (saved.handled, saved.stats);
        let mut gone = saved.alerts;
        for index in 0..self.evaluator.len() {
            let rule = Arc::clone(self.evaluator.rule(index));
            if let Some(saved) = gone.remove(rule.name()) {
                self.alerts[index] = RuleAlerts::restore(policy_of(&rule, self.alerts_max), saved);
            }
            if rule.front.window_spec == WindowSpec::Instant
                && self.alerts[index].census() != (0, 0)
                && !self.evaluator.is_scheduled(index)
            {
                self.evaluator.again(index, now);
            }
        }
        self.invariants = Invariants::after_restart();
        // The policy of a rule that is gone decides nothing any more.
        let left = |(name, saved): (String, SavedAlerts)| RuleAlerts::restore(AlertPolicy::new(&name, Severity::Info), saved);
        let revisions = self.end_alerts(gone.into_iter().map(left));
        self.watch(&revisions);
        Ok(revisions)
    }
}
