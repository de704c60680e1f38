//! What a receiver gets of an incident now: something, nothing, or later.

use crate::model::local_time::{Hours, Zone};
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;
use crate::notify::incident_view::IncidentView;
use crate::notify::receiver::{News, Wants};
use crate::notify::record::{Record, WaitingFor};
use crate::notify::route::{Router, Target};

/// What is set for one receiver.
pub struct Policy {
    /// Its name.
    pub receiver: String,
    /// What it wants besides the first message, updates and the end.
    pub wants: Wants,
    /// Where incidents go.
    pub router: Router,
    /// When it is quiet, and for what.
    pub quiet: Option<(Hours, Vec<Severity>)>,
    /// In which zone.
    pub zone: Zone,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing, and why.
    Nothing(Silence),
    /// A message.
    Send(News),
    /// A message, later.
    Wait {
        /// When.
        until_ms: TimestampMs,
        /// Since when the incident waits.
        since_ms: TimestampMs,
        /// What for.
        why: WaitingFor,
    },
}

/// Why a receiver gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// It was sent before.
    AlreadySent,
    /// The revision notifies nobody.
    NotNotified,
    /// No route leads to this receiver.
    NoRoute,
    /// It was over before it was sent.
    OverBefore,
    /// Somebody acknowledged it before the escalation.
    Acknowledged,
    /// It ended, and was only named in a digest.
    InDigest,
}

impl Silence {
    /// For metrics.
    pub const CODES: [(Silence, &'static str); 6] = [
        (Silence::AlreadySent, "already_sent"),
        (Silence::NotNotified, "not_notified"),
        (Silence::NoRoute, "no_route"),
        (Silence::OverBefore, "over_before"),
        (Silence::Acknowledged, "acknowledged"),
        (Silence::InDigest, "in_digest"),
    ];
}

/// What is known of an incident that has something new.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The newest revision.
    pub incident: &'a IncidentView,
    /// When the first revision came that notifies a person and was not handled yet; nothing where none does.
    pub notified_since_ms: Option<TimestampMs>,
}

impl Policy {
    /// What the receiver gets of `arrival`, where `record` is what it was sent before.
    pub fn plan(&self, arrival: Arrival<'_>, record: &Record, now_ms: TimestampMs) -> Plan {
        let incident = arrival.incident;
        let under_way = record.pending.is_some() || record.waiting.is_some();
        if incident.revision <= record.revision && !under_way {
            return Plan::Nothing(Silence::AlreadySent);
        }
        let waits_since = record.waiting.as_ref().map(|waiting| waiting.since_ms);
        // A message that was begun has a reason, even where the revision that gave it was acknowledged since.
        let begun = record.pending.as_ref().filter(|pending| pending.with_sound);
        let begun_since = begun.map(|pending| pending.since_ms);
        let since_ms = waits_since.or(begun_since).or(arrival.notified_since_ms);
        match (incident.is_open(), since_ms) {
            (false, since_ms) => self.plan_of_the_end(incident, since_ms.is_some(), record, now_ms),
            (true, Some(since_ms)) => self.plan_of_news(incident, since_ms, record, now_ms),
            (true, None) if self.wants.all => Plan::Send(if record.sent { News::Update } else { News::First }),
            (true, None) => self.edit_or(Silence::NotNotified, record),
        }
    }

    fn plan_of_the_end(&self, incident: &IncidentView, is_due: bool, record: &Record, now_ms: TimestampMs) -> Plan {
        // A message that got no answer may have opened it: what nobody closes stays open at a pager.
        if record.may_be_open() {
            return Plan::Send(News::Close);
        }
        if record.sent {
            return Plan::Nothing(Silence::AlreadySent);
        }
        if record.digest.is_some() && !self.wants.all {
            return Plan::Nothing(Silence::InDigest);
        }
        let waits = record.waiting.is_some();
        let routed = self.router.target(&self.receiver, incident, now_ms) == Some(Target::Now);
        if (self.wants.past && routed && is_due && !waits) || self.wants.all {
            Plan::Send(News::Close)
        } else {
            Plan::Nothing(Silence::OverBefore)
        }
    }

    fn plan_of_news(&self, incident: &IncidentView, since_ms: TimestampMs, record: &Record, now_ms: TimestampMs) -> Plan {
        let news = if record.sent { News::Update } else { News::First };
        if record.pending.as_ref().is_some_and(|pending| pending.with_sound) || self.wants.all {
            return Plan::Send(news);
        }
        match self.router.target(&self.receiver, incident, now_ms) {
            None => return self.edit_or(Silence::NoRoute, record),
            Some(Target::After(after_ms)) if !record.sent => {
                if incident.acknowledged_by.is_some() {
                    return Plan::Nothing(Silence::Acknowledged);
                }
                let until_ms = since_ms.saturating_add(after_ms);
                if now_ms < until_ms {
                    return Plan::Wait { until_ms, since_ms, why: WaitingFor::Escalation };
                }
            }
            Some(_) => {}
        }
        match self.quiet_until(incident.severity, now_ms) {
            Some(until_ms) => Plan::Wait { until_ms, since_ms, why: WaitingFor::QuietHours },
            None => Plan::Send(news),
        }
    }

    fn edit_or(&self, silence: Silence, record: &Record) -> Plan {
        if record.sent && self.wants.edits { Plan::Send(News::Edit) } else { Plan::Nothing(silence) }
    }

    fn quiet_until(&self, severity: Severity, now_ms: TimestampMs) -> Option<TimestampMs> {
        let (hours, severities) = self.quiet.as_ref()?;
        let is_quiet = severities.contains(&severity) && hours.contains(now_ms, self.zone);
        is_quiet.then(|| hours.end_after(now_ms, self.zone)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::notify::record::{Pending, Waiting};

    fn policy(quiet: Option<&str>) -> Policy {
        let settings = "chat: { slack: { token: t, channel: c } }";
        let notifiers = serde_saphyr::from_str(settings).unwrap();
        let routes =
            "- { match: { severity: [warning, critical] }, to: [chat] }\n- { to: [], escalate: [{ after: 10m, to: [chat] }] }";
        let routes = serde_saphyr::from_str(routes).unwrap();
        let quiet = quiet.map(|hours| (serde_saphyr::from_str(hours).unwrap(), vec![Severity::Warning]));
        let router = Router::new(&notifiers, &routes, Zone::default());
        let wants = Wants { edits: true, past: true, all: false };
        Policy { receiver: "chat".into(), wants, router, quiet, zone: Zone::default() }
    }

    fn incident(revision: u32, status: &str, severity: &str) -> IncidentView {
        let time = "2026-03-14T02:47:10Z";
        let body = json!({ "id": "inc-1", "revision": revision, "status": status, "severity": severity, "started_at": time,
                           "updated_at": time, "notify": { "send": true } });
        IncidentView::of(body).unwrap()
    }

    fn sent(revision: u32) -> Record {
        Record { revision, sent: true, ..Record::default() }
    }

    /// 2026-03-14T02:47:10Z.
    const NOW: TimestampMs = 1_773_456_430_000;

    #[test]
    fn what_a_receiver_gets() {
        let loud = |incident: &IncidentView, record: &Record| {
            policy(None).plan(Arrival { incident, notified_since_ms: Some(NOW) }, record, NOW)
        };
        let silent = |incident: &IncidentView, record: &Record| {
            policy(None).plan(Arrival { incident, notified_since_ms: None }, record, NOW)
        };
        let (open, over) = (incident(2, "open", "warning"), incident(3, "resolved", "warning"));
        assert_eq!(loud(&open, &Record::default()), Plan::Send(News::First));
        assert_eq!(silent(&open, &Record::default()), Plan::Nothing(Silence::NotNotified));
        assert_eq!(loud(&open, &sent(1)), Plan::Send(News::Update));
        assert_eq!(silent(&open, &sent(1)), Plan::Send(News::Edit));
        assert_eq!(loud(&open, &sent(2)), Plan::Nothing(Silence::AlreadySent));
        assert_eq!(silent(&over, &sent(2)), Plan::Send(News::Close));
        assert_eq!(silent(&over, &Record::default()), Plan::Nothing(Silence::OverBefore));
        // It was over before it could be sent, and people should know of it.
        assert_eq!(loud(&over, &Record::default()), Plan::Send(News::Close));
        let in_digest = Record { digest: Some("digest-1".into()), ..Record::default() };
        assert_eq!(loud(&over, &in_digest), Plan::Nothing(Silence::InDigest));
    }

    #[test]
    fn an_edit_that_failed_is_still_without_sound_and_news_that_failed_are_still_news() {
        let open = incident(3, "open", "warning");
        let pending = |with_sound| Pending { revision: 2, since_ms: NOW, with_sound, ..Pending::default() };
        let plan = |with_sound| {
            let record = Record { pending: Some(pending(with_sound)), ..sent(1) };
            policy(None).plan(Arrival { incident: &open, notified_since_ms: None }, &record, NOW)
        };
        assert_eq!(plan(false), Plan::Send(News::Edit));
        assert_eq!(plan(true), Plan::Send(News::Update));
    }

    #[test]
    fn what_may_have_arrived_is_closed() {
        let over = incident(3, "resolved", "warning");
        let pending = |may_have_arrived| Some(Pending { revision: 2, since_ms: NOW, may_have_arrived, ..Pending::default() });
        let plan = |record: &Record| policy(None).plan(Arrival { incident: &over, notified_since_ms: None }, record, NOW);
        // The first message, and one that opens it again.
        for before in [Record::default(), Record { closed: true, ..sent(1) }] {
            let silence = if before.sent { Silence::AlreadySent } else { Silence::OverBefore };
            assert_eq!(plan(&Record { pending: pending(true), ..before.clone() }), Plan::Send(News::Close));
            assert_eq!(plan(&Record { pending: pending(false), ..before }), Plan::Nothing(silence));
        }
    }

    #[test]
    fn an_escalation_counts_from_the_first_notification_until_somebody_acknowledges() {
        let info = incident(2, "open", "info");
        let due = NOW + 600_000;
        let plan = |incident: &IncidentView, record: &Record, now_ms| {
            policy(None).plan(Arrival { incident, notified_since_ms: Some(now_ms) }, record, now_ms)
        };
        let waits = Plan::Wait { until_ms: due, since_ms: NOW, why: WaitingFor::Escalation };
        assert_eq!(plan(&info, &Record::default(), NOW), waits);
        let waiting = Waiting { until_ms: due, since_ms: NOW, why: WaitingFor::Escalation, sequence: 1 };
        let record = Record { revision: 2, waiting: Some(waiting), ..Record::default() };
        assert_eq!(plan(&IncidentView { revision: 3, ..info.clone() }, &record, NOW + 60_000), waits);
        assert_eq!(plan(&info, &record, due), Plan::Send(News::First));
        let acknowledged = IncidentView { acknowledged_by: Some("kim".into()), ..info };
        assert_eq!(plan(&acknowledged, &record, NOW + 60_000), Plan::Nothing(Silence::Acknowledged));
    }

    #[test]
    fn quiet_hours_hold_warnings_back_and_nothing_worse() {
        let policy = policy(Some("{ from: \"22:00\", to: \"07:00\" }"));
        let plan =
            |incident: &IncidentView| policy.plan(Arrival { incident, notified_since_ms: Some(NOW) }, &Record::default(), NOW);
        let morning = NOW + (4 * 3600 + 12 * 60 + 50) * 1_000;
        let waits = Plan::Wait { until_ms: morning, since_ms: NOW, why: WaitingFor::QuietHours };
        assert_eq!(plan(&incident(1, "open", "warning")), waits);
        assert_eq!(plan(&incident(1, "open", "critical")), Plan::Send(News::First));
    }
}
