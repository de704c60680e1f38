//! The rules in force, as the correlator announces them to its workers: the last message on a subject of the stream of partials.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;

use crate::io::nats::client::publish::publish;
use crate::io::nats::client::settings::PartitionsConfig;
use crate::io::nats::client::streams::last_on;
use crate::io::nats::cluster::packing::{pack, unpack};

/// The version of the message's format, in a header.
const FORMAT: &str = "Squelch-Rules";
const FORMAT_NOW: &str = "1";

/// The texts of rule files by the names of their rules.
pub type RuleFiles = BTreeMap<String, String>;

/// Why the rules in force are not known.
#[derive(Debug, thiserror::Error)]
pub enum ActiveRulesError {
    /// The server is away, or refuses.
    #[error("the server does not answer: {0}")]
    NoAnswer(String),
    /// The message was written by another version, or by something else.
    #[error("the message on {subject} holds no rules that can be read: {why}")]
    Unreadable {
        /// The subject.
        subject: String,
        /// What is wrong.
        why: String,
    },
}

/// The announcement on the server.
#[derive(Clone)]
pub struct ActiveRules {
    context: Context,
    stream: Stream,
    subject: String,
}

impl ActiveRules {
    /// Those of the squelch whose consumer is called `consumer`.
    pub fn new(context: Context, stream: Stream, config: &PartitionsConfig, consumer: &str) -> Self {
        Self { context, stream, subject: format!("{}.{consumer}.rules", config.subject) }
    }

    /// The rules in force, if any were announced.
    ///
    /// # Errors
    ///
    /// The server does not answer, or the message cannot be read.
    pub async fn read(&self) -> Result<Option<RuleFiles>, ActiveRulesError> {
        let last = last_on(&self.stream, &self.subject).await.map_err(ActiveRulesError::NoAnswer)?;
        let Some(message) = last else { return Ok(None) };
        let unreadable = |why: String| ActiveRulesError::Unreadable { subject: self.subject.clone(), why };
        let format = message.headers.get(FORMAT).map(|format| format.as_str().to_string());
        if format.as_deref() != Some(FORMAT_NOW) {
            return Err(unreadable(format!("its format is {}", format.as_deref().unwrap_or("none"))));
        }
        let bytes = unpack(&message.payload).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(error.to_string()))
    }

    /// Announces these rules, unless they are announced already.
    ///
    /// # Errors
    ///
    /// The server does not store it: it is away, or the rules are larger than a message.
    pub async fn announce(&self, files: &RuleFiles) -> Result<(), String> {
        if self.read().await.is_ok_and(|announced| announced.as_ref() == Some(files)) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(files).map_err(|error| error.to_string())?;
        let packed = Bytes::from(pack(&bytes).map_err(|error| error.to_string())?);
        let mut headers = HeaderMap::new();
        headers.insert(FORMAT, FORMAT_NOW);
        publish(&self.context, &self.subject, headers, packed).await
    }
}
