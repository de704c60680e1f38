//! Waits while JetStream elects a leader. After the servers of a cluster have started, requests fail or stay unanswered for some seconds;
//! a process that starts at that moment must not end for it.
//!
//! Only requests that may be sent twice belong here.

use std::error::Error as _;
use std::fmt::Display;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    ConsumerInfoError, ConsumerInfoErrorKind, CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind,
    RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind};
use tokio::time::{Instant, sleep};

/// How long a start waits. Elections take seconds: after a minute too few servers of the cluster run.
pub const ELECTION_WAIT_MAX: Duration = Duration::from_secs(60);
/// The pause between two attempts.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error of a request to JetStream.
pub(crate) trait JetStreamError: Display {
    /// Whether it is what a cluster without a leader answers, or no answer at all.
    fn is_leaderless(&self) -> bool;
}

fn is_electing(code: ErrorCode) -> bool {
    code == ErrorCode::CLUSTER_NOT_AVAILABLE || code == ErrorCode::CLUSTER_NOT_LEADER
}

impl JetStreamError for GetStreamError {
    fn is_leaderless(&self) -> bool {
        match self.kind() {
            GetStreamErrorKind::JetStream(error) => is_electing(error.error_code()),
            GetStreamErrorKind::Request => {
                let cause = self.source().and_then(|cause| cause.downcast_ref::<RequestError>());
                cause.is_some_and(|cause| cause.kind() == RequestErrorKind::TimedOut)
            }
            GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => false,
        }
    }
}

impl JetStreamError for CreateStreamError {
    fn is_leaderless(&self) -> bool {
        match self.kind() {
            CreateStreamErrorKind::JetStream(error) => is_electing(error.error_code()),
            kind => kind == CreateStreamErrorKind::TimedOut,
        }
    }
}

impl JetStreamError for ConsumerInfoError {
    fn is_leaderless(&self) -> bool {
        match self.kind() {
            ConsumerInfoErrorKind::JetStream(error) => is_electing(error.error_code()),
            kind => kind == ConsumerInfoErrorKind::TimedOut,
        }
    }
}

impl JetStreamError for ConsumerError {
    fn is_leaderless(&self) -> bool {
        match self.kind() {
            ConsumerErrorKind::JetStream(error) => is_electing(error.error_code()),
            kind => kind == ConsumerErrorKind::TimedOut,
        }
    }
}

/// Sends a request about `what` until JetStream has a leader that answers it, or [`ELECTION_WAIT_MAX`] is over.
pub(crate) async fn wait_for_leader<T, E, F>(what: &str, mut request: impl FnMut() -> F) -> Result<T, E>
where
    E: JetStreamError,
    F: Future<Output = Result<T, E>>,
{
    let began = Instant::now();
    loop {
        let answer = request().await;
        let waited = began.elapsed();
        match &answer {
            Err(error) if error.is_leaderless() && waited < ELECTION_WAIT_MAX => {
                tracing::warn!(
                    "{what}: {error}; JetStream may be electing a leader: waiting for {} s more at most",
                    (ELECTION_WAIT_MAX - waited).as_secs()
                );
                sleep(RETRY_AFTER).await;
            }
            _ => return answer,
        }
    }
}
