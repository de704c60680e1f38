//! The decision to notify: one variant for each reason, with what the reason is about. Notifiers branch on its code, people read its
//! text.

use std::fmt;
use std::sync::Arc;

use crate::incident::id::IncidentId;
use crate::model::duration::format_ms;
use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, format_clock, format_rfc3339};

/// A fault that people do not know of: a rule, or another system's alert, that no notification named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFault {
    /// The rule.
    pub rule: Arc<str>,
    /// The entity; the rule's own name where its alerts name none.
    pub subject: Arc<str>,
    /// How many more such rules fire.
    pub more: usize,
}

/// Whether a person is notified, and why or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Sent: nobody was notified of the incident before.
    FirstNotification,
    /// Sent: it is more severe than when last notified.
    SeverityRose {
        /// As last notified.
        from: Severity,
        /// Now.
        to: Severity,
    },
    /// Sent: a rule fires that no notification named.
    NewFault(NewFault),
    /// Sent: another entity is the likeliest cause, for long enough.
    CauseChanged {
        /// The entity.
        cause: Arc<str>,
    },
    /// Sent: entities fail that no notification named.
    MoreEntities {
        /// How many.
        more: usize,
    },
    /// Sent: nobody was notified for `notify.repeat`, and it is still open.
    StillOpen {
        /// Since the last notification.
        silence_ms: i64,
    },
    /// Sent: it fires again after its end was notified.
    Reopened,
    /// Sent: it is over.
    Resolved,
    /// Sent: no alert fires any more, but not because all is well.
    EndedUnknown {
        /// What ended, and why: a sentence.
        why: Arc<str>,
    },
    /// Sent: a silence ended, and it still fails.
    SilenceEnded {
        /// Who had made it.
        by: Arc<str>,
    },
    /// Sent: an acknowledgement ran out, and it still fails.
    AcknowledgementEnded {
        /// Whose it was.
        by: Arc<str>,
    },
    /// Silent: it is part of another incident now.
    Merged {
        /// The incident that goes on.
        into: IncidentId,
    },
    /// Silent: the first notification waits for related alerts.
    WaitingForRelated {
        /// Until when.
        until: TimestampMs,
    },
    /// Silent: the first notification waits for a rule about a dependency that breaches and does not fire yet.
    HeldForDependency {
        /// Until when at the latest.
        until: TimestampMs,
        /// What may be failing.
        dependency: Arc<str>,
        /// Who depends on it and fails.
        dependent: Arc<str>,
    },
    /// Silent: it was over before the first notification was due.
    EndedUnnotified,
    /// Silent: it opens and resolves again and again.
    Flapping {
        /// How often it was reopened within an hour.
        times: usize,
    },
    /// Silent: nobody waits for the end of an announcement.
    InfoEnded,
    /// Silent: its end was notified before.
    EndAlreadyNotified,
    /// Silent: another entity may be the cause, for too short a time yet.
    CauseSettling {
        /// The entity.
        cause: Arc<str>,
        /// When it will have lasted long enough.
        until: TimestampMs,
    },
    /// Silent: a new fault waits for `notify.interval` after the last notification.
    NewFaultWaiting {
        /// What is new.
        fault: NewFault,
        /// When it is notified if it still fires.
        until: TimestampMs,
    },
    /// Silent: newly failing entities wait for `notify.interval` after the last notification.
    MoreEntitiesWaiting {
        /// How many.
        more: usize,
        /// When they are notified if they still fail.
        until: TimestampMs,
    },
    /// Silent: nothing that a person does not know.
    NothingNew,
    /// Silent: everything that fires is silenced.
    Silenced {
        /// Who made the silence that ends first.
        by: Arc<str>,
        /// When that is; `None` where it ends with the incident.
        until: Option<TimestampMs>,
    },
    /// Silent: everything that fires is under maintenance.
    Maintenance {
        /// Who planned it.
        by: Arc<str>,
        /// Until when.
        until: Option<TimestampMs>,
    },
    /// Silent: somebody takes care of it, and it did not get worse.
    Acknowledged {
        /// Who.
        by: Arc<str>,
        /// When that runs out.
        until: Option<TimestampMs>,
    },
}

impl Decision {
    /// So many of [`Self::CODES`] are sent.
    const SENT: usize = 11;
    /// The codes of all decisions, those that are sent first.
    pub const CODES: [&'static str; 25] = [
        "first_notification",
        "severity_rose",
        "new_fault",
        "cause_changed",
        "more_entities",
        "still_open",
        "reopened",
        "resolved",
        "ended_unknown",
        "silence_ended",
        "acknowledgement_ended",
        "merged",
        "waiting_for_related",
        "held_for_dependency",
        "ended_unnotified",
        "flapping",
        "info_ended",
        "end_already_notified",
        "cause_settling",
        "new_fault_waiting",
        "more_entities_waiting",
        "nothing_new",
        "silenced",
        "maintenance",
        "acknowledged",
    ];

    /// Whether a person is notified.
    pub fn is_sent(&self) -> bool {
        self.index() < Self::SENT
    }

    /// Whether decisions of this code notify a person.
    pub fn is_sent_code(code: &str) -> bool {
        Self::CODES[..Self::SENT].contains(&code)
    }

    /// The reason for people, without what differs from case to case.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FirstNotification => "first notification",
            Self::SeverityRose { .. } => "the severity rose",
            Self::NewFault(_) => "a new fault",
            Self::CauseChanged { .. } => "another entity is the likeliest cause",
            Self::MoreEntities { .. } => "more entities fail",
            Self::StillOpen { .. } => "still open",
            Self::Reopened => "failing again after it was resolved",
            Self::Resolved => "resolved",
            Self::EndedUnknown { .. } => "no longer known to fail or to be well",
            Self::SilenceEnded { .. } => "a silence ended",
            Self::AcknowledgementEnded { .. } => "an acknowledgement ran out",
            Self::Merged { .. } => "merged into another incident",
            Self::WaitingForRelated { .. } => "waiting for related alerts",
            Self::HeldForDependency { .. } => "held while a dependency may be failing",
            Self::EndedUnnotified => "ended before anyone was notified",
            Self::Flapping { .. } => "flapping",
            Self::InfoEnded => "the end of an info incident",
            Self::EndAlreadyNotified => "its end was already notified",
            Self::CauseSettling { .. } => "waiting to be sure of another cause",
            Self::NewFaultWaiting { .. } => "a new fault, soon after the last notification",
            Self::MoreEntitiesWaiting { .. } => "more entities fail, soon after the last notification",
            Self::NothingNew => "nothing new",
            Self::Silenced { .. } => "silenced",
            Self::Maintenance { .. } => "under maintenance",
            Self::Acknowledged { .. } => "acknowledged",
        }
    }

    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        Self::CODES[self.index()]
    }

    /// The place of its code in [`Self::CODES`].
    pub fn index(&self) -> usize {
        match self {
            Self::FirstNotification => 0,
            Self::SeverityRose { .. } => 1,
            Self::NewFault(_) => 2,
            Self::CauseChanged { .. } => 3,
            Self::MoreEntities { .. } => 4,
            Self::StillOpen { .. } => 5,
            Self::Reopened => 6,
            Self::Resolved => 7,
            Self::EndedUnknown { .. } => 8,
            Self::SilenceEnded { .. } => 9,
            Self::AcknowledgementEnded { .. } => 10,
            Self::Merged { .. } => 11,
            Self::WaitingForRelated { .. } => 12,
            Self::HeldForDependency { .. } => 13,
            Self::EndedUnnotified => 14,
            Self::Flapping { .. } => 15,
            Self::InfoEnded => 16,
            Self::EndAlreadyNotified => 17,
            Self::CauseSettling { .. } => 18,
            Self::NewFaultWaiting { .. } => 19,
            Self::MoreEntitiesWaiting { .. } => 20,
            Self::NothingNew => 21,
            Self::Silenced { .. } => 22,
            Self::Maintenance { .. } => 23,
            Self::Acknowledged { .. } => 24,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstNotification => f.write_str("first notification"),
            Self::SeverityRose { from, to } => write!(f, "severity rose from {from} to {to}"),
            Self::NewFault(fault) => write!(f, "new fault: {fault}"),
            Self::CauseChanged { cause } => write!(f, "the likeliest cause is now {cause}"),
            Self::MoreEntities { more } => write!(f, "{more} more {} failing", entities(*more)),
            Self::StillOpen { silence_ms } => write!(f, "still open {} after the last notification", format_ms(*silence_ms)),
            Self::Reopened => f.write_str("failing again after it was resolved"),
            Self::Resolved => f.write_str("resolved"),
            Self::EndedUnknown { why } => write!(f, "no longer known to fail or to be well: {why}"),
            Self::SilenceEnded { by } => write!(f, "the silence by {by} ended, and it still fails"),
            Self::AcknowledgementEnded { by } => write!(f, "the acknowledgement by {by} ran out, and it still fails"),
            Self::Merged { into } => write!(f, "merged into {into}"),
            Self::WaitingForRelated { until } => write!(f, "waiting until {} for related alerts", format_clock(*until)),
            Self::HeldForDependency { until, dependency, dependent } => {
                write!(f, "held until {}: {dependency} may be failing, and {dependent} depends on it", format_clock(*until))
            }
            Self::EndedUnnotified => f.write_str("ended before anyone was notified"),
            Self::Flapping { times } => write!(f, "flapping: reopened {times} times within an hour"),
            Self::InfoEnded => f.write_str("the end of an info incident is not notified"),
            Self::EndAlreadyNotified => f.write_str("its end was already notified"),
            Self::CauseSettling { cause, until } => {
                write!(f, "the likeliest cause may now be {cause}: waiting until {} to be sure", format_clock(*until))
            }
            Self::NewFaultWaiting { fault, until } => {
                write!(f, "new fault: {fault}; to be notified at {} if it still fires", format_clock(*until))
            }
            Self::MoreEntitiesWaiting { more, until } => {
                let noun = entities(*more);
                write!(f, "{more} more {noun} failing; to be notified at {} if still so", format_clock(*until))
            }
            Self::NothingNew => f.write_str("nothing new"),
            Self::Silenced { by, until } => write!(f, "silenced by {by}{}", Until(*until)),
            Self::Maintenance { by, until } => write!(f, "under maintenance by {by}{}", Until(*until)),
            Self::Acknowledged { by, until } => write!(f, "acknowledged by {by}{}", Until(*until)),
        }
    }
}

/// Until when, with the date: silences last for days.
struct Until(Option<TimestampMs>);

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |until| write!(f, " until {}", format_rfc3339(until)))
    }
}

impl fmt::Display for NewFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule)?;
        if self.subject != self.rule {
            write!(f, " on {}", self.subject)?;
        }
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

fn entities(number: usize) -> &'static str {
    if number == 1 { "entity" } else { "entities" }
}
