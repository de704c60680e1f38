//! Messages in, Arrow columns out:
//!
//! ```text
//! message -> decompress -> one of the formats -> event sink (kind, time) -> table builders -> batch
//! ```
//!
//! Good events of a bad message count; a bad event is handed back with its bytes and the reason, and stops nothing. No format knows
//! another one, none knows where a message came from.
//!
//! A new format is a folder with a static [`format::Format`] and a line in [`formats::FORMATS`]; a folder `fixtures/formats/<name>`
//! with messages and what they decode to; a target in `tests/it/input/fuzz`; a section in the documents. `tests/it/input/formats.rs`
//! checks that none of these is missing.

pub mod alert_documents;
pub mod alertmanager_webhook;
pub mod arrow_ipc;
pub mod cloudevents;
pub mod command;
pub mod datadog;
pub mod datadog_events;
pub mod datadog_logs;
pub mod datadog_series_v1;
pub mod datadog_series_v2;
pub mod datadog_webhook;
pub mod decoder;
pub mod decompress;
pub mod elasticsearch_bulk;
pub mod event_columns;
pub mod event_sink;
pub mod external_alert;
pub mod flat_json;
pub mod fluent_bit;
pub mod format;
pub mod formats;
pub mod grafana_webhook;
pub mod histogram;
pub mod json_text;
pub mod json_values;
pub mod kibana_webhook;
pub mod kubernetes_events;
pub mod log_documents;
pub mod logstash_json;
pub mod loki_push;
pub mod message_info;
pub mod native_json;
pub mod newrelic_logs;
pub mod newrelic_metrics;
pub mod newrelic_webhook;
pub mod opensearch_webhook;
pub mod otlp;
pub mod otlp_logs;
pub mod otlp_metrics;
pub mod otlp_traces;
pub mod pagerduty_events;
pub mod prometheus;
pub mod prometheus_alerts;
pub mod prometheus_remote_write;
pub mod prometheus_remote_write_v2;
pub mod protobuf;
mod protobuf_records;
pub mod raw_event;
pub mod rejection;
pub mod rows;
pub mod semantic;
pub mod series;
mod signal_table;
pub mod split;
pub mod splunk_hec;
pub mod splunk_hec_raw;
pub mod splunk_webhook;
pub mod subject_formats;
pub mod syntax;
pub mod syslog;
pub mod table_builders;
pub mod telegraf;
pub mod template_webhook;
pub mod time_check;
pub mod unknown_words;
pub mod vector;
pub mod wire_alert;
pub mod wire_time;
