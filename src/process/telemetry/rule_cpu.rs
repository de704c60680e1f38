//! Finds rules that take more processor time than they may. The engine reads no clock; that a rule is quarantined is an input.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The time over which a rule's share is taken.
const OVER: Duration = Duration::from_secs(60);
/// How often it is checked.
const EVERY: Duration = Duration::from_secs(1);

/// Watches which rules take more than their share of one core.
#[derive(Debug)]
pub struct CpuWatch {
    /// Nanoseconds that a rule may take within [`OVER`].
    allowed_ns: u64,
    /// What each rule had taken, at each check of the last minute.
    checks: VecDeque<(u64, BTreeMap<String, u64>)>,
}

impl CpuWatch {
    /// Allows each rule this share of one core.
    pub fn new(share: f64) -> Self {
        Self { allowed_ns: (share * OVER.as_nanos() as f64) as u64, checks: VecDeque::new() }
    }

    /// Whether it is time to check again.
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.checks.back().is_none_or(|(at, _)| now_ns.saturating_sub(*at) >= EVERY.as_nanos() as u64)
    }

    /// Takes what each rule has taken since the start, and returns those that took more than their share since a minute ago.
    pub fn over_share<'r>(&mut self, now_ns: u64, spent: impl Iterator<Item = (&'r str, u64)>) -> Vec<String> {
        let now: BTreeMap<String, u64> = spent.map(|(rule, ns)| (rule.to_string(), ns)).collect();
        let oldest = now_ns.saturating_sub(OVER.as_nanos() as u64);
        while self.checks.front().is_some_and(|(at, _)| *at < oldest) {
            self.checks.pop_front();
        }
        let mut offenders = Vec::new();
        if let Some((_, before)) = self.checks.front() {
            let taken = |rule: &String, ns: &u64| ns.saturating_sub(before.get(rule).copied().unwrap_or(0));
            offenders = now.iter().filter(|(rule, ns)| taken(rule, ns) > self.allowed_ns).map(|(rule, _)| rule.clone()).collect();
        }
        // What it took until now has had its consequence.
        for rule in &offenders {
            for (_, before) in &mut self.checks {
                before.insert(rule.clone(), now[rule]);
            }
        }
        self.checks.push_back((now_ns, now));
        offenders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_rule_over_its_share_of_a_minute_is_named_once() {
        let mut watch = CpuWatch::new(0.5);
        let mut named = Vec::new();
        for second in 0..120 {
            assert!(watch.is_due(second * SECOND));
            let spent = [("hungry", second * SECOND * 8 / 10), ("modest", second * SECOND * 4 / 10)];
            named.extend(watch.over_share(second * SECOND, spent.into_iter()).into_iter().map(|rule| (rule, second)));
        }
        // 30 seconds' worth of work are reached after 38 seconds at 0.8, and again so long after that.
        assert_eq!(named, [("hungry".to_string(), 38), ("hungry".to_string(), 76), ("hungry".to_string(), 114)]);
    }

    #[test]
    fn time_before_the_last_minute_does_not_count() {
        let mut watch = CpuWatch::new(0.5);
        for second in 0..300 {
            let spent = if second < 200 { second * 4 / 10 } else { 80 + (second - 200) * 6 / 10 };
            let named = watch.over_share(second * SECOND, [("rule", spent * SECOND)].into_iter());
            assert!(named.is_empty() || second > 230, "{second}");
        }
        assert!(!watch.is_due(299 * SECOND + SECOND / 2));
    }
}
