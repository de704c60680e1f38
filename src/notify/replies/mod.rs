//! What people answer where they were notified: a page acknowledged in PagerDuty, a button pressed in Slack, as commands to squelch.
//!
//! The service signs each request with a secret that both know. What is not signed changes nothing. Whom the service calls by which name
//! is what the command says who sent it.

pub mod pagerduty;
pub mod slack;

use ring::hmac;
use serde_json::{Map, Value};

use crate::model::command::CommandKind;
use crate::model::hex;
use crate::model::time::TimestampMs;
use crate::notify::settings::secret::Hidden;

/// A request as it came.
pub struct SignedRequest<'a> {
    /// The value of a header, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body, to the byte: it is what was signed.
    pub body: &'a [u8],
    /// When it came.
    pub now_ms: TimestampMs,
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The same where the service sends it again.
    pub id: String,
    /// Who.
    pub by: String,
    /// What for.
    pub incident: String,
    /// What.
    pub action: ReplyAction,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyAction {
    /// I take care of it.
    Acknowledge,
    /// I do not after all.
    Unacknowledge,
    /// It is over.
    Resolve,
    /// Nobody wants to hear of it for an hour.
    SilenceForAnHour,
}

/// Why nothing was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The signature is missing, or another.
    #[error("the signature is missing or wrong: is this the secret that {0} shows?")]
    Unsigned(&'static str),
    /// Its time is too far from now: somebody may have kept it.
    #[error("the request is {0} s from now: is the clock right?")]
    Stale(i64),
    /// It is signed, and something else.
    #[error("the request cannot be read: {0}")]
    Unreadable(String),
}

/// Reads the requests of one service.
pub trait ReadReplies: Send + Sync {
    /// What a request asks for: nothing where it is about something else.
    fn read(&self, request: &SignedRequest<'_>) -> Result<Vec<Reply>, ReplyError>;
}

impl Reply {
    /// As a command: its kind and its fields.
    pub fn command(&self, receiver: &str) -> (CommandKind, Map<String, Value>) {
        let kind = match self.action {
            ReplyAction::Acknowledge => CommandKind::Acknowledge,
            ReplyAction::Unacknowledge => CommandKind::Unacknowledge,
            ReplyAction::Resolve => CommandKind::Resolve,
            ReplyAction::SilenceForAnHour => CommandKind::Silence,
        };
        let mut fields = Map::from_iter([
            ("by".to_string(), Value::from(self.by.as_str())),
            ("comment".to_string(), Value::from(format!("from {receiver}"))),
            ("incident".to_string(), Value::from(self.incident.as_str())),
        ]);
        if self.action == ReplyAction::SilenceForAnHour {
            fields.insert("for".into(), "1h".into());
        }
        (kind, fields)
    }
}

fn key(secret: &Hidden) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes())
}

/// Whether one of `given`, which are hexadecimal, is the signature of `signed`. In constant time.
fn is_signed<'a>(key: &hmac::Key, signed: &[u8], given: impl Iterator<Item = &'a str>) -> bool {
    given.filter_map(hex::bytes).any(|signature| hmac::verify(key, signed, &signature).is_ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the service would send as signature.
    pub(crate) fn signature(secret: &str, signed: &[u8]) -> String {
        let signed = hmac::sign(&key(&Hidden(secret.into())), signed);
        signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
