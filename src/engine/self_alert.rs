//! What squelch itself has to say: that its input has holes, say. It enters the life of alerts as other systems' do, at the
//! instant that events have come to: no clock is asked.

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::model::event::ExternalAlert;
use crate::model::labels::Labels;
use crate::model::severity::Severity;
use crate::model::time::{EARLIEST_MS, TimestampMs};

/// Stands for the instant of the first event while there was none.
const UNTIMED: TimestampMs = 0;

/// An alert that squelch raises by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfAlert {
    /// Its name; stands for the rule.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// Its labels.
    pub labels: Labels,
    /// For people.
    pub summary: String,
    /// After so long, in event time, it is over, unless it is raised again.
    pub lasts_ms: i64,
}

impl Engine {
    /// Raises it when time goes on.
    pub(crate) fn raise(&mut self, alert: SelfAlert) {
        let SelfAlert { name, severity, labels, summary, lasts_ms } = alert;
        let at = self.watermark.now().map_or(UNTIMED, |now| now.max(self.handled) + 1);
        let said = |ts, firing| {
            let (name, labels, summary) = (name.clone(), labels.clone(), Some(summary.clone()));
            ExternalAlert { ts, name, firing, severity, labels, summary, runbook: None }
        };
        // Raised again, it lasts from now on.
        self.awaited.retain(|_, awaited| awaited.firing || awaited.name != name || awaited.labels != labels);
        self.await_alert(said(at, true));
        self.await_alert(said(at + lasts_ms, false));
    }

    /// What was raised before the first event counts from it.
    pub(crate) fn time_raised(&mut self, now: TimestampMs) {
        if self.awaited.first_key_value().is_none_or(|((at, ..), _)| *at >= EARLIEST_MS) {
            return;
        }
        let (untimed, timed) = std::mem::take(&mut self.awaited).into_values().partition::<Vec<_>, _>(|it| it.ts < EARLIEST_MS);
        for alert in timed {
            self.await_alert(alert);
        }
        for mut alert in untimed {
            alert.ts = now + 1 + (alert.ts - UNTIMED);
            self.await_alert(alert);
        }
    }
}
