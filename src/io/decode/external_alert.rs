//! Events of kind alert as alerts of other systems, for the alert life cycle.

use crate::io::decode::raw_event::{RawEvent, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::unknown_words::UnknownWords;
use crate::model::event::ExternalAlert;
use crate::model::labels::Labels;
use crate::model::limits::EXTERNAL_LABELS_MAX;
use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// Fields that other systems send among the labels.
const LABELLED: [(TextField, &str); 5] = [
    (TextField::Name, "alertname"),
    (TextField::Severity, "severity"),
    (TextField::Service, "service"),
    (TextField::Host, "host"),
    (TextField::Env, "env"),
];

/// The alert of an event of kind alert. Fields that are missing are taken from the labels, and the status becomes `firing` or `resolved`,
/// so that the row in the table `alerts` shows the same.
pub(crate) fn external_alert(
    ts: TimestampMs,
    event: &mut RawEvent<'_>,
    unknown: &mut UnknownWords,
) -> Result<ExternalAlert, RejectReason> {
    for (field, label) in LABELLED {
        if event.text(field).is_none() {
            event.texts[field as usize] = event.labels.get(label).cloned();
        }
    }
    let name = event.text(TextField::Name).ok_or_else(|| RejectReason::Field("an alert needs `name`".into()))?.to_string();
    let status = event.text(TextField::Status).unwrap_or("firing");
    let firing = is_firing(status).ok_or_else(|| {
        unknown.count("status", status);
        RejectReason::Field(format!("`status` is {status:?}: an alert is firing or resolved"))
    })?;
    event.texts[TextField::Status as usize] = Some(if firing { "firing" } else { "resolved" }.into());
    let own = [("service", TextField::Service), ("host", TextField::Host), ("env", TextField::Env)];
    let own = own.into_iter().filter_map(|(key, field)| Some((key.to_string(), event.text(field)?.to_string())));
    let given = event.labels.0.iter().filter(|(key, _)| key != "severity" && key != "alertname").take(EXTERNAL_LABELS_MAX);
    let labels = Labels::new(given.map(|(key, value)| (key.to_string(), value.to_string())).chain(own));
    let note = |keys: [&str; 2]| keys.iter().find_map(|key| event.annotations.get(key)).map(|note| note.to_string());
    Ok(ExternalAlert {
        ts,
        name,
        firing,
        severity: severity(event.text(TextField::Severity), unknown),
        key: event.text(TextField::AlertKey).map(String::from),
        labels,
        summary: note(["summary", "description"]),
        runbook: note(["runbook_url", "runbook"]),
    })
}

fn is_firing(status: &str) -> Option<bool> {
    match status.trim().to_ascii_lowercase().as_str() {
        "firing" | "triggered" | "alerting" | "open" | "active" | "problem" => Some(true),
        "resolved" | "ok" | "closed" | "recovered" | "normal" => Some(false),
        _ => None,
    }
}

/// An unknown word must not silence an alert: it counts as a warning.
fn severity(word: Option<&str>, unknown: &mut UnknownWords) -> Severity {
    let Some(word) = word.filter(|word| !word.trim().is_empty()) else { return Severity::Warning };
    word.parse().unwrap_or_else(|_| {
        unknown.count("severity", word);
        Severity::Warning
    })
}
