//! The shipped rules, embedded: the demo needs no files.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::diagnostic::report::Report;
use crate::rule::check::{LoadedRules, from_texts};

macro_rules! pack {
    ($($path:literal),+ $(,)?) => {
        /// Path below `rules/` and text of each shipped rule.
        pub const FILES: &[(&str, &str)] = &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/rules/", $path)))),+];
    };
}

pack![
    "app/agent_call_failures.sql",
    "app/agent_handoff_failures.sql",
    "app/agent_response_slow.sql",
    "app/api_latency_high.sql",
    "app/guardrail_violations.sql",
    "app/http_client_error_rate.sql",
    "app/http_in_flight_high.sql",
    "app/http_server_error_rate.sql",
    "app/http_throughput_collapse.sql",
    "app/js_error_rate.sql",
    "app/llm_token_use_high.sql",
    "app/page_load_slow.sql",
    "app/ui_interaction_slow.sql",
    "business/checkout_conversion_low.sql",
    "business/conversations_started_low.sql",
    "business/feature_use_stalled.sql",
    "business/signups_stalled.sql",
    "infra/db_connections_high.sql",
    "infra/db_query_slow.sql",
    "infra/db_replication_lag.sql",
    "infra/host_cpu_high.sql",
    "infra/host_disk_io_high.sql",
    "infra/host_disk_used.sql",
    "infra/host_memory_high.sql",
    "infra/host_network_errors.sql",
    "infra/host_network_saturated.sql",
    "infra/lb_backends_unhealthy.sql",
    "logs/log_attack_patterns.sql",
    "logs/log_connection_pool_exhausted.sql",
    "logs/log_error_rate.sql",
    "logs/log_out_of_memory.sql",
    "logs/log_warning_volume.sql",
    "security/data_access_volume.sql",
    "security/failed_logins_by_source.sql",
    "security/failed_logins_overall.sql",
    "security/unauthorised_access.sql",
];

/// The shipped rules, checked.
pub fn load() -> Result<LoadedRules, Report> {
    let files = FILES.iter().map(|(path, text)| (PathBuf::from("rules").join(path), Arc::from(*text)));
    from_texts(files.collect())
}
