//! Alerts that do not come of rules: those of other systems, and those that squelch raises itself. Both wait until event time
//! reaches them.

use crate::alert::Transition;
use crate::engine::core::Engine;
use crate::engine::self_alert::SelfAlert;
use crate::model::event::ExternalAlert;
use crate::model::fingerprint::Fingerprint;
use crate::model::labels::Labels;
use crate::model::time::{EARLIEST_MS, TimestampMs};

/// Stands for the time of the first event while there was none.
const UNTIMED: TimestampMs = 0;

impl Engine {
    /// Keeps an alert until time reaches it. One that comes too late starts now, and is counted.
    pub(super) fn await_alert(&mut self, mut alert: ExternalAlert) {
        if alert.ts <= self.handled_until {
            self.stats.late_alerts += 1;
            alert.ts = self.handled_until + 1;
        }
        let fingerprint = match &alert.key {
            Some(key) => Fingerprint::new(key, &Labels::default()),
            None => Fingerprint::new(&alert.name, &alert.labels),
        };
        self.awaited_alerts.insert((alert.ts, !alert.firing, fingerprint, alert.severity), alert);
    }

    /// Hands on the alerts that time has reached.
    pub(super) fn receive_external_alerts(&mut self, at: TimestampMs) -> Vec<Transition> {
        let mut transitions = Vec::new();
        while let Some(entry) = self.awaited_alerts.first_entry().filter(|entry| entry.key().0 <= at) {
            let ((_, _, fingerprint, _), alert) = entry.remove_entry();
            transitions.extend(self.external.receive(fingerprint, alert));
        }
        transitions
    }

    /// Raises an alert of squelch itself, one millisecond after the current time.
    pub(super) fn raise(&mut self, alert: SelfAlert) {
        let SelfAlert { name, severity, labels, summary, lasts_ms } = alert;
        let at = self.watermark.now().map_or(UNTIMED, |now| now.max(self.handled_until) + 1);
        let as_external = |ts, firing| {
            let (name, labels, summary) = (name.clone(), labels.clone(), Some(summary.clone()));
            ExternalAlert { ts, name, firing, severity, key: None, labels, summary, runbook: None }
        };
        // An alert that is raised again ends later.
        self.awaited_alerts.retain(|_, awaited| awaited.firing || awaited.name != name || awaited.labels != labels);
        self.await_alert(as_external(at, true));
        self.await_alert(as_external(at + lasts_ms, false));
    }

    /// Alerts that were raised before the first event start with it.
    pub(super) fn date_self_alerts(&mut self, now: TimestampMs) {
        if self.awaited_alerts.first_key_value().is_none_or(|((at, ..), _)| *at >= EARLIEST_MS) {
            return;
        }
        let (untimed, timed) =
            std::mem::take(&mut self.awaited_alerts).into_values().partition::<Vec<_>, _>(|it| it.ts < EARLIEST_MS);
        for alert in timed {
            self.await_alert(alert);
        }
        for mut alert in untimed {
            alert.ts = now + 1 + (alert.ts - UNTIMED);
            self.await_alert(alert);
        }
    }
}
