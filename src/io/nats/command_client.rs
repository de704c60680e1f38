//! The sender's side of commands: publishes one, waits for its answer, and reads what is open and silenced now. It decides nothing.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::kv;
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::timeout;

use crate::io::nats::NatsError;
use crate::io::nats::client::settings::{CommandsConfig, InputConfig, OutputConfig};
use crate::io::nats::client::streams;
use crate::model::command::{CommandId, CommandKind};

/// Sends commands to the squelch that reads a stream of events.
#[derive(Clone)]
pub struct CommandClient {
    context: Context,
    input: InputConfig,
    output: OutputConfig,
    commands: CommandsConfig,
}

/// What became of a command that was sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// The answer's message.
    Answered(Bytes),
    /// It is stored, and nobody has answered yet.
    Unanswered,
}

impl CommandClient {
    /// A client of what these settings name.
    pub fn new(context: Context, input: &InputConfig, output: &OutputConfig, commands: &CommandsConfig) -> Self {
        Self { context, input: input.clone(), output: output.clone(), commands: commands.clone() }
    }

    /// An id for a command that nobody else gives.
    pub fn new_id(&self, body: &[u8]) -> CommandId {
        // An inbox is a name that no other client has.
        CommandId::derived([self.context.client().new_inbox().as_bytes(), body])
    }

    /// Stores a command, and waits so long for its answer.
    pub async fn send(&self, kind: CommandKind, id: CommandId, body: Bytes, wait: Duration) -> Result<Sent, NatsError> {
        let subject = subject(&self.input, kind);
        let fail = |error: String| NatsError::request(format!("sending a command on {subject}"), error);
        let client = self.context.client();
        let answers = client.subscribe(format!("{}.{kind}.{id}", self.commands.subject)).await;
        let mut answers = answers.map_err(|error| fail(error.to_string()))?;
        // The server knows of the subscription before it has the command.
        client.flush().await.map_err(|error| fail(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id.to_string().as_str());
        let stored = self.context.publish_with_headers(subject.clone(), headers, body).await;
        stored.map_err(|error| fail(error.to_string()))?.await.map_err(|error| fail(error.to_string()))?;
        match timeout(wait, answers.next()).await {
            Ok(Some(answer)) => Ok(Sent::Answered(answer.payload)),
            Ok(None) => Err(fail("the connection ended".into())),
            Err(_) => Ok(Sent::Unanswered),
        }
    }

    /// The newest revisions of all open incidents, by id.
    pub async fn open_incidents(&self) -> Result<Vec<Bytes>, NatsError> {
        self.values(&self.output.bucket).await
    }

    /// All silences, by id.
    pub async fn silences(&self) -> Result<Vec<Bytes>, NatsError> {
        self.values(&self.commands.bucket).await
    }

    /// The values of a bucket by key; no bucket is as good as an empty one.
    async fn values(&self, name: &str) -> Result<Vec<Bytes>, NatsError> {
        if streams::existing(&self.context, &format!("KV_{name}")).await?.is_none() {
            return Ok(Vec::new());
        }
        let fail = |error: String| NatsError::request(format!("bucket {name}"), error);
        let bucket: kv::Store = self.context.get_key_value(name).await.map_err(|error| fail(error.to_string()))?;
        let mut found = bucket.keys().await.map_err(|error| fail(error.to_string()))?;
        let mut keys = Vec::new();
        while let Some(key) = found.next().await {
            keys.push(key.map_err(|error| fail(error.to_string()))?);
        }
        keys.sort();
        let mut values = Vec::new();
        for key in keys {
            // It may be gone by now.
            values.extend(bucket.get(&key).await.map_err(|error| fail(error.to_string()))?);
        }
        Ok(values)
    }
}

/// The subject of a command: the first token of the input's subjects, `commands`, and the kind.
fn subject(input: &InputConfig, kind: CommandKind) -> String {
    let first = input.subjects.first().and_then(|subject| subject.split('.').next());
    let prefix = first.filter(|token| !token.is_empty() && *token != ">" && *token != "*").unwrap_or("events");
    format!("{prefix}.commands.{kind}")
}
