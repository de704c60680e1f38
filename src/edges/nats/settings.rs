//! What an operator sets about NATS: parts of `squelch.yaml`.

use std::path::PathBuf;

use serde::Deserialize;

/// The NATS server and how to sign in.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// `nats://host:port`, or `tls://…`.
    pub servers: Vec<String>,
    /// The connection's name, as the server lists it.
    pub name: String,
    /// With `password`.
    pub user: Option<String>,
    /// With `user`.
    pub password: Option<String>,
    /// Instead of user and password.
    pub token: Option<String>,
    /// A `.creds` file with JWT and seed.
    pub creds_file: Option<PathBuf>,
    /// TLS.
    pub tls: TlsConfig,
}

/// TLS towards NATS.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Refuse a server that offers none.
    pub required: bool,
    /// Certificates of authorities besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The client's own key.
    pub key_file: Option<PathBuf>,
}

/// Where events come from.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct InputConfig {
    /// The stream.
    pub stream: String,
    /// Its subjects. The token after the first one tells the kind: `events.metrics.…`.
    pub subjects: Vec<String>,
    /// The durable consumer's name: one for each squelch that reads the stream.
    pub consumer: String,
    /// Make the stream where it is missing.
    pub create: bool,
    /// Messages asked for at once.
    pub batch_messages: usize,
    /// Bytes asked for at once.
    pub batch_bytes: usize,
}

/// Where incidents go.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct OutputConfig {
    /// The stream.
    pub stream: String,
    /// The first token of the subjects.
    pub subject: String,
    /// The key-value bucket of open incidents.
    pub bucket: String,
}

/// Where undecodable input goes.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RejectedConfig {
    /// The stream.
    pub stream: String,
    /// The first token of the subjects.
    pub subject: String,
}

/// How work is shared by several processes.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PartitionsConfig {
    /// The stream of what workers have counted.
    pub stream: String,
    /// How its subjects begin.
    pub subject: String,
    /// How a worker that reads all messages knows its own.
    pub by: PartitionBy,
}

/// Whose message a message is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum PartitionBy {
    /// By a hash of its subject.
    #[default]
    Subject,
    /// In turn.
    Sequence,
}

/// Stands in `input.subjects` for the number of the partition, from 0 as NATS itself counts partitions.
pub const PARTITION_WORD: &str = "{partition}";

impl Default for PartitionsConfig {
    fn default() -> Self {
        Self { stream: "SQUELCH_PARTS".into(), subject: "squelch.parts".into(), by: PartitionBy::default() }
    }
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".into()],
            name: "squelch".into(),
            user: None,
            password: None,
            token: None,
            creds_file: None,
            tls: TlsConfig::default(),
        }
    }
}

impl NatsConfig {
    /// The servers as they may be shown: what stands before an @ may be a password.
    pub fn servers_without_secrets(&self) -> Vec<String> {
        let shown = |server: &String| match server.rsplit_once('@') {
            Some((before, host)) => before.split_once("://").map_or("", |(scheme, _)| scheme).to_string() + "://…@" + host,
            None => server.clone(),
        };
        self.servers.iter().map(shown).collect()
    }
}

/// Secrets stay out of logs.
impl std::fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsConfig")
            .field("servers", &self.servers_without_secrets())
            .field("user", &self.user)
            .field("creds_file", &self.creds_file)
            .finish_non_exhaustive()
    }
}

impl Default for InputConfig {
    fn default() -> Self {
        Self {
            stream: "EVENTS".into(),
            subjects: vec!["events.>".into()],
            consumer: "squelch".into(),
            create: true,
            batch_messages: 500,
            batch_bytes: 4 << 20,
        }
    }
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { stream: "INCIDENTS".into(), subject: "incidents".into(), bucket: "squelch_incidents".into() }
    }
}

impl Default for RejectedConfig {
    fn default() -> Self {
        Self { stream: "REJECTED".into(), subject: "rejected".into() }
    }
}
