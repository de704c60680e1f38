//! Webhooks of systems that send alerts: `/webhooks/{alertmanager,grafana,datadog,newrelic,splunk,opensearch,kibana}`. Those whose body is up to
//! the user are documented with a template.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::json;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, System, post};
use crate::io::intake::refusal::{JSON, Refusal, answer};
use crate::model::event::Kind;

const fn system(name: &'static str) -> System {
    System { name, refused }
}

const fn webhook(system: &'static System, format: &'static str) -> Endpoint {
    Endpoint::new(system, Examine::Is(Content::of(format, Kind::Alert), || answer(StatusCode::OK, JSON, r#"{"status":"ok"}"#)))
}

static ALERTMANAGER_SYSTEM: System = system("alertmanager");
static GRAFANA_SYSTEM: System = system("grafana");
static DATADOG_SYSTEM: System = system("datadog");
static NEWRELIC_SYSTEM: System = system("newrelic");
static SPLUNK_SYSTEM: System = system("splunk");
static OPENSEARCH_SYSTEM: System = system("opensearch");
static KIBANA_SYSTEM: System = system("kibana");

static ALERTMANAGER: Endpoint = webhook(&ALERTMANAGER_SYSTEM, "alertmanager_webhook");
static GRAFANA: Endpoint = webhook(&GRAFANA_SYSTEM, "grafana_webhook");
static DATADOG: Endpoint = webhook(&DATADOG_SYSTEM, "datadog_webhook");
static NEWRELIC: Endpoint = webhook(&NEWRELIC_SYSTEM, "newrelic_webhook");
static SPLUNK: Endpoint = webhook(&SPLUNK_SYSTEM, "splunk_webhook");
static OPENSEARCH: Endpoint = webhook(&OPENSEARCH_SYSTEM, "opensearch_webhook");
static KIBANA: Endpoint = webhook(&KIBANA_SYSTEM, "kibana_webhook");

/// The paths.
pub fn routes() -> Router<Arc<Intake>> {
    Router::new()
        .route("/webhooks/alertmanager", post(&ALERTMANAGER))
        .route("/webhooks/grafana", post(&GRAFANA))
        .route("/webhooks/datadog", post(&DATADOG))
        .route("/webhooks/newrelic", post(&NEWRELIC))
        .route("/webhooks/splunk", post(&SPLUNK))
        .route("/webhooks/opensearch", post(&OPENSEARCH))
        .route("/webhooks/kibana", post(&KIBANA))
}

fn refused(_: &Parts, refusal: &Refusal) -> Response {
    refusal.answer(JSON, json!({ "error": refusal.to_string() }).to_string())
}
