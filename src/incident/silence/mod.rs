//! Silences: alerts of which nobody wants to be notified, from one instant to another or at times that come again. A silenced alert stays
//! in its incident. All silences, and which of them hold now, are in the [`registry`].

pub mod registry;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::model::command::matcher::Matcher;
use crate::model::command::recurrence::Recurrence;
use crate::model::command::{CommandId, SilenceTarget};
use crate::model::time::TimestampMs;

/// One silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Its identity: that of the command that made it.
    pub id: CommandId,
    /// Which alerts.
    pub target: SilenceTarget,
    /// From when on.
    pub from: TimestampMs,
    /// Until when; `None` where it recurs for ever, or ends with its incident.
    pub to: Option<TimestampMs>,
    /// Only at certain times between the two.
    pub recurrence: Option<Recurrence>,
    /// Who made it.
    pub by: Arc<str>,
    /// Why.
    pub comment: Arc<str>,
    /// It is for planned work.
    pub is_maintenance: bool,
    /// When it was made or last changed.
    pub updated_at: TimestampMs,
    /// When it was ended before its time.
    pub expired_at: Option<TimestampMs>,
}

/// Where a silence is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SilenceState {
    /// It does not hold yet, or not at this time of the day.
    Pending,
    /// It holds.
    Active,
    /// It never holds again.
    Expired,
}

impl SilenceState {
    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            SilenceState::Pending => "pending",
            SilenceState::Active => "active",
            SilenceState::Expired => "expired",
        }
    }
}

/// What a revision says of a silence that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceNotice {
    /// Which.
    pub id: CommandId,
    /// Who made it.
    pub by: Arc<str>,
    /// Until when it holds; `None` where it ends with the incident.
    pub until: Option<TimestampMs>,
    /// Why.
    pub comment: Arc<str>,
    /// It is for planned work.
    pub is_maintenance: bool,
}

impl SilenceNotice {
    /// Whether it holds longer than another.
    pub fn outlasts(&self, other: &SilenceNotice) -> bool {
        let end = |notice: &SilenceNotice| notice.until.unwrap_or(TimestampMs::MAX);
        (end(self), self.id) > (end(other), other.id)
    }
}

impl Silence {
    /// Where it is in its life at `at`.
    pub fn state(&self, at: TimestampMs) -> SilenceState {
        if self.end().is_some_and(|end| end <= at) {
            SilenceState::Expired
        } else if self.holds_until(at).is_some() {
            SilenceState::Active
        } else {
            SilenceState::Pending
        }
    }

    /// When it ends for good, where that is known.
    pub fn end(&self) -> Option<TimestampMs> {
        [self.to, self.expired_at].into_iter().flatten().min()
    }

    /// Until when it holds, if it holds at `at`; the inner `None` where no end is known.
    pub fn holds_until(&self, at: TimestampMs) -> Option<Option<TimestampMs>> {
        if at < self.from || self.end().is_some_and(|end| end <= at) {
            return None;
        }
        let Some(recurrence) = &self.recurrence else { return Some(self.end()) };
        let (_, until) = recurrence.current(at)?;
        Some(Some(self.end().map_or(until, |end| end.min(until))))
    }

    /// When it may begin or cease to hold next, after `at`.
    pub fn next_change(&self, at: TimestampMs) -> Option<TimestampMs> {
        if self.end().is_some_and(|end| end <= at) {
            return None;
        }
        if at < self.from {
            return Some(self.from);
        }
        let next = match (&self.recurrence, self.holds_until(at)) {
            (Some(_), Some(until)) => until,
            (Some(recurrence), None) => recurrence.next(at),
            (None, _) => None,
        };
        [next, self.end()].into_iter().flatten().min()
    }

    /// What a revision says of it while it holds until then.
    pub fn notice(&self, until: Option<TimestampMs>) -> SilenceNotice {
        SilenceNotice {
            id: self.id,
            by: Arc::clone(&self.by),
            until,
            comment: Arc::clone(&self.comment),
            is_maintenance: self.is_maintenance,
        }
    }
}

/// Whether an alert's labels match all of these.
pub fn matches_alert(matchers: &[Matcher], alert: &Alert) -> bool {
    matches(matchers, |name| match name {
        "alertname" => &alert.rule,
        "severity" => alert.severity.as_str(),
        "env" => &alert.env,
        _ => alert.labels.get(name).unwrap_or_default(),
    })
}

/// Whether labels match all of these; `value` is that of a label, "" where it is missing.
pub fn matches<'a>(matchers: &[Matcher], value: impl Fn(&str) -> &'a str) -> bool {
    matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::{HOUR_MS, MINUTE_MS};

    fn silence(from: TimestampMs, to: Option<TimestampMs>, recurrence: Option<Recurrence>) -> Silence {
        Silence {
            id: CommandId::derived([]),
            target: SilenceTarget::Incident("inc-1".into()),
            from,
            to,
            recurrence,
            by: "ann".into(),
            comment: "".into(),
            is_maintenance: false,
            updated_at: from,
            expired_at: None,
        }
    }

    #[test]
    fn a_silence_holds_from_its_beginning_to_before_its_end() {
        let once = silence(100, Some(200), None);
        let states = [99, 100, 199, 200].map(|at| once.state(at).as_str());
        assert_eq!(states, ["pending", "active", "active", "expired"]);
        assert_eq!([99, 100, 200].map(|at| once.next_change(at)), [Some(100), Some(200), None]);
        let ended = Silence { expired_at: Some(150), ..once };
        assert_eq!((ended.state(150), ended.next_change(120)), (SilenceState::Expired, Some(150)));
    }

    #[test]
    fn a_recurring_silence_holds_at_its_times_and_never_after_its_end() {
        let hourly = Recurrence::new("0 * * * *", "UTC", 10 * MINUTE_MS).unwrap();
        let hourly = silence(5 * MINUTE_MS, Some(2 * HOUR_MS + 5 * MINUTE_MS), Some(hourly));
        assert_eq!(hourly.holds_until(4 * MINUTE_MS), None);
        assert_eq!(hourly.holds_until(5 * MINUTE_MS), Some(Some(10 * MINUTE_MS)));
        assert_eq!(hourly.holds_until(10 * MINUTE_MS), None);
        assert_eq!(hourly.next_change(10 * MINUTE_MS), Some(HOUR_MS));
        assert_eq!(hourly.holds_until(2 * HOUR_MS), Some(Some(2 * HOUR_MS + 5 * MINUTE_MS)));
        assert_eq!(hourly.state(3 * HOUR_MS), SilenceState::Expired);
    }
}
