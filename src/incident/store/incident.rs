//! The state of one incident, and what follows from it alone. What an instant does to it is the store's.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::incident::handling::Handling;
use crate::incident::id::IncidentId;
use crate::incident::link_score::{Direction, Tie};
use crate::incident::notify::state::{NotifyFacts, NotifyState};
use crate::incident::status::Status;
use crate::incident::store::alert_set::AlertSet;
use crate::incident::store::link_set::LinkSet;
use crate::incident::store::silenced::SilencedAlerts;
use crate::model::fingerprint::Fingerprint;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// An incident of more alerts than this is large.
const LARGE_ALERTS: usize = 5;
/// For each alert that it has, a large incident waits this long for more before a revision of which nobody is told.
const WAIT_PER_ALERT_MS: i64 = 200;
/// But no longer than this.
const WAIT_MAX_MS: i64 = 10_000;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Incident {
    pub(crate) env: Arc<str>,
    pub(crate) opened_at: TimestampMs,
    pub(crate) started_at: TimestampMs,
    pub(crate) resolved_at: Option<TimestampMs>,
    pub(crate) severity: Severity,
    pub(crate) revision: u32,
    pub(crate) alerts: AlertSet,
    pub(crate) links: LinkSet,
    pub(crate) notify: NotifyState,
    pub(crate) cause: Option<Arc<str>>,
    pub(crate) revised_at: TimestampMs,
    /// Alerts that changed since the last revision.
    pub(crate) changed: BTreeSet<Fingerprint>,
    /// Its alerts changed, and the revision that reports it waits for more.
    pub(crate) owes: bool,
    /// Since when some link stands on an edge that the graph has no more.
    pub(crate) doubted_at: Option<TimestampMs>,
    /// The incident that it was part of.
    pub(crate) split_from: Option<IncidentId>,
    pub(crate) silenced: SilencedAlerts,
    pub(crate) handling: Handling,
    /// When the store looks at it next.
    #[serde(skip)]
    pub(crate) wake_at: Option<TimestampMs>,
}

impl Incident {
    /// One that begins with this alert, without it.
    pub(crate) fn new(at: TimestampMs, first: &Alert) -> Self {
        Self {
            env: Arc::clone(&first.env),
            opened_at: at,
            started_at: first.started_at,
            resolved_at: None,
            severity: first.severity,
            revision: 0,
            alerts: AlertSet::default(),
            links: LinkSet::default(),
            notify: NotifyState::default(),
            cause: None,
            revised_at: at,
            changed: BTreeSet::new(),
            owes: false,
            doubted_at: None,
            split_from: None,
            silenced: SilencedAlerts::default(),
            handling: Handling::default(),
            wake_at: None,
        }
    }

    /// How long alerts that are no news for a person are gathered.
    pub(crate) fn gathers_for(&self) -> i64 {
        let alerts = self.alerts.len();
        if alerts > LARGE_ALERTS { (alerts as i64 * WAIT_PER_ALERT_MS).min(WAIT_MAX_MS) } else { 0 }
    }

    pub(crate) fn status(&self) -> Status {
        if self.resolved_at.is_some() { Status::Resolved } else { Status::Open }
    }

    pub(crate) fn facts(&self, at: TimestampMs) -> NotifyFacts<'_> {
        // What is silenced is no news, and makes nothing worse.
        let silenced = |fingerprint: Fingerprint| self.silenced.contains(fingerprint);
        let (severity, new_entities) = if self.silenced.is_empty() {
            (self.severity, self.alerts.unnotified_failing())
        } else {
            (
                self.alerts.severity_of(&|it| !silenced(it)).unwrap_or(self.severity),
                self.alerts.unnotified_failing_of(&|it| !silenced(it)),
            )
        };
        let all_silenced = !self.silenced.is_empty() && self.silenced.firing() == self.alerts.firing_alerts();
        NotifyFacts {
            at,
            status: self.status(),
            severity,
            cause: self.cause.as_ref(),
            new_entities,
            new_fault: self.alerts.new_fault(severity, &|it| !silenced(it)),
            alerts: self.alerts.joined(),
            ended_unknown: self.ended_unknown(),
            held_by: None,
            merged_into: None,
            silenced: self.silenced.first_to_end().filter(|_| all_silenced).cloned(),
        }
    }

    /// An alert joined, or changed. Yields the ended alert that had to make room for it.
    pub(crate) fn put(&mut self, alert: Arc<Alert>) -> Option<Arc<Alert>> {
        self.changed.insert(alert.fingerprint);
        self.alerts.put(alert)
    }

    /// Why nobody knows that all is well, although nothing fires.
    pub(crate) fn ended_unknown(&self) -> Option<Arc<str>> {
        self.resolved_at?;
        let (alert, more) = self.alerts.worst_unrecovered()?;
        let because = alert.ended_because()?.describe(&alert.rule, alert.subject());
        Some(if more == 0 { because.into() } else { format!("{because}; {more} more alerts ended likewise").into() })
    }

    /// Whether an alert has nothing but its entity in common with what was notified: it is critical, of a rule that no notification named, and
    /// nothing else began for a while.
    pub(crate) fn is_unrelated(&self, alert: &Alert, ties: &[&Tie], gap_ms: i64) -> bool {
        alert.severity == Severity::Critical
            && !ties.is_empty()
            && ties.iter().all(|tie| tie.direction() == Direction::Same)
            && self.alerts.last_start_but(alert.fingerprint).is_some_and(|last| alert.started_at - last > gap_ms)
    }
}
