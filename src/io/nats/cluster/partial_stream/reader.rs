//! Reads the partials of one partition, and puts the pieces of each together.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::{Batch, Config as PullConfig};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::time::sleep;

use crate::io::nats::cluster::partial_stream::header::{ForeignMessage, PartialHeader};
use crate::model::limits::PART_BYTES_MAX;

const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long one pull waits for messages, and how many messages and bytes it asks for.
const PULL_EXPIRES: Duration = Duration::from_secs(1);
const PULL_MESSAGES: usize = 16;
const PULL_BYTES: usize = 16 << 20;
/// Empty pulls after which the consumer is checked: it may have been deleted.
const EMPTY_PULLS_MAX: u32 = 5;
/// The server deletes a consumer that is not used for this long.
const INACTIVE_MAX: Duration = Duration::from_secs(600);

/// A partial as it is stored.
#[derive(Debug)]
pub struct StoredPartial {
    /// Its header.
    pub header: PartialHeader,
    /// The sequence number of its last message.
    pub sequence: u64,
    /// Its bytes, [packed](crate::io::nats::cluster::packing).
    pub bytes: Vec<u8>,
}

/// Reads the partials of one partition.
pub struct PartialReader {
    stream: Stream,
    subject: String,
    consumer: Option<PullConsumer>,
    /// Read to its end: what comes to a pull that nobody reads any more is lost.
    pull: Option<Batch>,
    /// The last message that was read.
    sequence: u64,
    empty_pulls: u32,
    /// The pieces of an incomplete partial.
    pieces: Option<(PartialHeader, Vec<u8>)>,
}

impl PartialReader {
    /// A reader that begins after message `sequence` of the stream.
    pub fn new(stream: Stream, subject: String, sequence: u64) -> Self {
        Self { stream, subject, consumer: None, pull: None, sequence, empty_pulls: 0, pieces: None }
    }

    /// Waits for the next partials. Retries what fails.
    ///
    /// # Errors
    ///
    /// Something else than a worker writes on the subject.
    pub async fn next(&mut self) -> Result<Vec<StoredPartial>, ForeignMessage> {
        loop {
            let messages = match self.pull().await {
                Ok(messages) => messages,
                Err(error) => {
                    tracing::warn!(subject = self.subject, error, "partials cannot be read; retrying");
                    (self.consumer, self.pull) = (None, None);
                    sleep(RETRY_AFTER).await;
                    continue;
                }
            };
            self.empty_pulls = if messages.is_empty() { self.empty_pulls + 1 } else { 0 };
            if self.empty_pulls >= EMPTY_PULLS_MAX {
                self.empty_pulls = 0;
                if let Some(consumer) = &mut self.consumer
                    && consumer.info().await.is_err()
                {
                    (self.consumer, self.pull) = (None, None);
                }
            }
            let mut found = Vec::new();
            for (sequence, headers, payload) in messages {
                found.extend(self.piece(sequence, headers.as_ref(), &payload)?);
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    /// The messages that arrive within a while.
    async fn pull(&mut self) -> Result<Vec<(u64, Option<HeaderMap>, Bytes)>, String> {
        if self.consumer.is_none() {
            let wanted = PullConfig {
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.sequence + 1 },
                ack_policy: AckPolicy::None,
                filter_subject: self.subject.clone(),
                inactive_threshold: INACTIVE_MAX,
                ..PullConfig::default()
            };
            self.consumer = Some(self.stream.create_consumer(wanted).await.map_err(|error| error.to_string())?);
        }
        if let (None, Some(consumer)) = (&self.pull, &self.consumer) {
            let pull = consumer.batch().max_messages(PULL_MESSAGES).max_bytes(PULL_BYTES).expires(PULL_EXPIRES);
            self.pull = Some(pull.messages().await.map_err(|error| error.to_string())?);
        }
        let Some(pull) = &mut self.pull else { return Ok(Vec::new()) };
        let mut messages = Vec::new();
        loop {
            // After the first message only those are taken that have arrived already.
            let next = if messages.is_empty() {
                pull.next().await
            } else {
                match pull.next().now_or_never() {
                    Some(next) => next,
                    None => break,
                }
            };
            match next {
                Some(Ok(message)) => {
                    let sequence = message.info().map_err(|error| error.to_string())?.stream_sequence;
                    // The late end of one pull may bring what another has brought.
                    if sequence > self.sequence {
                        self.sequence = sequence;
                        messages.push((sequence, message.message.headers, message.message.payload));
                    }
                }
                Some(Err(error)) => {
                    self.pull = None;
                    // The most common error is no failure: the next message does not fit into the bytes of the pull.
                    if !error.to_string().contains("Exceeds MaxBytes") {
                        self.consumer = None;
                        tracing::warn!(%error, subject = self.subject, "a pull of partials failed; retrying");
                        sleep(RETRY_AFTER).await;
                    }
                    break;
                }
                None => {
                    self.pull = None;
                    break;
                }
            }
        }
        Ok(messages)
    }

    fn piece(
        &mut self,
        sequence: u64,
        headers: Option<&HeaderMap>,
        payload: &[u8],
    ) -> Result<Option<StoredPartial>, ForeignMessage> {
        let foreign = |what: &str| ForeignMessage { subject: self.subject.clone(), what: format!("{what}, message {sequence}") };
        let header = PartialHeader::parse(headers).ok_or_else(|| foreign("without the headers of a partial"))?;
        let (piece, pieces) = header.piece;
        let mut bytes = match self.pieces.take() {
            _ if piece == 1 => Vec::new(),
            Some((before, bytes)) if (PartialHeader { piece: (piece - 1, pieces), ..header }) == before => bytes,
            // A worker that died within a partial publishes another one instead.
            _ => return Ok(None),
        };
        bytes.extend_from_slice(payload);
        if bytes.len() > PART_BYTES_MAX {
            return Err(foreign("too large"));
        }
        if piece < pieces {
            self.pieces = Some((header, bytes));
            return Ok(None);
        }
        Ok(Some(StoredPartial { header, sequence, bytes }))
    }
}
