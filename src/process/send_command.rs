//! Sends a command and waits for its answer, for whoever speaks for people: the Alertmanager API, the pages, and receivers at which people answer.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::io::command_message::AnswerMessage;
use crate::io::decode::command as body_check;
use crate::io::nats::command_client::{CommandClient, Sent};
use crate::model::command::CommandKind;

/// What became of a command.
pub(crate) enum Outcome {
    /// It is decided.
    Answered(AnswerMessage),
    /// It cannot be, and was not sent.
    Unsendable(String),
    /// It is stored, and nobody has answered in time.
    Unanswered,
}

/// Sends a command of these fields; one without an `id` gets one that nobody else has. The error is for people.
pub(crate) async fn send(
    client: &CommandClient,
    kind: CommandKind,
    mut fields: Map<String, Value>,
    wait: Duration,
) -> Result<Outcome, String> {
    let unreadable = |error: serde_json::Error| format!("a message cannot be read: {error}");
    let given = fields.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let id = match given {
        Some(id) => id,
        None => client.new_id(&serde_json::to_vec(&fields).map_err(unreadable)?),
    };
    fields.insert("id".into(), id.to_string().into());
    let body = serde_json::to_vec(&fields).map_err(unreadable)?;
    // In the words of the decoder that would read it.
    if let Err(why) = body_check::check(&body, kind).and_then(|command| command.action) {
        return Ok(Outcome::Unsendable(why));
    }
    match client.send(kind, id, body.into(), wait).await.map_err(|error| error.to_string())? {
        Sent::Answered(answer) => Ok(Outcome::Answered(serde_json::from_slice(&answer).map_err(unreadable)?)),
        Sent::Unanswered => Ok(Outcome::Unanswered),
    }
}
