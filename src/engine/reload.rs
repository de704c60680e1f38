//! Other rules in a running engine. A rule that stays keeps its windows, its memory, its tick times and its alerts. A rule that
//! changed keeps its alerts, and its windows where they mean the same. The alerts of a rule that is gone end.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::lifecycle::RuleAlerts;
use crate::alert::{EndReason, Transition};
use crate::engine::core::{Engine, policy_of};
use crate::engine::next_rules::NextRules;
use crate::engine::teams::Teams;
use crate::incident::revision::Revision;
use crate::rule::Rule;
use crate::rule::definition::window_spec::WindowSpec;
use crate::window::time::rule_set_start::RuleSetStart;

impl Engine {
    pub(super) fn set_rules(&mut self, next: NextRules, revisions: &mut Vec<Revision>) {
        let start = self.rule_set_start();
        self.teams = Teams::of(&next.rules);
        let old = std::mem::replace(&mut self.evaluator, next.fresh);
        let before = (0..old.len()).map(|index| Arc::clone(old.rule(index))).zip(std::mem::take(&mut self.alerts));
        let mut before: BTreeMap<String, (Arc<Rule>, RuleAlerts)> =
            before.map(|(rule, alerts)| (rule.name().to_string(), (rule, alerts))).collect();
        match old.with_rules(next.rules.clone(), self.limits, start) {
            Ok(evaluator) => self.evaluator = evaluator,
            // `NextRules` has planned the same rules before: this cannot fail, and must not stop the engine.
            Err(error) => tracing::error!(%error, "the windows cannot be taken over: all rules start with empty ones"),
        }
        let kept = next.rules.iter().map(|rule| match before.remove(rule.name()) {
            Some((old, mut alerts)) => {
                alerts.set_policy(policy_of(rule, self.alerts_max), old.file.text != rule.file.text);
                alerts
            }
            None => RuleAlerts::new(policy_of(rule, self.alerts_max)),
        });
        self.alerts = kept.collect();
        for (index, rule) in next.rules.iter().enumerate() {
            if rule.front.window_spec == WindowSpec::Instant && self.alerts[index].pending_and_firing() != (0, 0) {
                self.evaluator.schedule_after(index, start.now);
            }
        }
        revisions.extend(self.end_alerts(before.into_values().map(|(_, alerts)| alerts)));
        self.advance(revisions);
    }

    /// The time at which rules start that are new now.
    pub(super) fn rule_set_start(&self) -> RuleSetStart {
        let start = self.watermark.rule_set_start();
        RuleSetStart { latest: start.latest.max(self.partitions.latest()), ..start }
    }

    /// Ends the alerts of rules that are gone, at the last instant handled. Yields what follows from that.
    pub(super) fn end_alerts(&mut self, gone: impl Iterator<Item = RuleAlerts>) -> Vec<Revision> {
        let ended: Vec<Transition> =
            gone.flat_map(|mut alerts| alerts.end_all(self.handled_until, EndReason::RuleRemoved)).collect();
        if ended.is_empty() { Vec::new() } else { self.apply(self.handled_until, ended) }
    }
}
