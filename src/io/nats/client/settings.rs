//! What an operator sets about NATS: parts of `squelch.yaml`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::io::decode::subject_formats::SubjectFormats;

/// The NATS server and how to sign in.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// `nats://host:port`, or `tls://…`; with `user:password@` or `token@` before the host.
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
    /// How many servers of a cluster hold each stream and bucket that squelch makes.
    pub replicas: usize,
}

/// How to sign in, as the address of a server says it. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum SignIn {
    /// `user:password@host`
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: String,
    },
    /// `token@host`
    Token(String),
}

impl SignIn {
    /// What stands before the @ of an address, if anything does.
    pub fn of(server: &str) -> Option<Self> {
        let (before, _) = server.rsplit_once('@')?;
        let said = before.split_once("://").map_or(before, |(_, said)| said);
        match said.split_once(':') {
            Some((user, password)) => Some(SignIn::Password { user: spelt_out(user), password: spelt_out(password) }),
            None => Some(SignIn::Token(spelt_out(said))).filter(|_| !said.is_empty()),
        }
    }
}

/// In an address `%40` stands for @, and so on; what is no such thing stays as it is.
fn spelt_out(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = rest.find('%') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest.get(at + 1..at + 3).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[at + 3..];
            }
            None => {
                bytes.push(b'%');
                rest = &rest[at + 1..];
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_string())
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
    /// The format of messages without a header that names it, by subject.
    pub formats: SubjectFormats,
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
    /// The key-value bucket of what receivers were sent.
    pub notified: String,
    /// The stream of what happens to alerts; `off` for none.
    pub alerts_stream: String,
    /// The first token of its subjects.
    pub alerts_subject: String,
}

impl OutputConfig {
    /// Whether what happens to alerts is published one by one.
    pub fn publishes_alerts(&self) -> bool {
        self.alerts_stream != "off"
    }
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

/// Where commands are answered.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CommandsConfig {
    /// The stream of answers.
    pub stream: String,
    /// How their subjects begin.
    pub subject: String,
    /// The key-value bucket of silences and maintenances.
    pub bucket: String,
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
            replicas: 1,
        }
    }
}

impl NatsConfig {
    /// How the servers say to sign in: of several that do, the first. Settings that disagree are refused before.
    pub fn sign_in_of_servers(&self) -> Option<SignIn> {
        self.servers.iter().find_map(|server| SignIn::of(server))
    }

    /// The servers without what stands before the @: the client uses only what it is told apart from them, and may log them.
    pub fn addresses(&self) -> Vec<String> {
        let address = |server: &String| match server.rsplit_once('@') {
            Some((before, host)) => before.split_once("://").map_or("nats", |(scheme, _)| scheme).to_string() + "://" + host,
            None => server.clone(),
        };
        self.servers.iter().map(address).collect()
    }

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
            formats: SubjectFormats::default(),
        }
    }
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self {
            stream: "INCIDENTS".into(),
            subject: "incidents".into(),
            bucket: "squelch_incidents".into(),
            alerts_stream: "ALERTS".into(),
            alerts_subject: "alerts".into(),
            notified: "squelch_notified".into(),
        }
    }
}

impl Default for CommandsConfig {
    fn default() -> Self {
        Self { stream: "COMMANDS".into(), subject: "commands.results".into(), bucket: "squelch_silences".into() }
    }
}

impl Default for RejectedConfig {
    fn default() -> Self {
        Self { stream: "REJECTED".into(), subject: "rejected".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_say_how_to_sign_in() {
        let password = |user: &str, password: &str| Some(SignIn::Password { user: user.into(), password: password.into() });
        for (server, wanted, address) in [
            ("nats://a:4222", None, "nats://a:4222"),
            ("nats://@a", None, "nats://a"),
            ("nats://u:p@a:4222", password("u", "p"), "nats://a:4222"),
            ("u:p@a", password("u", "p"), "nats://a"),
            ("tls://u:@a", password("u", ""), "tls://a"),
            ("nats://u:p%40%3A%2f%C3%A9@a", password("u", "p@:/é"), "nats://a"),
            ("nats://u:p@q@a", password("u", "p@q"), "nats://a"),
            ("nats://u:100%@a", password("u", "100%"), "nats://a"),
            ("nats://u:%zz%f@a", password("u", "%zz%f"), "nats://a"),
            ("nats://u:%ff@a", password("u", "%ff"), "nats://a"),
            ("nats://t%21@a:1", Some(SignIn::Token("t!".into())), "nats://a:1"),
        ] {
            assert!(SignIn::of(server) == wanted, "{server}");
            let config = NatsConfig { servers: vec![server.into()], ..NatsConfig::default() };
            assert_eq!(config.addresses(), [address], "{server}");
        }
    }
}
