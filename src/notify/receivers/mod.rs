//! The receivers, one file each: its settings, the requests that it needs, what answers mean, and the limits of the other side.

pub mod alertmanager_body;
pub mod datadog;
pub mod elasticsearch;
pub mod email;
pub mod grafana;
pub mod json_request;
pub mod loki;
pub mod nats_subject;
pub mod newrelic;
pub mod pagerduty;
pub mod slack;
pub mod splunk_hec;
pub mod teams;
pub mod webhook;
