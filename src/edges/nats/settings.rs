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
