//! What people know of one incident, and what the next revision adds to it.
//!
//! What is new for a person is a fault that no notification named: an entity that fails, or a rule at least as severe as the incident. Which
//! entities and rules were named is kept with the alerts ([`crate::incident::store`]); here is when that matters.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::incident::handling::Acknowledgement;
use crate::incident::id::IncidentId;
use crate::incident::notify::NotifyParams;
use crate::incident::notify::decision::{Decision, NewFault};
use crate::incident::silence::SilenceNotice;
use crate::incident::status::Status;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// Reopenings are counted over this long.
const FLAP_OVER_MS: i64 = 3_600_000;

/// What people know of an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotifyState {
    wait_until: TimestampMs,
    /// The first notification was held for a dependency already.
    held: bool,
    last: Option<LastNotified>,
    reopened_at: Vec<TimestampMs>,
    /// Flapping: neither end nor return is notified until it gets worse or something else fails.
    muted: bool,
    /// It fires again, and that was not notified yet.
    reopened_unnotified: bool,
    /// A critical alert joined that nothing ties to what was notified but its entity.
    unrelated: bool,
    /// Somebody takes care of it.
    acknowledged: Option<Acknowledgement>,
    /// What kept people from being notified is over, and nobody was notified since.
    lapsed: Option<Lapsed>,
}

/// What ended by itself although the incident fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Lapsed {
    /// Somebody's silence.
    Silence(Arc<str>),
    /// Somebody's acknowledgement.
    Acknowledgement(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LastNotified {
    at: TimestampMs,
    severity: Severity,
    cause: Option<Arc<str>>,
    alerts: u64,
    status: Status,
}

/// What an incident is like at one instant.
#[derive(Clone, Debug)]
pub struct NotifyFacts<'a> {
    /// Now.
    pub at: TimestampMs,
    /// Where the incident is in its life.
    pub status: Status,
    /// Its severity.
    pub severity: Severity,
    /// Its likeliest cause.
    pub cause: Option<&'a Arc<str>>,
    /// How many entities fail that no notification named.
    pub new_entities: usize,
    /// The worst rule that fires, is at least as severe as the incident, and was named by no notification.
    pub new_fault: Option<NewFault>,
    /// How many alerts it ever had.
    pub alerts: u64,
    /// Why nobody knows that all is well, where its alerts ended for another reason than recovery.
    pub ended_unknown: Option<Arc<str>>,
    /// What may be failing and would explain it: a dependency, and who depends on it.
    pub held_by: Option<(Arc<str>, Arc<str>)>,
    /// The incident that goes on, where this one was merged.
    pub merged_into: Option<IncidentId>,
    /// Where everything that fires is silenced: by the silence that ends first.
    pub silenced: Option<SilenceNotice>,
}

impl NotifyState {
    /// Nobody knows of the incident that opens at `at`.
    pub fn new(params: &NotifyParams, at: TimestampMs) -> Self {
        Self { wait_until: at + params.wait_ms, ..Self::default() }
    }

    /// The incident was resolved at `resolved_at` and fires again.
    pub fn reopened(&mut self, params: &NotifyParams, resolved_at: TimestampMs, at: TimestampMs) {
        self.reopened_at.retain(|then| at - then < FLAP_OVER_MS);
        if at - resolved_at <= params.flap_within_ms {
            self.reopened_at.push(at);
        }
        self.muted = self.reopened_at.len() >= params.flaps;
        self.reopened_unnotified = true;
        (self.acknowledged, self.lapsed) = (None, None);
        if self.last.is_none() {
            (self.wait_until, self.held) = (at + params.wait_ms, false);
        }
    }

    /// A critical alert joined long after anything else did, and nothing but its entity ties it: people are not to wait for it.
    pub fn joined_unrelated(&mut self) {
        self.unrelated = self.last.is_some();
    }

    /// Somebody takes care of the incident, and so knows it as it is now.
    pub fn acknowledge(&mut self, facts: &NotifyFacts<'_>, acknowledgement: Acknowledgement) {
        self.acknowledged = Some(acknowledgement);
        self.know(facts);
    }

    /// Who takes care of the incident.
    pub fn acknowledged(&self) -> Option<&Acknowledgement> {
        self.acknowledged.as_ref()
    }

    /// Nobody takes care of it after all. Yields who did.
    pub fn unacknowledge(&mut self) -> Option<Acknowledgement> {
        self.acknowledged.take()
    }

    /// Ends an acknowledgement that has run out at `at`. Returns whether it did.
    pub fn expire_acknowledgement(&mut self, at: TimestampMs) -> bool {
        let over = self.acknowledged.take_if(|it| it.until.is_some_and(|until| until <= at));
        self.lapsed = over.as_ref().map(|over| Lapsed::Acknowledgement(Arc::clone(&over.by))).or(self.lapsed.take());
        over.is_some()
    }

    /// A silence ended under which something still fires.
    pub fn silence_ended(&mut self, by: &Arc<str>) {
        self.lapsed = Some(Lapsed::Silence(Arc::clone(by)));
    }

    /// Whether the first notification is due, and so whether it matters what else may be failing.
    pub fn is_first_due(&self, at: TimestampMs) -> bool {
        self.last.is_none() && at >= self.wait_until
    }

    /// Takes over what people know of an incident that is part of this one now.
    pub fn absorb(&mut self, other: &NotifyState) {
        self.wait_until = self.wait_until.min(other.wait_until);
        if self.last.is_none() {
            self.last = other.last.clone();
        }
    }

    /// When a decision is due though nothing happens.
    pub fn wake_at(&self, params: &NotifyParams, facts: &NotifyFacts<'_>) -> Option<TimestampMs> {
        if facts.status != Status::Open || facts.silenced.is_some() {
            return None;
        }
        let runs_out = self.acknowledged.as_ref().and_then(|it| it.until);
        let Some(last) = &self.last else {
            return Some(if self.held { self.wait_until + params.hold_ms } else { self.wait_until });
        };
        if self.muted && !last.is_news(facts) {
            return runs_out;
        }
        let cause = (facts.cause.is_some() && last.cause.as_ref() != facts.cause).then_some(last.at + params.settle_ms);
        let joined = (facts.new_entities > 0).then_some(last.at + params.interval_ms);
        let fault = facts.new_fault.is_some().then(|| self.fault_due(params, last));
        let (joined, repeat) =
            if self.acknowledged.is_some() { (None, runs_out) } else { (joined, Some(last.at + params.repeat_ms)) };
        let lapsed = self.lapsed.is_some().then_some(last.at);
        [cause, joined, fault, repeat, lapsed].into_iter().flatten().min()
    }

    /// Whether [`Self::decide`] might notify somebody now: what might be news for a person waits for nothing.
    pub fn may_notify(&self, params: &NotifyParams, facts: &NotifyFacts<'_>) -> bool {
        if facts.silenced.is_some() {
            return false;
        }
        let Some(last) = &self.last else { return self.is_first_due(facts.at) };
        let is_back = self.reopened_unnotified && last.status == Status::Resolved && (!self.muted || last.is_news(facts));
        facts.severity > last.severity || is_back || self.wake_at(params, facts).is_some_and(|due| due <= facts.at)
    }

    /// Decides, and remembers what was notified.
    pub fn decide(&mut self, params: &NotifyParams, facts: &NotifyFacts<'_>) -> Decision {
        let decision = self.decision(params, facts);
        self.held |= !decision.is_sent() && facts.silenced.is_none() && self.is_first_due(facts.at);
        if decision.is_sent() {
            self.acknowledged = None;
            self.know(facts);
        }
        decision
    }

    /// People know the incident as it is now.
    fn know(&mut self, facts: &NotifyFacts<'_>) {
        self.reopened_unnotified = false;
        self.unrelated = false;
        self.lapsed = None;
        self.last = Some(LastNotified {
            at: facts.at,
            severity: facts.severity,
            cause: facts.cause.cloned(),
            alerts: facts.alerts,
            status: facts.status,
        });
    }

    fn decision(&self, params: &NotifyParams, facts: &NotifyFacts<'_>) -> Decision {
        if let Some(into) = facts.merged_into {
            return Decision::Merged { into };
        }
        if let Some(notice) = facts.silenced.as_ref().filter(|_| facts.status == Status::Open) {
            let (by, until) = (Arc::clone(&notice.by), notice.until);
            return if notice.is_maintenance { Decision::Maintenance { by, until } } else { Decision::Silenced { by, until } };
        }
        let Some(last) = &self.last else { return self.first_decision(params, facts) };
        if facts.severity > last.severity {
            return Decision::SeverityRose { from: last.severity, to: facts.severity };
        }
        if self.muted && !last.is_news(facts) {
            return Decision::Flapping { times: self.reopened_at.len() };
        }
        if facts.status == Status::Resolved {
            return match &facts.ended_unknown {
                _ if last.status == Status::Resolved => Decision::EndAlreadyNotified,
                Some(why) => Decision::EndedUnknown { why: Arc::clone(why) },
                None if facts.severity == Severity::Info => Decision::InfoEnded,
                None => Decision::Resolved,
            };
        }
        if self.reopened_unnotified && last.status == Status::Resolved {
            return Decision::Reopened;
        }
        match &self.lapsed {
            Some(Lapsed::Silence(by)) => return Decision::SilenceEnded { by: Arc::clone(by) },
            Some(Lapsed::Acknowledgement(by)) => return Decision::AcknowledgementEnded { by: Arc::clone(by) },
            None => {}
        }
        self.news(params, facts, last)
    }

    fn first_decision(&self, params: &NotifyParams, facts: &NotifyFacts<'_>) -> Decision {
        let until = self.wait_until + params.hold_ms;
        match (facts.status, &facts.held_by) {
            (Status::Open, _) if facts.at < self.wait_until => Decision::WaitingForRelated { until: self.wait_until },
            (Status::Open, Some((dependency, dependent))) if facts.at < until => {
                Decision::HeldForDependency { until, dependency: Arc::clone(dependency), dependent: Arc::clone(dependent) }
            }
            (Status::Open, _) => Decision::FirstNotification,
            _ => Decision::EndedUnnotified,
        }
    }

    /// What is new in an open incident of which people know. What waits must not hold back what is due: it goes out along with it.
    fn news(&self, params: &NotifyParams, facts: &NotifyFacts<'_>, last: &LastNotified) -> Decision {
        let cause = facts.cause.filter(|cause| last.cause.as_ref() != Some(*cause));
        let (settled_at, joined_at, repeat_at) =
            (last.at + params.settle_ms, last.at + params.interval_ms, last.at + params.repeat_ms);
        let fault_at = self.fault_due(params, last);
        // What has nothing to do with the rest comes first: whoever reads of the rest would not learn of it.
        let new_fault = || facts.new_fault.clone().filter(|_| facts.at >= fault_at).map(Decision::NewFault);
        if let Some(decision) = new_fault().filter(|_| self.unrelated) {
            return decision;
        }
        if let Some(cause) = cause.filter(|_| facts.at >= settled_at) {
            return Decision::CauseChanged { cause: Arc::clone(cause) };
        }
        let (more, acknowledged) = (facts.new_entities, self.acknowledged.as_ref());
        if more > 0 && facts.at >= joined_at && acknowledged.is_none() {
            return Decision::MoreEntities { more };
        }
        if let Some(decision) = new_fault() {
            return decision;
        }
        if let Some(Acknowledgement { by, until, .. }) = acknowledged {
            return Decision::Acknowledged { by: Arc::clone(by), until: *until };
        }
        if facts.at >= repeat_at {
            return Decision::StillOpen { silence_ms: facts.at - last.at };
        }
        match (cause, facts.new_fault.clone()) {
            (Some(cause), _) => Decision::CauseSettling { cause: Arc::clone(cause), until: settled_at },
            (None, Some(fault)) => Decision::NewFaultWaiting { fault, until: fault_at },
            (None, None) if more > 0 => Decision::MoreEntitiesWaiting { more, until: joined_at },
            (None, None) => Decision::NothingNew,
        }
    }

    /// When a new fault is due: at once where nothing ties it to what was notified.
    fn fault_due(&self, params: &NotifyParams, last: &LastNotified) -> TimestampMs {
        if self.unrelated { last.at } else { last.at + params.interval_ms }
    }
}

impl LastNotified {
    /// Whether something fails that did not when it was notified.
    fn is_news(&self, facts: &NotifyFacts<'_>) -> bool {
        facts.status == Status::Open && (facts.alerts > self.alerts || facts.new_entities > 0 || facts.new_fault.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(at: TimestampMs) -> NotifyFacts<'static> {
        NotifyFacts {
            at,
            status: Status::Open,
            severity: Severity::Critical,
            cause: None,
            new_entities: 0,
            new_fault: None,
            alerts: 1,
            ended_unknown: None,
            held_by: None,
            merged_into: None,
            silenced: None,
        }
    }

    fn fault() -> NewFault {
        NewFault { rule: "raid_degraded".into(), subject: "h1".into(), more: 0 }
    }

    /// Whatever is due is decided when it is due: what stays due would wake the store at every millisecond.
    #[test]
    fn a_decision_that_was_due_is_due_no_more() {
        let causes: [Arc<str>; 2] = ["a".into(), "b".into()];
        let mut sent = 0;
        for (settle_ms, interval_ms, repeat_ms) in [(60, 300, 1_000), (60, 300, 30), (300, 60, 100), (60, 300, 100)] {
            let params = NotifyParams { wait_ms: 10, settle_ms, interval_ms, repeat_ms, ..NotifyParams::default() };
            let mut state = NotifyState::new(&params, 0);
            // What no notification named yet, as the alerts would keep it.
            let (mut new_entities, mut is_new_fault) = (1, false);
            for at in 0..2_000 {
                new_entities += usize::from(at % 90 == 0);
                is_new_fault |= at % 170 == 0;
                if at % 340 == 0 {
                    state.joined_unrelated();
                }
                let facts = NotifyFacts {
                    cause: Some(&causes[at as usize / 70 % 2]),
                    new_entities,
                    new_fault: is_new_fault.then(fault),
                    ..facts(at)
                };
                if state.decide(&params, &facts).is_sent() {
                    sent += 1;
                    (new_entities, is_new_fault) = (0, false);
                }
                let facts = NotifyFacts { new_entities, new_fault: is_new_fault.then(fault), ..facts };
                assert!(state.wake_at(&params, &facts).is_none_or(|due| due > at), "at {at}, repeat {repeat_ms}: {state:?}");
            }
        }
        assert!(sent > 20, "{sent}");
    }

    /// What might be notified is asked without a ranking; whatever is notified must be among it, or it would wait with what is no news.
    #[test]
    fn nobody_is_notified_of_what_could_have_waited() {
        let cause: Arc<str> = "a".into();
        let (mut notified, mut could_wait) = (0, 0);
        for (hold_ms, flaps) in [(0, 3), (50, 3), (50, 1_000)] {
            let params =
                NotifyParams { wait_ms: 10, hold_ms, flaps, flap_within_ms: 1_000, interval_ms: 300, ..NotifyParams::default() };
            let mut state = NotifyState::new(&params, 0);
            let mut resolved_at = None;
            let mut new_entities = 0;
            for at in 0..3_000 {
                let open = at % 97 < 80;
                match resolved_at {
                    Some(then) if open => {
                        state.reopened(&params, then, at);
                        resolved_at = None;
                    }
                    None if !open => resolved_at = Some(at),
                    _ => {}
                }
                new_entities += usize::from(at % 400 == 0);
                let facts = NotifyFacts {
                    status: if open { Status::Open } else { Status::Resolved },
                    severity: if at < 1_000 { Severity::Warning } else { Severity::Critical },
                    cause: Some(&cause),
                    new_entities,
                    alerts: 1 + at as u64 / 150,
                    held_by: (at < 30).then(|| ("db".into(), "web".into())),
                    ..facts(at)
                };
                let may_notify = state.may_notify(&params, &facts);
                let sent = state.decide(&params, &facts).is_sent();
                new_entities = if sent { 0 } else { new_entities };
                // That an incident is resolved never waits.
                assert!(may_notify || !sent || !open, "at {at}: {state:?}");
                notified += u64::from(sent);
                could_wait += u64::from(open && !may_notify);
            }
        }
        assert!(notified > 20 && could_wait > 1_000, "{notified} notified, {could_wait} could wait");
    }

    #[test]
    fn a_new_fault_waits_for_the_interval_and_an_unrelated_one_for_nothing() {
        let params = NotifyParams::default();
        let notified = || {
            let mut state = NotifyState::new(&params, 0);
            assert_eq!(state.decide(&params, &facts(params.wait_ms)), Decision::FirstNotification);
            state
        };
        let at = |after_ms| NotifyFacts { new_fault: Some(fault()), ..facts(params.wait_ms + after_ms) };
        let mut related = notified();
        let until = params.wait_ms + params.interval_ms;
        assert_eq!(related.decide(&params, &at(60_000)), Decision::NewFaultWaiting { fault: fault(), until });
        assert_eq!(related.wake_at(&params, &at(60_000)), Some(until));
        assert_eq!(related.decide(&params, &at(params.interval_ms)), Decision::NewFault(fault()));
        let mut unrelated = notified();
        unrelated.joined_unrelated();
        assert!(unrelated.may_notify(&params, &at(60_000)));
        assert_eq!(unrelated.decide(&params, &at(60_000)), Decision::NewFault(fault()));
        // What came next is related again until it is found not to be.
        assert!(!unrelated.decide(&params, &at(120_000)).is_sent());
    }

    #[test]
    fn an_end_of_which_nobody_knows_that_it_is_a_recovery_is_not_called_one() {
        let params = NotifyParams::default();
        let mut state = NotifyState::new(&params, 0);
        state.decide(&params, &facts(params.wait_ms));
        let why: Arc<str> = "h1 is silent for 2d and is no longer watched".into();
        let over = NotifyFacts { status: Status::Resolved, ended_unknown: Some(Arc::clone(&why)), ..facts(600_000) };
        assert_eq!(state.decide(&params, &over), Decision::EndedUnknown { why });
        assert_eq!(state.decide(&params, &over), Decision::EndAlreadyNotified);
    }
}
