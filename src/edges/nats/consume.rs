//! Reads events from JetStream, in pulls bounded by messages and bytes.
//!
//! A pull larger than the server's pending limit can stall for good without an error, and a consumer can miss its heartbeats:
//! so each pull is a request of its own with an end, a message that should be there and does not come is noticed, and no error
//! is taken for the end of the stream.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::message::Acker;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep};

use crate::edges::decode::inflate::Encoding;
use crate::edges::decode::{Format, MessageInfo};
use crate::edges::nats::settings::InputConfig;
use crate::words::event::Kind;
use crate::words::time::TimestampMs;

/// How long one pull waits for messages.
const PULL_EXPIRES: Duration = Duration::from_secs(1);
/// How long to wait after a pull that failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Empty pulls, with messages known to wait, after which the consumer is looked up anew.
const STALLED_PULLS: u32 = 5;

/// One message as read.
#[derive(Debug)]
pub struct Incoming {
    /// The subject.
    pub subject: String,
    /// The bytes.
    pub payload: Bytes,
    /// What subject and headers say about them; an encoding that nobody knows is an error for the decoder's caller.
    pub info: Result<MessageInfo, String>,
    /// Its place in the stream.
    pub sequence: u64,
}

/// What reading yields.
pub enum Fetched {
    /// Messages in the order of the stream, how many more wait, and what acknowledges all of them.
    Messages {
        /// At least one.
        messages: Vec<Incoming>,
        /// Behind them in the stream.
        pending: u64,
        /// Acknowledges the last one and all before it.
        acker: Box<Acker>,
    },
    /// Nothing waits, and nothing has come for this long.
    Idle {
        /// Since the last message.
        silence: Duration,
    },
}

/// Counts of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumeCounts {
    /// Messages that the server sent again.
    pub redelivered: u64,
    /// Messages that the stream dropped before they were read.
    pub gaps: u64,
    /// Pulls that failed or stalled.
    pub failures: u64,
}

/// Reads one stream.
pub struct Source {
    consumer: PullConsumer,
    config: InputConfig,
    /// Whether the consumer sees every message of the stream, so that a hole in the sequence is a loss.
    whole_stream: bool,
    pull: Option<async_nats::jetstream::consumer::pull::Batch>,
    /// Messages that the current pull has brought.
    pull_messages: usize,
    last_sequence: u64,
    pending: u64,
    last_message: Instant,
    empty_pulls: u32,
    counts: ConsumeCounts,
}

impl Source {
    /// A source that reads with a consumer that begins after message `last_sequence`.
    pub fn new(consumer: PullConsumer, config: InputConfig, last_sequence: u64) -> Self {
        let found = &consumer.cached_info().config;
        let whole_stream = found.filter_subject.is_empty() && found.filter_subjects.is_empty();
        let pending = consumer.cached_info().num_pending;
        Self {
            consumer,
            config,
            whole_stream,
            pull: None,
            pull_messages: 0,
            last_sequence,
            pending,
            last_message: Instant::now(),
            empty_pulls: 0,
            counts: ConsumeCounts::default(),
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> ConsumeCounts {
        self.counts
    }

    /// Waits for the next messages, or for a pull to end without any. Where it is
    /// cancelled, at a stop, what was taken and not returned was not acknowledged either: the server delivers it again.
    pub async fn next(&mut self) -> Fetched {
        loop {
            let Some(pull) = self.open_pull().await else { continue };
            match pull.next().await {
                Some(Ok(first)) => {
                    let taken = self.drain(first).await;
                    if let Some(fetched) = self.accept(taken) {
                        return fetched;
                    }
                }
                Some(Err(error)) => self.pull_failed(&error.to_string()).await,
                None => {
                    self.pull = None;
                    if let Some(idle) = self.empty_pull().await {
                        return idle;
                    }
                }
            }
        }
    }

    /// What is here already comes along with the first message; nothing is waited for.
    async fn drain(&mut self, first: Message) -> Vec<Message> {
        let mut bytes = first.payload.len();
        let mut taken = vec![first];
        self.pull_messages += 1;
        while bytes < self.config.batch_bytes {
            match self.pull.as_mut().and_then(|pull| pull.next().now_or_never()) {
                Some(Some(Ok(message))) => {
                    bytes += message.payload.len();
                    self.pull_messages += 1;
                    taken.push(message);
                }
                Some(Some(Err(error))) => {
                    self.pull_failed(&error.to_string()).await;
                    break;
                }
                Some(None) | None => break,
            }
        }
        taken
    }

    /// A pull ended with an error. The commonest is none: the next message no longer fits into the pull's bytes.
    async fn pull_failed(&mut self, error: &str) {
        self.pull = None;
        if !error.contains("Exceeds MaxBytes") {
            self.counts.failures += 1;
            tracing::warn!(error, "a pull failed; asking again");
            sleep(RETRY_AFTER).await;
        } else if self.pull_messages == 0 {
            self.config.batch_bytes *= 2;
            tracing::warn!(
                batch_bytes = self.config.batch_bytes,
                "a message is larger than a pull: asking for more. Raise input.batch_bytes"
            );
        }
    }

    async fn open_pull(&mut self) -> Option<&mut async_nats::jetstream::consumer::pull::Batch> {
        if self.pull.is_none() {
            let request = self.consumer.batch().max_messages(self.config.batch_messages).max_bytes(self.config.batch_bytes);
            match request.expires(PULL_EXPIRES).messages().await {
                Ok(pull) => {
                    self.pull = Some(pull);
                    self.pull_messages = 0;
                }
                Err(error) => {
                    self.counts.failures += 1;
                    tracing::warn!(%error, "cannot ask for messages; trying again");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
        self.pull.as_mut()
    }

    /// A pull ended. Says so where nothing waits; notices where something does and did not come.
    async fn empty_pull(&mut self) -> Option<Fetched> {
        self.empty_pulls += 1;
        if self.pending == 0 {
            return Some(Fetched::Idle { silence: self.last_message.elapsed() });
        }
        if self.empty_pulls >= STALLED_PULLS {
            self.counts.failures += 1;
            self.empty_pulls = 0;
            match self.consumer.info().await {
                Ok(info) => {
                    tracing::warn!(pending = info.num_pending, "messages wait and do not come; asking anew");
                    self.pending = info.num_pending;
                }
                Err(error) => tracing::warn!(%error, "the consumer does not answer; trying again"),
            }
        }
        None
    }

    fn accept(&mut self, taken: Vec<Message>) -> Option<Fetched> {
        self.last_message = Instant::now();
        self.empty_pulls = 0;
        let mut messages = Vec::with_capacity(taken.len());
        let mut acker = None;
        for message in taken {
            let Ok(info) = message.info() else {
                self.counts.failures += 1;
                tracing::warn!(subject = %message.subject, "a message without JetStream's reply subject");
                continue;
            };
            let (sequence, received_at) =
                (info.stream_sequence, (info.published.unix_timestamp_nanos() / 1_000_000) as TimestampMs);
            self.pending = info.pending;
            if sequence <= self.last_sequence {
                self.counts.redelivered += 1;
                continue;
            }
            let gap = sequence - self.last_sequence - 1;
            if self.whole_stream && gap > 0 && self.last_sequence > 0 {
                self.counts.gaps += gap;
                tracing::error!(
                    gap,
                    after = self.last_sequence,
                    "the stream dropped messages before they were read: alerts may be missing or late"
                );
            }
            self.last_sequence = sequence;
            let (message, ack) = message.split();
            acker = Some(ack);
            let info = encoding(&message).map(|encoding| MessageInfo {
                kind: kind_of(&message.subject),
                format: format(&message),
                encoding,
                received_at: Some(received_at),
                source: 0,
            });
            messages.push(Incoming { subject: message.subject.to_string(), payload: message.payload, info, sequence });
        }
        acker.map(|acker| Fetched::Messages { messages, pending: self.pending, acker: Box::new(acker) })
    }
}

/// The kind of the events on a subject: the first token that names one, `metrics` in `events.metrics.telegraf`.
fn kind_of(subject: &str) -> Option<Kind> {
    subject.split('.').skip(1).find_map(|token| token.parse().ok())
}

fn format(message: &async_nats::Message) -> Format {
    let value = message.headers.as_ref().and_then(|headers| headers.get("Content-Type"));
    value.map_or(Format::Json, |value| Format::of_header(value.as_str()))
}

fn encoding(message: &async_nats::Message) -> Result<Encoding, String> {
    let Some(value) = message.headers.as_ref().and_then(|headers| headers.get("Content-Encoding")) else {
        return Ok(Encoding::Plain);
    };
    Encoding::of_header(value.as_str())
        .ok_or_else(|| format!("Content-Encoding {:?} is unknown: use gzip, zstd or none", value.as_str()))
}
