//! The table of input formats: one line a format.

use crate::io::decode::format::Format;
use crate::io::decode::{
    alertmanager_webhook, arrow_ipc, cloudevents, datadog_events, datadog_logs, datadog_series_v1, datadog_series_v2,
    datadog_webhook, elasticsearch_bulk, fluent_bit, grafana_webhook, kibana_webhook, kubernetes_events, logstash_json,
    loki_push, native_json, newrelic_logs, newrelic_metrics, newrelic_webhook, opensearch_webhook, otlp_logs, otlp_metrics,
    otlp_traces, pagerduty_events, prometheus_alerts, prometheus_remote_write, prometheus_remote_write_v2, splunk_hec,
    splunk_hec_raw, splunk_webhook, syslog, telegraf, vector,
};

/// The header of a message that names its format.
pub const FORMAT_HEADER: &str = "Squelch-Format";

/// All formats.
pub static FORMATS: [&Format; 33] = [
    &native_json::FORMAT,
    &arrow_ipc::FORMAT,
    &otlp_metrics::FORMAT,
    &otlp_logs::FORMAT,
    &otlp_traces::FORMAT,
    &prometheus_remote_write::FORMAT,
    &prometheus_remote_write_v2::FORMAT,
    &prometheus_alerts::FORMAT,
    &alertmanager_webhook::FORMAT,
    &grafana_webhook::FORMAT,
    &loki_push::FORMAT,
    &elasticsearch_bulk::FORMAT,
    &logstash_json::FORMAT,
    &splunk_hec::FORMAT,
    &splunk_hec_raw::FORMAT,
    &splunk_webhook::FORMAT,
    &datadog_series_v1::FORMAT,
    &datadog_series_v2::FORMAT,
    &datadog_logs::FORMAT,
    &datadog_events::FORMAT,
    &datadog_webhook::FORMAT,
    &newrelic_metrics::FORMAT,
    &newrelic_logs::FORMAT,
    &newrelic_webhook::FORMAT,
    &opensearch_webhook::FORMAT,
    &kibana_webhook::FORMAT,
    &pagerduty_events::FORMAT,
    &kubernetes_events::FORMAT,
    &syslog::FORMAT,
    &telegraf::FORMAT,
    &vector::FORMAT,
    &fluent_bit::FORMAT,
    &cloudevents::FORMAT,
];

/// The format of this name.
pub fn of_name(name: &str) -> Option<&'static Format> {
    FORMATS.into_iter().find(|format| format.name == name)
}

/// The format that a `Content-Type` header names; `None` where it names none, as `application/json` does, which many formats use. A media
/// type of the table with a parameter needs that parameter.
pub fn of_media_type(header: &str) -> Option<&'static Format> {
    let mut parts = header.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let has = |parameter: &str| header.split(';').skip(1).any(|given| given.trim().eq_ignore_ascii_case(parameter));
    let names = |known: &str| match known.split_once(';') {
        Some((known, parameter)) => media_type.eq_ignore_ascii_case(known) && has(parameter),
        None => media_type.eq_ignore_ascii_case(known),
    };
    FORMATS.into_iter().find(|format| format.media_types.iter().any(|known| names(known)))
}

/// The format that a subject suggests by one of its tokens.
pub fn suggested_by(subject: &str) -> Option<&'static Format> {
    subject.split('.').find_map(|token| FORMATS.into_iter().find(|format| format.subject_tokens.contains(&token)))
}

/// All names, for messages to people.
pub fn names() -> String {
    FORMATS.map(|format| format.name).join(", ")
}
