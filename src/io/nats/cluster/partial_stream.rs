//! The stream of parts: what workers say to the one who correlates. One subject a partition; a part that is larger than a message
//! is several messages in a row.
//!
//! A worker's place in the stream of events is written nowhere else: it is in its last message here. Each message names the one
//! before it on its subject, and the server refuses what does not follow: of two workers with one partition, one ends.

use std::io::Read;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::consumer::pull::{Batch, Config as PullConfig};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::sleep;

use crate::io::nats::NatsError;
use crate::io::nats::client::settings::PartitionsConfig;
use crate::io::nats::client::streams::last_on;
use crate::model::limits::PART_BYTES_MAX;

/// Room in a message for what is not the part: subject and headers.
const HEADER_BYTES: usize = 4096;
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long one pull waits for messages, how many messages and bytes it asks for.
const PULL_EXPIRES: Duration = Duration::from_secs(1);
const PULL_MESSAGES: usize = 16;
const PULL_BYTES: usize = 16 << 20;
/// Empty pulls after which the consumer is looked for: it may be gone.
const EMPTY_PULLS_MAX: u32 = 5;
/// A consumer that nobody asks for so long goes away.
const INACTIVE_MAX: Duration = Duration::from_secs(600);

const PARTITION: &str = "Squelch-Partition";
const STRETCH: &str = "Squelch-Stretch";
const PIECE: &str = "Squelch-Piece";
const BORN: &str = "Squelch-Born";

/// What a message of the stream says of its part, besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialHeader {
    /// Which partition, from 0.
    pub partition: usize,
    /// Of how many.
    pub partitions: usize,
    /// The birth of the stream of events, nanoseconds since 1970.
    pub born_ns: i64,
    /// After which message of the stream of events the part begins.
    pub after: u64,
    /// With which it ends.
    pub until: u64,
    /// Which piece of the part, from 1, and of how many.
    pub piece: (usize, usize),
}

/// Why a part cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum PartialError {
    /// Somebody else writes on the subject.
    #[error(
        "another worker has partition {0}: it has spoken since this one began. Start one worker for each partition, and only one"
    )]
    Taken(String),
    /// The stream has no such message, or one that is none of ours.
    #[error("a message on {subject} is no part ({what}): only workers may write to {subject}")]
    NoPart {
        /// Where.
        subject: String,
        /// What is wrong.
        what: String,
    },
}

impl PartialHeader {
    /// How people write the partition.
    pub fn name(&self) -> String {
        format!("{}/{}", self.partition + 1, self.partitions)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let (piece, pieces) = self.piece;
        headers.insert(PARTITION, self.name().as_str());
        headers.insert(STRETCH, format!("{}-{}", self.after, self.until).as_str());
        headers.insert(PIECE, format!("{piece}/{pieces}").as_str());
        headers.insert(BORN, self.born_ns.to_string().as_str());
        headers
    }

    fn read(headers: Option<&HeaderMap>) -> Option<Self> {
        let text = |name: &str| headers?.get(name).map(|value| value.as_str());
        let two = |name: &str, mark: char| text(name)?.split_once(mark);
        let number = |text: &str| text.parse::<usize>().ok();
        let (partition, partitions) = two(PARTITION, '/')?;
        let (after, until) = two(STRETCH, '-')?;
        let (piece, pieces) = two(PIECE, '/')?;
        Some(Self {
            partition: number(partition)?.checked_sub(1)?,
            partitions: number(partitions)?,
            born_ns: text(BORN)?.parse().ok()?,
            after: after.parse().ok()?,
            until: until.parse().ok()?,
            piece: (number(piece)?, number(pieces)?),
        })
    }
}

/// The subject of a partition, from 0, of the squelch whose consumer is called `consumer`.
pub fn subject(config: &PartitionsConfig, consumer: &str, partition: usize) -> String {
    format!("{}.{consumer}.{}", config.subject, partition + 1)
}

/// Writes one partition's parts.
pub struct PartialWriter {
    context: Context,
    stream: Stream,
    subject: String,
    message_bytes: usize,
    /// The place of the last message on the subject; 0 for none.
    last: u64,
}

impl PartialWriter {
    /// A sink that goes on after the last message on the subject, and what that says: where the worker was.
    ///
    /// # Errors
    ///
    /// The server says no, or something else wrote there.
    pub async fn open(context: Context, stream: Stream, subject: String) -> Result<(Self, Option<PartialHeader>), NatsError> {
        let message_bytes = context.client().server_info().max_payload.saturating_sub(HEADER_BYTES).max(HEADER_BYTES);
        let mut sink = Self { context, stream, subject, message_bytes, last: 0 };
        let what = format!("the last message on {}", sink.subject);
        let Some((last, headers, _)) = sink.last().await.map_err(|error| NatsError::request(what.clone(), error))? else {
            return Ok((sink, None));
        };
        sink.last = last;
        let head = PartialHeader::read(Some(&headers)).ok_or_else(|| NatsError::request(what, "it is no part"))?;
        // A part that was not said to its end is said anew.
        let until = if head.piece.0 == head.piece.1 { head.until } else { head.after };
        Ok((sink, Some(PartialHeader { until, ..head })))
    }

    async fn last(&self) -> Result<Option<(u64, HeaderMap, Bytes)>, String> {
        let last = last_on(&self.stream, &self.subject).await?;
        Ok(last.map(|message| (message.sequence, message.headers, message.payload)))
    }

    /// Stores a part, trying again for as long as it takes.
    ///
    /// # Errors
    ///
    /// Another worker writes on the subject.
    pub async fn store(&mut self, head: PartialHeader, bytes: &[u8]) -> Result<(), PartialError> {
        let pieces = bytes.len().div_ceil(self.message_bytes).max(1);
        for piece in 1..=pieces {
            let start = (piece - 1) * self.message_bytes;
            let body = Bytes::copy_from_slice(&bytes[start..bytes.len().min(start + self.message_bytes)]);
            self.publish(PartialHeader { piece: (piece, pieces), ..head }, body).await?;
        }
        Ok(())
    }

    async fn publish(&mut self, head: PartialHeader, body: Bytes) -> Result<(), PartialError> {
        loop {
            let mut headers = head.headers();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, self.last.to_string().as_str());
            let stored = match self.context.publish_with_headers(self.subject.clone(), headers, body.clone()).await {
                Ok(stored) => stored.await,
                Err(error) => Err(error),
            };
            let error = match stored {
                Ok(stored) => {
                    self.last = stored.sequence;
                    return Ok(());
                }
                Err(error) => error,
            };
            if error.kind() != PublishErrorKind::WrongLastSequence {
                tracing::warn!(%error, "cannot store a part; trying again");
                sleep(RETRY_AFTER).await;
            }
            // It may be stored, and only the answer lost.
            match self.last().await {
                Ok(Some((sequence, headers, payload))) if sequence != self.last => {
                    if PartialHeader::read(Some(&headers)) != Some(head) || payload != body {
                        return Err(PartialError::Taken(head.name()));
                    }
                    self.last = sequence;
                    return Ok(());
                }
                Ok(Some(_)) => {}
                // The stream forgets what is old, or was emptied.
                Ok(None) => self.last = 0,
                Err(error) => {
                    tracing::warn!(error, "cannot read the last part; trying again");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }
}

/// A part as it was found.
#[derive(Debug)]
pub struct Found {
    /// What its messages say of it.
    pub head: PartialHeader,
    /// Where it ends in the stream of parts.
    pub place: u64,
    /// Its bytes, as [`pack`] made them.
    pub bytes: Vec<u8>,
}

/// Reads one partition's parts.
pub struct PartialReader {
    stream: Stream,
    subject: String,
    consumer: Option<PullConsumer>,
    /// Asked to its end: what comes to a question that nobody listens to any more is lost.
    pull: Option<Batch>,
    /// The last message that was read.
    place: u64,
    empty_pulls: u32,
    begun: Option<(PartialHeader, Vec<u8>)>,
}

impl PartialReader {
    /// A source that begins after the message at `place` of the stream.
    pub fn new(stream: Stream, subject: String, place: u64) -> Self {
        Self { stream, subject, consumer: None, pull: None, place, empty_pulls: 0, begun: None }
    }

    /// Waits for the next parts. What fails is tried again, from where it was.
    ///
    /// # Errors
    ///
    /// Something else than a worker writes on the subject.
    pub async fn next(&mut self) -> Result<Vec<Found>, PartialError> {
        loop {
            let messages = match self.pull().await {
                Ok(messages) => messages,
                Err(error) => {
                    tracing::warn!(subject = self.subject, error, "parts cannot be read; trying again");
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

    /// What comes within a while.
    async fn pull(&mut self) -> Result<Vec<(u64, Option<HeaderMap>, Bytes)>, String> {
        if self.consumer.is_none() {
            let wanted = PullConfig {
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.place + 1 },
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
            // What is here already comes along with the first one; nothing more is waited for.
            let next = if messages.is_empty() {
                pull.next().await
            } else {
                match futures::FutureExt::now_or_never(pull.next()) {
                    Some(next) => next,
                    None => break,
                }
            };
            match next {
                Some(Ok(message)) => {
                    let sequence = message.info().map_err(|error| error.to_string())?.stream_sequence;
                    // An end of a pull that came late may bring what another has brought.
                    if sequence > self.place {
                        self.place = sequence;
                        messages.push((sequence, message.message.headers, message.message.payload));
                    }
                }
                Some(Err(error)) => {
                    self.pull = None;
                    // The commonest is none: the next message no longer fits into the pull's bytes.
                    if !error.to_string().contains("Exceeds MaxBytes") {
                        self.consumer = None;
                        tracing::warn!(%error, subject = self.subject, "a pull of parts failed; asking again");
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

    fn piece(&mut self, place: u64, headers: Option<&HeaderMap>, payload: &[u8]) -> Result<Option<Found>, PartialError> {
        let no_part =
            |what: &str| PartialError::NoPart { subject: self.subject.clone(), what: format!("{what}, message {place}") };
        let head = PartialHeader::read(headers).ok_or_else(|| no_part("without the headers of a part"))?;
        let (piece, pieces) = head.piece;
        let mut bytes = match self.begun.take() {
            _ if piece == 1 => Vec::new(),
            Some((before, bytes)) if (PartialHeader { piece: (piece - 1, pieces), ..head }) == before => bytes,
            // A worker that died within a part says another one instead.
            _ => return Ok(None),
        };
        bytes.extend_from_slice(payload);
        if bytes.len() > PART_BYTES_MAX {
            return Err(no_part("too large"));
        }
        if piece < pieces {
            self.begun = Some((head, bytes));
            return Ok(None);
        }
        Ok(Some(Found { head, place, bytes }))
    }
}

/// Bytes as they go into the stream: compressed, with a checksum.
///
/// # Errors
///
/// Those of the compressor.
pub fn pack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1)?;
    encoder.include_checksum(true)?;
    std::io::Write::write_all(&mut encoder, bytes)?;
    encoder.finish()
}

/// The bytes that [`pack`] was given.
///
/// # Errors
///
/// They are damaged, or too many.
pub fn unpack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let read = zstd::Decoder::new(bytes)?.take(PART_BYTES_MAX as u64 + 1).read_to_end(&mut unpacked)?;
    if read > PART_BYTES_MAX {
        return Err(std::io::Error::other(format!("a part of more than {PART_BYTES_MAX} bytes")));
    }
    Ok(unpacked)
}
