//! NATS in and out: settings, connection, streams, the consumer that reads, the publisher that writes, and reading back.

pub mod client;
pub mod cluster;
pub mod command_client;
pub mod input;
pub mod notify;
pub mod output;

use crate::io::nats::client::election::{ELECTION_WAIT_MAX, JetStreamError};

/// What can go wrong with NATS at the start, each with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// Nobody answers.
    #[error(
        "no NATS server answers at {servers} ({cause}): start one with `nats-server -js`, or set nats.servers in squelch.yaml"
    )]
    NoServer {
        /// As configured.
        servers: String,
        /// Why.
        cause: String,
    },
    /// The sign-in is refused.
    #[error(
        "the NATS server at {servers} refuses the sign-in: check nats.user and nats.password, nats.token, nats.creds_file or what stands before the @ in nats.servers, in squelch.yaml"
    )]
    SignIn {
        /// As configured.
        servers: String,
    },
    /// A file of the sign-in cannot be read.
    #[error("nats.creds_file {path}: {cause}")]
    Credentials {
        /// The file.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// TLS fails.
    #[error(
        "no TLS connection to {servers} ({cause}): check nats.tls in squelch.yaml, and that the server's certificate names this address"
    )]
    Tls {
        /// As configured.
        servers: String,
        /// Why.
        cause: String,
    },
    /// The server has no JetStream, or not for this account.
    #[error("the NATS server has JetStream off for this account: start it with `nats-server -js`, or enable it for the account")]
    NoJetStream,
    /// A stream is missing and may not be made.
    #[error("stream {stream} does not exist: make it with subjects {subjects}, or set input.create: true in squelch.yaml")]
    NoStream {
        /// Its name.
        stream: String,
        /// What it should hold.
        subjects: String,
    },
    /// Nobody has published incidents here.
    #[error(
        "stream {stream} does not exist on this server, so no squelch has published there: check nats.servers and output.stream in squelch.yaml"
    )]
    NoIncidents {
        /// Its name.
        stream: String,
    },
    /// The stream holds other subjects.
    #[error(
        "stream {stream} holds the subjects {found}, not {wanted}: change {setting} in squelch.yaml, or the stream's subjects"
    )]
    OtherSubjects {
        /// Its name.
        stream: String,
        /// What it holds.
        found: String,
        /// What is asked for.
        wanted: String,
        /// The key in squelch.yaml.
        setting: &'static str,
    },
    /// The stream forgets messages that were read.
    #[error(
        "stream {stream} has {retention} retention, squelch reads the same messages again after a restart: use a stream with limits retention, for example one that sources this one"
    )]
    Retention {
        /// Its name.
        stream: String,
        /// As the server says.
        retention: &'static str,
    },
    /// The server is too old to give a consumer several subjects.
    #[error(
        "this server cannot filter a stream by several subjects ({wanted}): set one in input.subjects, or all those of the stream, \
         or use nats-server 2.10 or newer"
    )]
    OneFilterOnly {
        /// What is asked for.
        wanted: String,
    },
    /// A cluster has no leader.
    #[error(
        "{what}: JetStream has not answered for {waited_s} s ({cause}): see that enough servers of the NATS cluster run for a leader, and that \
         this user may use $JS.API"
    )]
    NoLeader {
        /// What was asked for.
        what: String,
        /// How long.
        waited_s: u64,
        /// The server's or client's words.
        cause: String,
    },
    /// A request failed.
    #[error("{what}: {cause}")]
    Request {
        /// What was asked for.
        what: String,
        /// The server's or client's words.
        cause: String,
    },
}

impl NatsError {
    /// A request about `what` failed, perhaps because no leader could be waited for any longer.
    fn of_request(what: impl Into<String>, error: impl JetStreamError) -> Self {
        if !error.is_leaderless() {
            return NatsError::request(what, error);
        }
        NatsError::NoLeader { what: what.into(), waited_s: ELECTION_WAIT_MAX.as_secs(), cause: error.to_string() }
    }

    fn request(what: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        NatsError::Request { what: what.into(), cause: cause.to_string() }
    }
}
