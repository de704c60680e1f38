//! Events of kind alert as alerts of other systems, for the alert life cycle.

use crate::io::decode::raw_event::{RawEvent, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::model::event::ExternalAlert;
use crate::model::labels::Labels;
use crate::model::limits::EXTERNAL_LABELS_MAX;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// The alert of an event of kind alert.
pub(crate) fn external_alert(ts: TimestampMs, event: &RawEvent<'_>) -> Result<ExternalAlert, RejectReason> {
    let text = |field| event.text(field).map(String::from);
    let name = text(TextField::Name).or_else(|| event.labels.get("alertname").map(|name| name.to_string()));
    let name = name.ok_or_else(|| RejectReason::Field("an alert needs `name`".into()))?;
    let firing = match event.text(TextField::Status) {
        None | Some("firing" | "triggered" | "alerting" | "open") => true,
        Some("resolved" | "ok" | "closed") => false,
        Some(other) => return Err(RejectReason::Field(format!("`status` is {other:?}: an alert is firing or resolved"))),
    };
    // An unknown word must not silence an alert: it counts as a warning.
    let severity = event.text(TextField::Severity).or_else(|| event.labels.get("severity").map(AsRef::as_ref));
    let severity = severity.map_or(Severity::Warning, |word| word.parse().unwrap_or(Severity::Warning));
    let own = [("service", TextField::Service), ("host", TextField::Host), ("env", TextField::Env)];
    let own = own.into_iter().filter_map(|(key, field)| Some((key.to_string(), text(field)?)));
    let given = event.labels.0.iter().take(EXTERNAL_LABELS_MAX).filter(|(key, _)| key != "severity" && key != "alertname");
    let labels = Labels::new(given.map(|(key, value)| (key.to_string(), value.to_string())).chain(own));
    let note = |keys: [&str; 2]| keys.iter().find_map(|key| event.annotations.get(key)).map(|note| note.to_string());
    Ok(ExternalAlert {
        ts,
        name,
        firing,
        severity,
        labels,
        summary: note(["summary", "description"]),
        runbook: note(["runbook_url", "runbook"]),
    })
}
