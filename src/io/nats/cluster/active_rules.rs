//! Which rules the correlator runs, as it tells its workers: the last message on a subject beside those of the parts.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;

use crate::io::nats::client::settings::PartitionsConfig;
use crate::io::nats::client::streams::last_on;
use crate::io::nats::cluster::partial_stream::{pack, unpack};

/// The form of what it says, in a header of the message.
const FORM: &str = "Squelch-Rules";
const FORM_NOW: &str = "1";

/// The texts of rule files, by the names of their rules.
pub type RuleFiles = BTreeMap<String, String>;

/// Why it is not known what it says.
#[derive(Debug, thiserror::Error)]
pub enum ActiveRulesError {
    /// The server is away, or refuses.
    #[error("the server does not say: {0}")]
    NoAnswer(String),
    /// A correlator of another version spoke, or somebody else.
    #[error("on {subject} stand no rules that can be read: {why}")]
    Unreadable {
        /// Where.
        subject: String,
        /// What is wrong.
        why: String,
    },
}

/// The place where it stands.
#[derive(Clone)]
pub struct ActiveRules {
    context: Context,
    stream: Stream,
    subject: String,
}

impl ActiveRules {
    /// The one of the squelch whose consumer is called `consumer`.
    pub fn new(context: Context, stream: Stream, config: &PartitionsConfig, consumer: &str) -> Self {
        Self { context, stream, subject: format!("{}.{consumer}.rules", config.subject) }
    }

    /// What it says, if anything.
    ///
    /// # Errors
    ///
    /// The server does not answer, or something else stands there.
    pub async fn read(&self) -> Result<Option<RuleFiles>, ActiveRulesError> {
        let last = last_on(&self.stream, &self.subject).await.map_err(ActiveRulesError::NoAnswer)?;
        let Some(message) = last else { return Ok(None) };
        let unreadable = |why: String| ActiveRulesError::Unreadable { subject: self.subject.clone(), why };
        let form = message.headers.get(FORM).map(|form| form.as_str().to_string());
        if form.as_deref() != Some(FORM_NOW) {
            return Err(unreadable(format!("their form is {}", form.as_deref().unwrap_or("none"))));
        }
        let bytes = unpack(&message.payload).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(error.to_string()))
    }

    /// Writes what it is to say, where it says anything else.
    ///
    /// # Errors
    ///
    /// The server does not take it: it is away, or the rules are larger than a message.
    pub async fn hold(&self, files: &RuleFiles) -> Result<(), String> {
        if self.read().await.is_ok_and(|said| said.as_ref() == Some(files)) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(files).map_err(|error| error.to_string())?;
        let packed = Bytes::from(pack(&bytes).map_err(|error| error.to_string())?);
        let mut headers = HeaderMap::new();
        headers.insert(FORM, FORM_NOW);
        let stored = self.context.publish_with_headers(self.subject.clone(), headers, packed).await;
        let stored = stored.map_err(|error| error.to_string())?;
        stored.await.map(drop).map_err(|error| error.to_string())
    }
}
