//! Reads back what was published of one incident: all revisions that the stream still holds, else the newest one in the bucket. Writes
//! nothing.
//!
//! The header `Nats-Msg-Id` names the incident; the subject does not. So the headers of the whole stream are read, by a consumer that
//! the server deletes by itself, and then the bodies of the few messages that matter.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures::StreamExt;

use crate::io::nats::NatsError;
use crate::io::nats::client::settings::OutputConfig;
use crate::io::nats::client::streams;

/// Headers that one pull asks for.
const HEADERS_MAX: usize = 2_000;
/// How long one pull waits.
const PULL_EXPIRES: Duration = Duration::from_secs(5);
/// The server deletes the consumer when it is not used for this long.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// What is left of an incident on the server.
#[derive(Debug, Default)]
pub struct IncidentHistory {
    /// The bodies of its revisions, in the order in which they were stored.
    pub revisions: Vec<Bytes>,
    /// Revisions of all incidents in the stream, which were searched.
    pub searched: u64,
}

/// All that is left of `incident`; empty if it is unknown.
pub async fn read(context: &Context, config: &OutputConfig, incident: &str) -> Result<IncidentHistory, NatsError> {
    let Some(stream) = streams::existing(context, &config.stream).await? else {
        return Err(NatsError::NoIncidents { stream: config.stream.clone() });
    };
    let searched = stream.cached_info().state.messages;
    let mut revisions = Vec::new();
    for sequence in sequences(&stream, config, incident).await? {
        // Nothing, where it expired between the two requests.
        revisions.extend(body_in(&stream, sequence).await?);
    }
    if revisions.is_empty() {
        revisions.extend(newest(context, config, incident).await?);
    }
    Ok(IncidentHistory { revisions, searched })
}

/// The body of the revision at a place of the stream; nothing where it is too old.
pub async fn body(context: &Context, config: &OutputConfig, sequence: u64) -> Result<Option<Bytes>, NatsError> {
    let Some(stream) = streams::existing(context, &config.stream).await? else { return Ok(None) };
    body_in(&stream, sequence).await
}

async fn body_in(stream: &Stream, sequence: u64) -> Result<Option<Bytes>, NatsError> {
    match stream.get_raw_message(sequence).await {
        Ok(message) => Ok(Some(message.payload)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => {
            let name = &stream.cached_info().config.name;
            Err(NatsError::request(format!("message {sequence} of stream {name}"), error))
        }
    }
}

/// The sequence numbers of the revisions of `incident`.
async fn sequences(stream: &Stream, config: &OutputConfig, incident: &str) -> Result<Vec<u64>, NatsError> {
    let fail = |error: String| NatsError::request(format!("reading stream {}", config.stream), error);
    let wanted = PullConfig {
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::None,
        filter_subject: format!("{}.>", config.subject),
        headers_only: true,
        memory_storage: true,
        inactive_threshold: FORGET_AFTER,
        ..PullConfig::default()
    };
    let consumer: PullConsumer = stream.create_consumer(wanted).await.map_err(|error| fail(error.to_string()))?;
    let mut wait_for = consumer.cached_info().num_pending;
    let of_incident = |id: &str| id.strip_prefix(incident).is_some_and(|revision| revision.starts_with('-'));
    let mut found = Vec::new();
    while wait_for > 0 {
        let pull = consumer.batch().max_messages(HEADERS_MAX).expires(PULL_EXPIRES).messages().await;
        let mut pull = pull.map_err(|error| fail(error.to_string()))?;
        let before = wait_for;
        while wait_for > 0
            && let Some(message) = pull.next().await
        {
            let message = message.map_err(|error| fail(error.to_string()))?;
            let place = message.info().map_err(|error| fail(error.to_string()))?;
            wait_for = place.pending;
            if message.headers.as_ref().and_then(|headers| headers.get("Nats-Msg-Id")).is_some_and(|id| of_incident(id.as_str()))
            {
                found.push(place.stream_sequence);
            }
        }
        if wait_for == before {
            return Err(fail(format!("{wait_for} messages are there and do not arrive")));
        }
    }
    Ok(found)
}

/// The newest revision of an open incident. A missing bucket counts as an empty one.
async fn newest(context: &Context, config: &OutputConfig, incident: &str) -> Result<Option<Bytes>, NatsError> {
    if streams::existing(context, &format!("KV_{}", config.bucket)).await?.is_none() {
        return Ok(None);
    }
    let fail = |error: String| NatsError::request(format!("bucket {}", config.bucket), error);
    let bucket = context.get_key_value(&config.bucket).await.map_err(|error| fail(error.to_string()))?;
    bucket.get(incident).await.map_err(|error| fail(error.to_string()))
}
