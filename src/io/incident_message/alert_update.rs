//! What happened to one alert, as the world sees it: one JSON message with the incident and the revision that it belongs to. The shape is
//! a contract; it is only ever added to.

use schemars::JsonSchema;
use serde::Serialize;

use crate::alert::Alert;
use crate::incident::revision::Revision;
use crate::io::incident_message::{AlertMessage, Time, token};
use crate::model::time::format_rfc3339;

/// One change of one alert: it fires, it is more severe, or it ended.
#[derive(Serialize, JsonSchema)]
pub struct AlertUpdateMessage {
    /// The incident that it belongs to.
    pub incident: String,
    /// The revision of the incident that counts the change.
    pub revision: u32,
    /// When that revision was made.
    #[schemars(with = "Time")]
    pub at: String,
    /// The environment.
    pub env: String,
    /// The alert as it is from here on.
    #[serde(flatten)]
    pub alert: AlertMessage,
}

/// The message.
pub fn to_json(revision: &Revision, alert: &Alert) -> String {
    let team = revision.team_of(alert).map(ToString::to_string);
    let message = AlertUpdateMessage {
        incident: revision.id.to_string(),
        revision: revision.revision,
        at: format_rfc3339(revision.updated_at),
        env: alert.env.to_string(),
        alert: AlertMessage { team, ..AlertMessage::from(alert) },
    };
    match serde_json::to_string(&message) {
        Ok(line) => line,
        Err(error) => unreachable!("texts and numbers always serialize: {error}"),
    }
}

/// The JSON Schema of the message.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(AlertUpdateMessage).to_value()
}

/// The subject: `<prefix>.<env>.<severity>.<entity>`.
pub fn subject(prefix: &str, alert: &Alert) -> String {
    format!("{prefix}.{}.{}.{}", token(&alert.env), alert.severity, token(alert.entity.as_deref().unwrap_or("unknown")))
}

/// The id that lets a server drop a repeated message.
pub fn message_id(revision: &Revision, alert: &Alert) -> String {
    format!("{}-{}-{}", revision.id, revision.revision, alert.fingerprint)
}
