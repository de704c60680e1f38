//! What an operator sets for the engine, and what the engine counts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::external_entity::EntityLabels;
use crate::incident::correlation_params::CorrelationParams;
use crate::incident::notify::NotifyParams;
use crate::incident::store::IncidentCounts;
use crate::model::event::LabelKeys;
use crate::model::limits::ALERTS_PER_RULE_MAX;
use crate::model::local_time::Zone;
use crate::model::signal::mapping::SignalMapping;
use crate::topology::learn::LearnParams;
use crate::window::limits::WindowLimits;
use crate::window::rule_stats::CostClock;

/// What the engine is set to. Times in milliseconds of event time.
#[derive(Clone, Debug)]
pub struct EngineParams {
    /// How much later than the latest event an event may come.
    pub lateness_ms: i64,
    /// After how long a source that sends nothing is not waited for.
    pub idle_ms: i64,
    /// How far a source that lags behind the others may hold time back; 0 for not at all.
    pub source_wait_ms: i64,
    /// After how long another system's alert counts as resolved if nothing is heard of it.
    pub external_expiry_ms: i64,
    /// Which labels of another system's alert name its entity.
    pub external_entity: EntityLabels,
    /// How alerts are tied.
    pub correlation: CorrelationParams,
    /// When people are told.
    pub notify: NotifyParams,
    /// What is learned of the topology.
    pub learn: LearnParams,
    /// What series are signals; the mapping that ships, where none is set.
    pub signals: Option<Arc<SignalMapping>>,
    /// What one rule may hold.
    pub limits: WindowLimits,
    /// Alerts that one rule may have at once.
    pub alerts_max: usize,
    /// The time zone of rules that name none.
    pub time_zone: Zone,
    /// Measures what rules cost; no result depends on it.
    pub clock: CostClock,
}

impl Default for EngineParams {
    fn default() -> Self {
        Self {
            lateness_ms: 10_000,
            idle_ms: 30_000,
            source_wait_ms: 30_000,
            external_expiry_ms: 4 * 3_600_000,
            external_entity: EntityLabels::default(),
            correlation: CorrelationParams::default(),
            notify: NotifyParams::default(),
            learn: LearnParams::default(),
            signals: None,
            limits: WindowLimits::default(),
            alerts_max: ALERTS_PER_RULE_MAX,
            time_zone: Zone::default(),
            clock: || 0,
        }
    }
}

impl EngineParams {
    /// Adds to the labels that rules read what the topology and the signals need of events.
    pub fn add_label_keys(&self, keys: &mut LabelKeys) {
        self.learn.add_label_keys(keys);
        if let Some(mapping) = &self.signals {
            keys.set_mapping(Arc::clone(mapping));
        }
    }
}

/// What the engine has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStats {
    /// Events taken in.
    pub events: u64,
    /// Messages taken in.
    pub messages: u64,
    /// Alerts of other systems that came later than the allowed lateness; they count from when they came.
    pub late_alerts: u64,
    /// What became of incidents.
    pub book: IncidentCounts,
}
