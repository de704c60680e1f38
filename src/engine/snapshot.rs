//! The whole engine as bytes, and back: a restart goes on as if nothing had happened.
//!
//! The snapshot holds what followed from events: windows, alerts, incidents, how far time has come. It does not hold what a person
//! set (rules, topology, settings): an engine is built from that first, and takes over the snapshot as far as it still applies.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::external::ExternalAlertsSnapshot;
use crate::alert::lifecycle::{AlertPolicy, RuleAlerts, RuleAlertsSnapshot};
use crate::engine::core::{Engine, policy_of};
use crate::engine::params::EngineStats;
use crate::engine::partial::partition_merge::PartitionMergeSnapshot;
use crate::incident::invariants::Invariants;
use crate::incident::revision::Revision;
use crate::incident::store::snapshot::IncidentStoreSnapshot;
use crate::model::command::Command;
use crate::model::event::ExternalAlert;
use crate::model::severity::Severity;
use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::versioned::{RestoreError, StateFormat};
use crate::model::snapshot::{LoadedSnapshot, StateSnapshot};
use crate::model::time::TimestampMs;
use crate::rule::definition::window_spec::WindowSpec;
use crate::topology::live::LiveTopologySnapshot;
use crate::window::time::watermark::{EventTime, Watermark};

/// Bytes of another version are refused.
const FORMAT: StateFormat = StateFormat { magic: *b"squelchE", version: 7 };

#[derive(Serialize, Deserialize)]
struct EngineSnapshot {
    /// The head of the windows.
    windows: Blob,
    watermark: EventTime,
    sources: Vec<String>,
    partitions: PartitionMergeSnapshot,
    /// By the name of the rule.
    alerts: BTreeMap<String, RuleAlertsSnapshot>,
    external: ExternalAlertsSnapshot,
    awaited_alerts: Vec<ExternalAlert>,
    topology: LiveTopologySnapshot,
    incidents: IncidentStoreSnapshot,
    handled_until: TimestampMs,
    stats: EngineStats,
    waiting_commands: Vec<Command>,
}

impl Engine {
    /// The state so far, for [`Self::restore`]. The engine goes on unchanged.
    ///
    /// # Errors
    ///
    /// Windows that cannot be written: a defect.
    pub fn save(&mut self) -> Result<StateSnapshot, RestoreError> {
        let StateSnapshot { head: windows, chunks } = self.evaluator.save()?;
        let names = (0..self.evaluator.len()).map(|index| self.evaluator.rule(index).name().to_string());
        let saved = EngineSnapshot {
            windows: Blob(windows),
            watermark: self.watermark.save(),
            sources: self.sources.to_vec(),
            partitions: self.partitions.save(),
            alerts: names.zip(self.alerts.iter().map(RuleAlerts::save)).collect(),
            external: self.external.save(),
            awaited_alerts: self.awaited_alerts.values().cloned().collect(),
            topology: self.topology.save(),
            incidents: self.incidents.save(),
            handled_until: self.handled_until,
            stats: self.stats,
            waiting_commands: self.waiting_commands.clone(),
        };
        Ok(StateSnapshot { head: FORMAT.encode(&saved)?, chunks })
    }

    /// Fills an engine without history. Yields what follows from rules that are gone: their alerts end.
    ///
    /// # Errors
    ///
    /// The bytes are something else, of another version, or damaged; then the engine is of no more use.
    pub fn restore(&mut self, found: &LoadedSnapshot) -> Result<Vec<Revision>, RestoreError> {
        // Arrow's reader, and sums of damaged times, answer some damage with a panic. Nothing of this engine is used after one.
        let whole = catch_unwind(AssertUnwindSafe(|| self.restore_whole(found)));
        whole.unwrap_or_else(|_| Err(RestoreError::Damaged("what they say cannot be".into())))
    }

    fn restore_whole(&mut self, found: &LoadedSnapshot) -> Result<Vec<Revision>, RestoreError> {
        let saved: EngineSnapshot = FORMAT.decode(&found.head)?;
        self.watermark = Watermark::restore(self.watermark.params(), saved.watermark);
        self.sources = Arc::new(saved.sources);
        self.partitions.restore(saved.partitions, &self.sources);
        let start = self.rule_set_start();
        let now = start.now;
        let windows = LoadedSnapshot { head: saved.windows.0, chunks: found.chunks.clone() };
        self.evaluator.restore(&windows, start)?;
        self.external.restore(saved.external);
        saved.awaited_alerts.into_iter().for_each(|alert| self.await_alert(alert));
        self.topology.restore(saved.topology);
        self.incidents.set_topology(now, Arc::clone(self.topology.current()));
        self.incidents.restore(now, saved.incidents);
        (self.handled_until, self.stats) = (saved.handled_until, saved.stats);
        self.waiting_commands = saved.waiting_commands;
        let mut gone = saved.alerts;
        for index in 0..self.evaluator.len() {
            let rule = Arc::clone(self.evaluator.rule(index));
            if let Some(saved) = gone.remove(rule.name()) {
                self.alerts[index] = RuleAlerts::restore(policy_of(&rule, self.alerts_max), saved);
            }
            if rule.front.window_spec == WindowSpec::Instant
                && self.alerts[index].pending_and_firing() != (0, 0)
                && !self.evaluator.is_scheduled(index)
            {
                self.evaluator.schedule_after(index, now);
            }
        }
        self.invariants = Invariants::after_restart();
        // The policy of a rule that is gone decides nothing any more.
        let left =
            |(name, saved): (String, RuleAlertsSnapshot)| RuleAlerts::restore(AlertPolicy::new(&name, Severity::Info), saved);
        let revisions = self.end_alerts(gone.into_iter().map(left));
        self.check_invariants(&revisions);
        Ok(revisions)
    }
}
