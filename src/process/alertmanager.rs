//! What the Alertmanager API asks of a running squelch, asked of NATS: so every process can answer, one that stands by too.

use std::time::Duration;

use async_nats::{Client, jetstream};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::io::alertmanager::backend::{Backend, Outcome};
use crate::io::nats::NatsError;
use crate::io::nats::command_client::CommandClient;
use crate::model::command::CommandKind;
use crate::notify::route::Router;
use crate::process::config::Config;
use crate::process::send_command;

/// How long a client waits for the answer to its command.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The open incidents and the silences of NATS, and where commands go.
pub struct NatsBackend {
    client: CommandClient,
    router: Router,
    started_at: String,
}

impl NatsBackend {
    /// What these settings name.
    pub fn new(config: &Config, client: &Client) -> Self {
        let context = jetstream::new(client.clone());
        // When the process began is asked of the system: no clock is read here.
        let began = std::fs::metadata("/proc/self").and_then(|process| process.modified());
        let began: DateTime<Utc> = began.map_or(DateTime::UNIX_EPOCH, DateTime::from);
        Self {
            client: CommandClient::new(context, &config.input, &config.output, &config.commands),
            router: Router::new(&config.notifiers, &config.routes, config.time_zone),
            started_at: began.to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }

    async fn sent(&self, kind: CommandKind, fields: Map<String, Value>) -> Result<Outcome, String> {
        match send_command::send(&self.client, kind, fields, ANSWER_WITHIN).await? {
            send_command::Outcome::Answered(answer) => Ok(Outcome { refused: answer.reason, silence: answer.silence }),
            send_command::Outcome::Unsendable(why) => Ok(Outcome { refused: Some(why), silence: None }),
            send_command::Outcome::Unanswered => {
                Err("the command is stored and not decided yet: is there a squelch that reads the stream?".into())
            }
        }
    }
}

impl Backend for NatsBackend {
    fn incidents(&self) -> BoxFuture<'_, Result<Vec<Value>, String>> {
        self.client.open_incidents().map(values).boxed()
    }

    fn silences(&self) -> BoxFuture<'_, Result<Vec<Value>, String>> {
        self.client.silences().map(values).boxed()
    }

    fn send(&self, kind: CommandKind, fields: Map<String, Value>) -> BoxFuture<'_, Result<Outcome, String>> {
        self.sent(kind, fields).boxed()
    }

    fn configuration(&self, nobody: &str) -> String {
        self.router.as_alertmanager(nobody)
    }

    fn started_at(&self) -> String {
        self.started_at.clone()
    }
}

/// What buckets hold, read.
fn values(found: Result<Vec<bytes::Bytes>, NatsError>) -> Result<Vec<Value>, String> {
    let all = found.map_err(|error| error.to_string())?;
    let read = all.iter().map(|bytes| serde_json::from_slice(bytes).map_err(|error| error.to_string()));
    read.collect()
}
