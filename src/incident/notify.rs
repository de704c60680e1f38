//! Whether a person is told of a revision: always an answer, always with its reason, for silence as much as for a page.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::incident::id::IncidentId;
use crate::incident::status::Status;
use crate::model::duration::format_ms;
use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, format_clock};

/// Whether a person is told of a revision, and why or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Told.
    pub send: bool,
    /// In words.
    pub reason: String,
}

/// When people are told. Times in milliseconds of event time.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifyParams {
    /// How long the first page waits for related alerts, so that it can name the cause.
    pub wait_ms: i64,
    /// How much longer the first page waits while something that the failing depend on may be failing too.
    pub hold_ms: i64,
    /// How long after a page a changed cause waits: rankings settle.
    pub settle_ms: i64,
    /// How long after a page newly failing entities wait.
    pub interval_ms: i64,
    /// After this much silence an incident that is still open is told again.
    pub repeat_ms: i64,
    /// Reopened this often within an hour, an incident flaps.
    pub flaps: usize,
    /// What comes back later than this after it was over is a new failure and no flap.
    pub flap_within_ms: i64,
}

impl Default for NotifyParams {
    fn default() -> Self {
        let minute_ms = 60_000;
        Self {
            wait_ms: minute_ms / 2,
            hold_ms: minute_ms / 2,
            settle_ms: minute_ms,
            interval_ms: 5 * minute_ms,
            repeat_ms: 240 * minute_ms,
            flaps: 3,
            flap_within_ms: 5 * minute_ms,
        }
    }
}

/// Reopenings are counted over this long.
const FLAP_OVER_MS: i64 = 3_600_000;

/// What people know of an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotifyState {
    wait_until: TimestampMs,
    /// The first page was held back already.
    held: bool,
    told: Option<LastNotified>,
    reopened_at: Vec<TimestampMs>,
    /// Flapping: that it is over or back is no news, until it gets worse or something else fails.
    muted: bool,
    /// The incident went on to a state that has not been told yet.
    reopened_untold: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LastNotified {
    at: TimestampMs,
    severity: Severity,
    cause: Option<Arc<str>>,
    entities: usize,
    alerts: usize,
    status: Status,
}

/// What there is to tell.
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
    /// How many entities fail now.
    pub entities: usize,
    /// How many alerts it has, firing or ended.
    pub alerts: usize,
    /// What may be failing and would explain it: a dependency, and who depends on it.
    pub held_by: Option<(&'a str, &'a str)>,
    /// The incident that carries on, where this one was merged.
    pub merged_into: Option<IncidentId>,
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
        self.reopened_untold = true;
        if self.told.is_none() {
            (self.wait_until, self.held) = (at + params.wait_ms, false);
        }
    }

    /// Whether the first page is due, and so whether it matters what else may be failing.
    pub fn is_first_due(&self, at: TimestampMs) -> bool {
        self.told.is_none() && at >= self.wait_until
    }

    /// What another incident's readers know is known here too: after a merge.
    pub fn absorb(&mut self, other: &NotifyState) {
        self.wait_until = self.wait_until.min(other.wait_until);
        if self.told.is_none() {
            self.told = other.told.clone();
        }
    }

    /// When a decision is due though nothing happens.
    pub fn wake_at(&self, params: &NotifyParams, facts: &NotifyFacts<'_>) -> Option<TimestampMs> {
        if facts.status != Status::Open {
            return None;
        }
        let Some(told) = &self.told else {
            return Some(if self.held { self.wait_until + params.hold_ms } else { self.wait_until });
        };
        if self.muted && !told.is_news(facts) {
            return None;
        }
        let cause = (facts.cause.is_some() && told.cause.as_ref() != facts.cause).then_some(told.at + params.settle_ms);
        let joined = (facts.entities > told.entities).then_some(told.at + params.interval_ms);
        [cause, joined, Some(told.at + params.repeat_ms)].into_iter().flatten().min()
    }

    /// Whether [`Self::decide`] might tell somebody now: what might be news for a person waits for nothing.
    pub fn may_tell(&self, params: &NotifyParams, facts: &NotifyFacts<'_>) -> bool {
        let Some(told) = &self.told else { return self.is_first_due(facts.at) };
        let is_back = self.reopened_untold && told.status == Status::Resolved && (!self.muted || told.is_news(facts));
        facts.severity > told.severity || is_back || self.wake_at(params, facts).is_some_and(|due| due <= facts.at)
    }

    /// Decides, and remembers what was told.
    pub fn decide(&mut self, params: &NotifyParams, facts: &NotifyFacts<'_>) -> Decision {
        let decision = self.judge(params, facts);
        self.held |= !decision.send && self.is_first_due(facts.at);
        if decision.send {
            self.reopened_untold = false;
            self.told = Some(LastNotified {
                at: facts.at,
                severity: facts.severity,
                cause: facts.cause.cloned(),
                // An entity that recovers and fails again is no news.
                entities: self.told.as_ref().map_or(0, |told| told.entities).max(facts.entities),
                alerts: facts.alerts,
                status: facts.status,
            });
        }
        decision
    }

    fn judge(&self, params: &NotifyParams, facts: &NotifyFacts<'_>) -> Decision {
        if let Some(other) = facts.merged_into {
            return silent(format!("part of {other}, which carries on"));
        }
        let Some(told) = &self.told else {
            let hold_until = self.wait_until + params.hold_ms;
            return match (facts.status, facts.held_by) {
                (Status::Open, Some((dependency, dependent))) if facts.at >= self.wait_until && facts.at < hold_until => {
                    silent(format!(
                        "held back until {}: {dependency}, on which {dependent} depends, may be failing",
                        format_clock(hold_until)
                    ))
                }
                (Status::Open, _) if facts.at >= self.wait_until => send("first page".into()),
                (Status::Open, _) => silent(format!("waiting until {} for related alerts", format_clock(self.wait_until))),
                _ => silent("over before anybody was told".into()),
            };
        };
        if facts.severity > told.severity {
            return send(format!("severity rose from {} to {}", told.severity, facts.severity));
        }
        if self.muted && !told.is_news(facts) {
            return silent(format!("flapping: reopened {} times within an hour", self.reopened_at.len()));
        }
        if facts.status == Status::Resolved && facts.severity == Severity::Info {
            return silent("an announcement needs no end".into());
        }
        if facts.status == Status::Resolved {
            return if told.status == Status::Resolved { silent("its end is known".into()) } else { send("resolved".into()) };
        }
        if self.reopened_untold && told.status == Status::Resolved {
            return send("it is back".into());
        }
        // What waits to be told must not hold back what is due: it is told along with it.
        let repeats = facts.at >= told.at + params.repeat_ms;
        let joined = facts.entities > told.entities && facts.at >= told.at + params.interval_ms;
        if told.cause.as_ref() != facts.cause
            && let Some(cause) = facts.cause
        {
            let ready_at = told.at + params.settle_ms;
            if facts.at >= ready_at {
                return send(format!("the cause is now {cause}"));
            }
            if !repeats && !joined {
                let until = format_clock(ready_at);
                return silent(format!("the cause may be {cause}: waiting until {until} for it to settle"));
            }
        }
        if facts.entities > told.entities {
            let more = facts.entities - told.entities;
            let noun = if more == 1 { "entity" } else { "entities" };
            if joined {
                return send(format!("{more} more {noun} failing"));
            }
            if !repeats {
                let until = format_clock(told.at + params.interval_ms);
                return silent(format!("{more} more {noun} failing: told at {until} if still so"));
            }
        }
        if repeats {
            return send(format!("still open {} after the last message", format_ms(facts.at - told.at)));
        }
        silent("nothing new for a person".into())
    }
}

impl LastNotified {
    /// Whether something fails that did not when it was told.
    fn is_news(&self, facts: &NotifyFacts<'_>) -> bool {
        facts.status == Status::Open && (facts.alerts > self.alerts || facts.entities > self.entities)
    }
}

fn send(reason: String) -> Decision {
    Decision { send: true, reason }
}

fn silent(reason: String) -> Decision {
    Decision { send: false, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is due is decided when it is due: what stays due would wake the book at every millisecond.
    #[test]
    fn a_decision_that_was_due_is_due_no_more() {
        let causes: [Arc<str>; 2] = ["a".into(), "b".into()];
        let mut told = 0;
        for (settle_ms, interval_ms, repeat_ms) in [(60, 300, 1_000), (60, 300, 30), (300, 60, 100), (60, 300, 100)] {
            let params = NotifyParams { wait_ms: 10, settle_ms, interval_ms, repeat_ms, ..NotifyParams::default() };
            let mut state = NotifyState::new(&params, 0);
            for at in 0..2_000 {
                let (cause, entities) = (Some(&causes[at as usize / 70 % 2]), 1 + at as usize / 90 % 4);
                let (status, severity, alerts) = (Status::Open, Severity::Info, entities);
                let facts = NotifyFacts { at, status, severity, cause, entities, alerts, merged_into: None, held_by: None };
                told += u64::from(state.decide(&params, &facts).send);
                assert!(state.wake_at(&params, &facts).is_none_or(|due| due > at), "at {at}, repeat {repeat_ms}: {state:?}");
            }
        }
        assert!(told > 20, "{told}");
    }

    /// What might be told is asked without a ranking; whatever is told must be among it, or it would wait with what is no news.
    #[test]
    fn nobody_is_told_what_could_have_waited() {
        let cause: Arc<str> = "a".into();
        let (mut told, mut could_wait) = (0, 0);
        for (hold_ms, flaps) in [(0, 3), (50, 3), (50, 1_000)] {
            let params =
                NotifyParams { wait_ms: 10, hold_ms, flaps, flap_within_ms: 1_000, interval_ms: 300, ..NotifyParams::default() };
            let mut state = NotifyState::new(&params, 0);
            let mut resolved_at = None;
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
                let alerts = 1 + at as usize / 150;
                let facts = NotifyFacts {
                    at,
                    status: if open { Status::Open } else { Status::Resolved },
                    severity: if at < 1_000 { Severity::Warning } else { Severity::Critical },
                    cause: Some(&cause),
                    entities: 1 + at as usize / 400,
                    alerts,
                    held_by: (at < 30).then_some(("db", "web")),
                    merged_into: None,
                };
                let may_tell = state.may_tell(&params, &facts);
                let sent = state.decide(&params, &facts).send;
                // That an incident is resolved never waits.
                assert!(may_tell || !sent || !open, "at {at}: {state:?}");
                told += u64::from(sent);
                could_wait += u64::from(open && !may_tell);
            }
        }
        assert!(told > 20 && could_wait > 1_000, "{told} told, {could_wait} could wait");
    }
}
