//! Other rules for an engine that runs: what goes on, goes on as if nothing had happened; what is gone, ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::DataFusionError;

use crate::alert::Transition;
use crate::alert::lifecycle::RuleAlerts;
use crate::engine::{Engine, EngineParams, policy_of};
use crate::incident::Revision;
use crate::rule::Rule;
use crate::rule::definition::window_spec::WindowSpec;
use crate::window::WindowLimits;
use crate::window::evaluator::{CostClock, Evaluator};
use crate::window::state::table_registry::Began;

/// How an evaluator is made of rules that are sorted by name.
type NewEvaluator = fn(Vec<Arc<Rule>>, WindowLimits, CostClock) -> Result<Evaluator, DataFusionError>;

/// Rules that an engine can take: everything that can fail was tried.
pub struct NextRules {
    /// Sorted by name.
    rules: Vec<Arc<Rule>>,
    /// The same rules over empty windows.
    fresh: Evaluator,
}

impl NextRules {
    /// Tries the rules with empty windows.
    pub fn new(rules: Vec<Rule>, params: &EngineParams) -> Result<Self, DataFusionError> {
        Self::of(rules.into_iter().map(Arc::new).collect(), params)
    }

    /// The same of rules that other engines have too.
    pub fn of(rules: Vec<Arc<Rule>>, params: &EngineParams) -> Result<Self, DataFusionError> {
        Self::over(rules, params, Evaluator::new)
    }

    /// The same for one who only counts.
    pub fn that_only_count(rules: Vec<Rule>, params: &EngineParams) -> Result<Self, DataFusionError> {
        Self::over(rules.into_iter().map(Arc::new).collect(), params, Evaluator::that_only_counts)
    }

    fn over(mut rules: Vec<Arc<Rule>>, params: &EngineParams, evaluator: NewEvaluator) -> Result<Self, DataFusionError> {
        rules.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(Self { fresh: evaluator(rules.clone(), params.limits, params.clock)?, rules })
    }

    /// The rules over empty windows.
    pub(crate) fn into_evaluator(self) -> Evaluator {
        self.fresh
    }
}

impl Engine {
    /// Goes on with other rules, between two batches. Batches after this hold the label columns of the new rules.
    ///
    /// A rule that stays keeps its windows, its memory, its tick times and its alerts. A rule that changed keeps its alerts, and
    /// its windows where they mean the same. The alerts of a rule that is gone end at the last instant handled.
    pub fn set_rules(&mut self, next: NextRules) -> Vec<Revision> {
        let began = self.began();
        let old = std::mem::replace(&mut self.evaluator, next.fresh);
        let names = (0..old.len()).map(|index| old.rule(index).name().to_string());
        let mut alerts: BTreeMap<String, RuleAlerts> = names.zip(std::mem::take(&mut self.alerts)).collect();
        match old.with_rules(next.rules.clone(), self.limits, began) {
            Ok(evaluator) => self.evaluator = evaluator,
            // The same was done a moment ago to the same rules: this cannot be, and must not stop the engine.
            Err(error) => tracing::error!(%error, "the windows cannot be taken over: all rules begin anew"),
        }
        let renewed = next.rules.iter().map(|rule| match alerts.remove(rule.name()) {
            Some(mut alerts) => {
                alerts.set_policy(policy_of(rule, self.alerts_max));
                alerts
            }
            None => RuleAlerts::new(policy_of(rule, self.alerts_max)),
        });
        self.alerts = renewed.collect();
        for (index, rule) in next.rules.iter().enumerate() {
            if rule.front.window_spec == WindowSpec::Instant && self.alerts[index].census() != (0, 0) {
                self.evaluator.again(index, began.now);
            }
        }
        let mut revisions = self.end_alerts(alerts.into_values());
        self.advance(&mut revisions);
        self.watch(&revisions);
        revisions
    }

    /// When rules begin that begin now.
    pub(crate) fn began(&self) -> Began {
        let began = self.watermark.began();
        Began { latest: began.latest.max(self.lanes.latest()), ..began }
    }

    /// The alerts of rules that are gone end at the last instant handled. Yields what follows from that.
    pub(crate) fn end_alerts(&mut self, gone: impl Iterator<Item = RuleAlerts>) -> Vec<Revision> {
        let ended: Vec<Transition> = gone.flat_map(|alerts| alerts.end_all(self.handled)).collect();
        if ended.is_empty() { Vec::new() } else { self.apply(self.handled, ended) }
    }
}
