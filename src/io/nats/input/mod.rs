//! Reads events from JetStream, in pulls bounded by messages and bytes.
//!
//! A pull larger than the server's pending limit can stall for good without an error, a server that dies takes along what it had
//! sent, and a consumer may be deleted by somebody else: so each pull is a request of its own with an end, no error is taken for
//! the end of the stream, and whatever is odd makes squelch look at stream and consumer ([`recovery`]). The numbers that the server
//! gives to deliveries tell what was lost on the way from what the stream no longer holds: the first is read again, the second is
//! a [`Gap`].

pub mod gap;
pub mod lease_consumer;
pub mod position;
pub mod recovery;
pub mod topology_bucket;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::{Context, Message};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, timeout};

use crate::io::decode::decompress::Encoding;
use crate::io::decode::format::Format;
use crate::io::decode::formats;
use crate::io::decode::message_info::MessageInfo;
use crate::io::nats::client::health::Health;
use crate::io::nats::client::settings::InputConfig;
use crate::io::nats::input::gap::{Gap, GapCause};
use crate::model::event::Kind;
use crate::model::time::TimestampMs;

/// How long one pull waits for messages.
const PULL_EXPIRES: Duration = Duration::from_secs(1);
/// The server ends a pull in time, or it is no longer there: after so long nothing is expected of it.
const PULL_LOST: Duration = Duration::from_secs(3);
/// How long to wait after a pull that failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Empty pulls, with messages known to wait, after which stream and consumer are looked at.
const STALLED_PULLS: u32 = 5;
/// How often they are looked at while nothing comes,
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// and while only some subjects are read and others lie between.
const HOLE_LOOK_EVERY: Duration = Duration::from_secs(5);

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
    /// The stream's birth, nanoseconds since 1970: one that was made anew counts from 1 again.
    pub born_ns: i64,
}

/// What reading yields.
pub enum Fetched {
    /// Messages in the order of the stream, and what acknowledges all of them.
    Messages {
        /// At least one.
        messages: Vec<Incoming>,
        /// Acknowledges the last one and all before it.
        ack: Ack,
    },
    /// The server says that nothing waits, and nothing has come for this long.
    Idle {
        /// Since the last message.
        silence: Duration,
        /// All that there is for squelch up to this place in the stream has been read.
        seen: u64,
    },
    /// Messages that will never come.
    Gap(Gap),
}

/// Acknowledges messages, unless the consumer that brought them is gone: another one of the same name would take it for its own.
pub struct Ack {
    acker: Box<Acker>,
    sequence: u64,
    life: u64,
    lives: Arc<AtomicU64>,
    reading: Arc<Reading>,
}

impl Ack {
    /// Acknowledges.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn ack(&self) -> Result<(), String> {
        if self.lives.load(Ordering::Relaxed) == self.life {
            self.acker.ack().await.map_err(|error| error.to_string())?;
        }
        self.reading.stored.store(self.sequence, Ordering::Relaxed);
        Ok(())
    }
}

/// What reading shows of itself, also while it waits.
#[derive(Debug, Default)]
pub struct Reading {
    /// Messages that wait in the stream.
    pub pending: AtomicU64,
    /// The last message that was read.
    pub read: AtomicU64,
    /// The last message of which all that came is stored.
    pub stored: AtomicU64,
    /// Messages that the server sent again.
    pub redelivered: AtomicU64,
    /// Gaps by cause, in the order of [`Gap::CODES`].
    pub gaps: [AtomicU64; 3],
    /// Messages that the stream dropped before they were read.
    pub gap_messages: AtomicU64,
    /// Pulls that failed or stalled.
    pub failures: AtomicU64,
    /// Consumers made anew while running.
    pub renewals: AtomicU64,
    /// Why nothing can be read.
    pub health: Health,
}

/// Reads one stream.
pub struct Source {
    context: Context,
    consumer: PullConsumer,
    config: InputConfig,
    /// Whether the consumer sees every message of the stream, so that a hole in the sequence is a loss.
    whole_stream: bool,
    born_ns: i64,
    /// The last message that was read.
    read: u64,
    /// All that is for squelch up to here has been read: from `read` on, what there is is of other subjects.
    seen: u64,
    /// The number that the server gave to the last delivery of this consumer.
    delivered: u64,
    /// How many consumers were made; that of the last.
    lives: Arc<AtomicU64>,
    pull: Option<Batch>,
    /// Messages that the current pull has brought.
    pull_messages: usize,
    /// Brought and not looked at.
    taken: VecDeque<Message>,
    /// Gaps that were found and not told.
    found: VecDeque<Gap>,
    /// The widest hole since the last look, where other subjects may fill it: after one message, before another.
    hole: Option<(u64, u64)>,
    silent_since: Instant,
    empty_pulls: u32,
    /// Something is odd.
    must_look: bool,
    looked: Instant,
    reading: Arc<Reading>,
}

impl Source {
    /// Waits for the next messages, for a gap, or for a pull to end without any. Where it is cancelled, at a stop, what was taken
    /// and not returned was not acknowledged either: it is read again.
    pub async fn next(&mut self) -> Fetched {
        loop {
            if let Some(gap) = self.found.pop_front() {
                return Fetched::Gap(gap);
            }
            if !self.taken.is_empty() {
                if let Some(fetched) = self.accept() {
                    return fetched;
                }
                continue;
            }
            if self.wants_look() {
                self.look().await;
                continue;
            }
            let Some(pull) = self.open_pull().await else { continue };
            match timeout(PULL_LOST, pull.next()).await {
                Ok(Some(Ok(first))) => self.drain(first).await,
                Ok(Some(Err(error))) => self.pull_failed(&error.to_string()).await,
                Ok(None) => {
                    self.pull = None;
                    if let Some(idle) = self.empty_pull() {
                        return idle;
                    }
                }
                // The server that had the request is gone. That nothing came says nothing about the stream.
                Err(_) => self.pull_failed("the server does not answer").await,
            }
        }
    }

    /// Takes in what the open pull has brought, and asks for no more. Whoever cannot go on for long calls it: the client throws away
    /// what lies in a pull that is long over.
    pub fn gather(&mut self) {
        while let Some(next) = self.pull.as_mut().and_then(|pull| pull.next().now_or_never()) {
            match next {
                Some(Ok(message)) => {
                    self.pull_messages += 1;
                    self.taken.push_back(message);
                }
                // What an error means is asked later.
                Some(Err(_)) | None => self.pull = None,
            }
        }
    }

    fn wants_look(&self) -> bool {
        let hole = self.hole.is_some() && self.looked.elapsed() >= HOLE_LOOK_EVERY;
        self.pull.is_none() && (self.must_look || hole)
    }

    /// What is here already comes along with the first message; nothing is waited for.
    async fn drain(&mut self, first: Message) {
        let mut bytes = first.payload.len();
        self.taken.push_back(first);
        self.pull_messages += 1;
        while bytes < self.config.batch_bytes {
            match self.pull.as_mut().and_then(|pull| pull.next().now_or_never()) {
                Some(Some(Ok(message))) => {
                    bytes += message.payload.len();
                    self.pull_messages += 1;
                    self.taken.push_back(message);
                }
                Some(Some(Err(error))) => {
                    self.pull_failed(&error.to_string()).await;
                    break;
                }
                Some(None) | None => break,
            }
        }
    }

    /// A pull ended with an error. The commonest is none: the next message no longer fits into the pull's bytes.
    async fn pull_failed(&mut self, error: &str) {
        self.pull = None;
        if !error.contains("Exceeds MaxBytes") {
            self.reading.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(error, "a pull failed; asking again");
            (self.must_look, self.silent_since) = (true, Instant::now());
            sleep(RETRY_AFTER).await;
        } else if self.pull_messages == 0 {
            self.config.batch_bytes *= 2;
            tracing::warn!(
                batch_bytes = self.config.batch_bytes,
                "a message is larger than a pull: asking for more. Raise input.batch_bytes"
            );
        }
    }

    async fn open_pull(&mut self) -> Option<&mut Batch> {
        if self.pull.is_none() {
            let request = self.consumer.batch().max_messages(self.config.batch_messages).max_bytes(self.config.batch_bytes);
            match request.expires(PULL_EXPIRES).messages().await {
                Ok(pull) => {
                    self.pull = Some(pull);
                    self.pull_messages = 0;
                }
                Err(error) => self.pull_failed(&error.to_string()).await,
            }
        }
        self.pull.as_mut()
    }

    /// A pull ended, the server says. Says so where nothing waits; notices where something does and did not come.
    fn empty_pull(&mut self) -> Option<Fetched> {
        self.empty_pulls += 1;
        if self.reading.pending.load(Ordering::Relaxed) == 0 {
            self.must_look |= self.looked.elapsed() >= LOOK_EVERY;
            return Some(Fetched::Idle { silence: self.silent_since.elapsed(), seen: self.seen });
        }
        if self.empty_pulls >= STALLED_PULLS {
            self.reading.failures.fetch_add(1, Ordering::Relaxed);
            self.must_look = true;
        }
        None
    }

    /// Takes the messages up to a gap, or up to a delivery that was lost.
    fn accept(&mut self) -> Option<Fetched> {
        (self.silent_since, self.empty_pulls) = (Instant::now(), 0);
        self.reading.health.recovered();
        let mut messages = Vec::with_capacity(self.taken.len());
        let mut last = None;
        while let Some(message) = self.taken.pop_front() {
            let Ok(info) = message.info() else {
                self.reading.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(subject = %message.subject, "a message without JetStream's reply subject");
                continue;
            };
            let (sequence, delivery) = (info.stream_sequence, info.consumer_sequence);
            self.reading.pending.store(info.pending, Ordering::Relaxed);
            if sequence <= self.read {
                self.delivered = delivery;
                self.reading.redelivered.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if sequence > self.seen + 1 {
                if delivery != self.delivered + 1 {
                    tracing::warn!(after = self.seen, "deliveries were lost on the way; reading them again");
                    self.taken.clear();
                    (self.pull, self.must_look) = (None, true);
                    break;
                }
                if self.whole_stream {
                    self.taken.push_front(message);
                    if messages.is_empty() {
                        self.miss(sequence - 1, true);
                        return None;
                    }
                    break;
                }
                if self.hole.is_none_or(|(after, before)| sequence - self.seen > before - after) {
                    self.hole = Some((self.seen, sequence));
                }
            }
            (self.read, self.seen, self.delivered) = (sequence, self.seen.max(sequence), delivery);
            let received_at = (info.published.unix_timestamp_nanos() / 1_000_000) as TimestampMs;
            let (message, acker) = message.split();
            last = Some(acker);
            messages.push(incoming(message, sequence, self.born_ns, received_at));
        }
        self.reading.read.store(self.read, Ordering::Relaxed);
        let (life, lives, reading) = (self.lives.load(Ordering::Relaxed), Arc::clone(&self.lives), Arc::clone(&self.reading));
        let ack = |acker| Ack { acker: Box::new(acker), sequence: self.read, life, lives, reading };
        last.map(ack).map(|ack| Fetched::Messages { messages, ack })
    }

    /// What is missing up to message `last` will not come.
    fn miss(&mut self, last: u64, exact: bool) {
        self.tell(GapCause::Dropped { first: self.seen + 1, last, exact }, last);
    }

    /// Reading goes on after `after`.
    fn tell(&mut self, cause: GapCause, after: u64) {
        (self.read, self.seen) = (after, after);
        for place in [&self.reading.read, &self.reading.stored] {
            // What is missing is not under way; another stream counts from its own beginning.
            place.store(after, Ordering::Relaxed);
        }
        let gap = Gap { stream: self.config.stream.clone(), cause, born_ns: self.born_ns, after };
        let code = Gap::CODES.iter().position(|code| *code == gap.code()).unwrap_or_default();
        self.reading.gaps[code].fetch_add(1, Ordering::Relaxed);
        self.reading.gap_messages.fetch_add(gap.messages(), Ordering::Relaxed);
        self.found.push_back(gap);
    }
}

fn incoming(message: async_nats::Message, sequence: u64, born_ns: i64, received_at: TimestampMs) -> Incoming {
    let info = encoding(&message).map(|encoding| MessageInfo {
        kind: kind_of(&message.subject),
        format: format(&message),
        encoding,
        received_at: Some(received_at),
        source: 0,
    });
    Incoming { subject: message.subject.to_string(), payload: message.payload, info, sequence, born_ns }
}

/// The kind of the events on a subject: the first token that names one, `metrics` in `events.metrics.telegraf`.
fn kind_of(subject: &str) -> Option<Kind> {
    subject.split('.').skip(1).find_map(|token| token.parse().ok())
}

fn format(message: &async_nats::Message) -> Option<&'static Format> {
    let value = message.headers.as_ref().and_then(|headers| headers.get("Content-Type"));
    value.and_then(|value| formats::of_media_type(value.as_str()))
}

fn encoding(message: &async_nats::Message) -> Result<Encoding, String> {
    let Some(value) = message.headers.as_ref().and_then(|headers| headers.get("Content-Encoding")) else {
        return Ok(Encoding::Plain);
    };
    Encoding::of_header(value.as_str())
        .ok_or_else(|| format!("Content-Encoding {:?} is unknown: use gzip, zstd or none", value.as_str()))
}
