//! Rules that a running engine can take over: everything that can fail was tried before.

use std::fmt;
use std::sync::Arc;

use datafusion::common::DataFusionError;

use crate::engine::params::EngineParams;
use crate::rule::Rule;
use crate::window::evaluator::Evaluator;
use crate::window::limits::WindowLimits;
use crate::window::rule_stats::CostClock;

/// How an evaluator is made of rules that are sorted by name.
type NewEvaluator = fn(Vec<Arc<Rule>>, WindowLimits, CostClock) -> Result<Evaluator, DataFusionError>;

/// Rules that an engine can take over without failing.
pub struct NextRules {
    /// Sorted by name.
    pub(super) rules: Vec<Arc<Rule>>,
    /// The same rules over empty windows.
    pub(super) fresh: Evaluator,
}

impl fmt::Debug for NextRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rules.iter().map(|rule| rule.name())).finish()
    }
}

impl NextRules {
    /// Plans the rules over empty windows.
    pub fn new(rules: Vec<Rule>, params: &EngineParams) -> Result<Self, DataFusionError> {
        Self::of(rules.into_iter().map(Arc::new).collect(), params)
    }

    /// The same of shared rules.
    pub fn of(rules: Vec<Arc<Rule>>, params: &EngineParams) -> Result<Self, DataFusionError> {
        Self::over(rules, params, Evaluator::new)
    }

    /// The same for a worker that only counts.
    pub fn that_only_count(rules: Vec<Rule>, params: &EngineParams) -> Result<Self, DataFusionError> {
        Self::over(rules.into_iter().map(Arc::new).collect(), params, Evaluator::counter)
    }

    fn over(mut rules: Vec<Arc<Rule>>, params: &EngineParams, evaluator: NewEvaluator) -> Result<Self, DataFusionError> {
        rules.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(Self { fresh: evaluator(rules.clone(), params.limits, params.clock)?, rules })
    }

    /// The rules over empty windows.
    pub(super) fn into_evaluator(self) -> Evaluator {
        self.fresh
    }
}
