//! An alert in the JSON that Alertmanager defined, for its own webhook and for what Prometheus, vmalert, Loki's ruler and Grafana send.

use serde::Deserialize;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::json_text::JsonText;
use crate::io::decode::raw_event::{Pairs, RawEvent, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::semantic::{Ranks, alert_meaning_of};
use crate::model::event::Kind;
use crate::model::time::{EARLIEST_MS, TimestampMs, parse_rfc3339};

/// The alert. Keys may be repeated, as vmalert repeats `alertname`: of those the last counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct WireAlert<'a> {
    #[serde(borrow)]
    pub(crate) status: Option<JsonText<'a>>,
    #[serde(borrow)]
    pub(crate) labels: Option<Pairs<'a>>,
    #[serde(borrow)]
    pub(crate) annotations: Option<Pairs<'a>>,
    #[serde(borrow)]
    pub(crate) starts_at: JsonText<'a>,
    #[serde(borrow)]
    pub(crate) ends_at: JsonText<'a>,
}

impl<'a> WireAlert<'a> {
    /// The event. An alert without a status is resolved when its end has come; the year 1 is no end. What fires is reported now, so that it
    /// does not expire while its sender repeats it.
    pub(crate) fn into_event(self, received_at: Option<TimestampMs>) -> RawEvent<'a> {
        let (starts_at, ends_at) = (time(&self.starts_at), time(&self.ends_at));
        let known = |time: &Result<Option<TimestampMs>, String>| time.as_ref().ok().copied().flatten();
        let (start, end) = (known(&starts_at), known(&ends_at));
        let ended = end.filter(|end| received_at.is_none_or(|now| *end <= now));
        let status = self.status.map(|status| status.0).filter(|status| !status.is_empty());
        let resolved = match status.as_deref() {
            Some(status) => status.eq_ignore_ascii_case("resolved"),
            None => ended.is_some(),
        };
        let ts = if resolved { ended.or(received_at).or(end) } else { received_at.or(start) };
        let bad = starts_at.err().or(ends_at.err());
        let labels = self.labels.unwrap_or_default();
        let ts = bad.map(Err).or(ts.map(Ok));
        let mut event = RawEvent { ts, ..RawEvent::default() };
        let mut ranks = Ranks::default();
        for (key, value) in &labels.0 {
            if let Some(meaning) = alert_meaning_of(key) {
                ranks.offer(&mut event, meaning, key, value.clone());
            }
        }
        event.set(TextField::Status, if resolved { "resolved".into() } else { status.unwrap_or("firing".into()) });
        event.labels = labels;
        event.annotations = self.annotations.unwrap_or_default();
        event
    }
}

/// A time; the year 1 is none.
fn time(text: &JsonText<'_>) -> Result<Option<TimestampMs>, String> {
    match text.0.as_ref() {
        "" => Ok(None),
        text => match parse_rfc3339(text) {
            Some(ts) => Ok(Some(ts).filter(|ts| *ts >= EARLIEST_MS)),
            None => Err(format!("a time is {text:?}: it must be RFC 3339 with a zone")),
        },
    }
}

/// Takes alerts of a message, in order.
pub(crate) fn take_all(alerts: Vec<WireAlert<'_>>, sink: &mut EventSink<'_>) {
    for (at, alert) in alerts.into_iter().enumerate() {
        sink.take(at + 1, Kind::Alert, &mut alert.into_event(sink.received_at()));
    }
}

/// A group of alerts, as webhooks send it.
#[derive(Deserialize)]
struct Group<'a> {
    #[serde(borrow)]
    alerts: Vec<WireAlert<'a>>,
}

/// Decodes a webhook: its alerts have all that the group has in common.
pub(crate) fn decode_group(payload: &[u8], sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let group: Group<'_> = serde_json::from_slice(payload).map_err(|error| RejectReason::Json(error.to_string()))?;
    take_all(group.alerts, sink);
    Ok(())
}
