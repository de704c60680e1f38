//! What is posted to `/api/v2/alerts` of an Alertmanager: a list of alerts, from Prometheus, vmalert, Loki's ruler and Grafana.

use std::borrow::Cow;

use crate::io::decode::event_sink::EventSink;
use crate::io::decode::format::Format;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::split::json;
use crate::io::decode::wire_alert::{WireAlert, take_all};

/// Lists of alerts.
pub static FORMAT: Format = Format {
    name: "prometheus_alerts",
    media_types: &[],
    subject_tokens: &[],
    recognise: |_| false,
    decode,
    split: |message, max| json::lists(message, max, &[&[""]]),
};

fn decode(payload: Cow<'_, [u8]>, sink: &mut EventSink<'_>) -> Result<(), RejectReason> {
    let alerts: Vec<WireAlert<'_>> = serde_json::from_slice(&payload).map_err(|error| RejectReason::Json(error.to_string()))?;
    take_all(alerts, sink);
    Ok(())
}
