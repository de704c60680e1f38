//! An incident as a notifier sees it: the message of one revision, read back. Fields that a later squelch adds are kept in
//! [`IncidentView::body`]; fields that are missing are empty.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::model::severity::Severity;
use crate::model::time::{TimestampMs, parse_rfc3339};

/// One revision of one incident.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentView {
    /// The incident's id.
    pub id: String,
    /// From 1, rising.
    pub revision: u32,
    /// What this revision is about: `opened`, `escalated`, …
    pub change: String,
    /// Where the incident is in its life.
    pub status: ViewStatus,
    /// How severe.
    pub severity: Severity,
    /// The environment.
    pub env: String,
    /// One line.
    pub title: String,
    /// What a person needs besides the title.
    pub summary: String,
    /// When the first alert began.
    pub started_at: TimestampMs,
    /// When the revision was made, in event time.
    pub updated_at: TimestampMs,
    /// When the last alert ended.
    pub resolved_at: Option<TimestampMs>,
    /// The likeliest cause.
    pub cause: Option<String>,
    /// The entities that alert.
    pub entities: Vec<String>,
    /// The alerts that the message lists.
    pub alerts: Vec<AlertView>,
    /// The incident that carries on.
    pub merged_into: Option<String>,
    /// Whether a person is to be notified.
    pub send: bool,
    /// Why, for programs.
    pub code: String,
    /// Why, for people.
    pub reason: String,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
    /// Whose work it is.
    pub owner: Option<String>,
    /// The whole message.
    pub body: Arc<Value>,
}

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ViewStatus {
    /// It lasts.
    Open,
    /// It is over.
    Resolved,
    /// It is part of another incident.
    Merged,
}

/// One alert of the incident.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertView {
    /// The identity.
    pub fingerprint: String,
    /// The rule.
    pub rule: String,
    /// Whether it fires.
    pub firing: bool,
    /// The topology node.
    pub entity: Option<String>,
    /// Labels, sorted.
    pub labels: Vec<(String, String)>,
    /// One line.
    pub summary: Option<String>,
    /// Where to read on.
    pub runbook: Option<String>,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// Why a message is no revision of an incident.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIncident {
    /// No JSON.
    #[error("no JSON: {0}")]
    Json(String),
    /// A field that nobody can do without.
    #[error("`{0}` is missing or of another type")]
    Field(&'static str),
}

impl IncidentView {
    /// Reads a message.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoIncident> {
        let body: Value = serde_json::from_slice(bytes).map_err(|error| NoIncident::Json(error.to_string()))?;
        Self::of(body)
    }

    /// Reads a message that is JSON already.
    pub fn of(body: Value) -> Result<Self, NoIncident> {
        let text = |key: &'static str| body[key].as_str().map(String::from).ok_or(NoIncident::Field(key));
        let time = |key: &str| body[key].as_str().and_then(parse_rfc3339);
        let optional = |value: &Value| value.as_str().map(String::from);
        let revision =
            body["revision"].as_u64().and_then(|number| u32::try_from(number).ok()).ok_or(NoIncident::Field("revision"))?;
        let status = ViewStatus::deserialize(&body["status"]).map_err(|_| NoIncident::Field("status"))?;
        let severity = text("severity")?.parse().map_err(|_| NoIncident::Field("severity"))?;
        Ok(Self {
            id: text("id")?,
            revision,
            change: text("change").unwrap_or_default(),
            status,
            severity,
            env: text("env").unwrap_or_default(),
            title: text("title").unwrap_or_default(),
            summary: text("summary").unwrap_or_default(),
            started_at: time("started_at").ok_or(NoIncident::Field("started_at"))?,
            updated_at: time("updated_at").ok_or(NoIncident::Field("updated_at"))?,
            resolved_at: time("resolved_at"),
            cause: optional(&body["root_cause"]["entity"]),
            entities: list(&body["entities"]).filter_map(optional).collect(),
            alerts: list(&body["alerts"]).map(AlertView::of).collect(),
            merged_into: optional(&body["merged_into"]),
            send: body["notify"]["send"].as_bool().ok_or(NoIncident::Field("notify.send"))?,
            code: optional(&body["notify"]["code"]).unwrap_or_default(),
            reason: optional(&body["notify"]["reason"]).unwrap_or_default(),
            acknowledged_by: by(&body["acknowledged"]),
            owner: by(&body["owner"]),
            body: Arc::new(body),
        })
    }

    /// Whether it lasts.
    pub fn is_open(&self) -> bool {
        self.status == ViewStatus::Open
    }

    /// The values of a label in its alerts, each once.
    pub fn label_values(&self, label: &str) -> Vec<&str> {
        let mut values: Vec<&str> = Vec::new();
        let all = self.alerts.iter().flat_map(|alert| &alert.labels);
        for (_, value) in all.filter(|(name, _)| name == label) {
            if !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
        values
    }
}

impl AlertView {
    fn of(alert: &Value) -> Self {
        let text = |key: &str| alert[key].as_str().map(String::from);
        let mut labels: Vec<(String, String)> = alert["labels"]
            .as_object()
            .map(|labels| labels.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_string()))).collect())
            .unwrap_or_default();
        labels.sort();
        Self {
            fingerprint: text("fingerprint").unwrap_or_default(),
            rule: text("rule").unwrap_or_default(),
            firing: alert["status"] == "firing",
            entity: text("entity"),
            labels,
            summary: text("summary"),
            runbook: text("runbook"),
            started_at: text("started_at").unwrap_or_default(),
            ended_at: text("ended_at"),
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Who, where the message has `{"by": …}` or a name alone. An object without a name is somebody all the same.
fn by(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(name) => Some(name.clone()),
        other => Some(other["by"].as_str().or(other["name"].as_str()).unwrap_or("somebody").to_string()),
    }
}
