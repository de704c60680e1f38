//! Reads events from JetStream, in pulls bounded by messages and bytes.
//!
//! A pull that is larger than the server's pending limit can stall for good without an error, a server that dies loses what it had
//! sent, and a consumer may be deleted by an operator. So each pull is a request with an end, no error is taken for the end of the
//! stream, and whatever is unexpected leads to an inspection of stream and consumer ([`recovery`](crate::io::nats::input::recovery)).
//! The delivery numbers of the server distinguish messages that were lost on the way, which are read again, from messages that the
//! stream no longer holds, which are a [`Gap`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Batch;
use async_nats::jetstream::{Context, Message};
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, timeout};

use crate::io::nats::client::settings::InputConfig;
use crate::io::nats::input::gap::{Gap, GapCause};
use crate::io::nats::input::messages::{Ack, Fetched, Incoming, RawMessages};
use crate::io::nats::input::stats::InputStats;
use crate::model::time::TimestampMs;

/// How long one pull waits for messages.
const PULL_EXPIRES: Duration = Duration::from_secs(1);
/// The server ends a pull in time, or it has died: after this long nothing more is expected of it.
const PULL_LOST: Duration = Duration::from_secs(3);
/// The pause after a pull or an inspection that failed.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Empty pulls, with messages known to wait, after which stream and consumer are inspected.
pub(super) const STALLED_PULLS: u32 = 5;
/// How often they are inspected while nothing comes.
const INSPECT_EVERY: Duration = Duration::from_secs(10);
/// The same while only some subjects are read, and messages of others may lie between.
const INSPECT_HOLE_EVERY: Duration = Duration::from_secs(5);

/// Reads one stream.
pub struct EventReader {
    pub(super) context: Context,
    pub(super) consumer: PullConsumer,
    pub(super) config: InputConfig,
    /// Whether the consumer sees every message of the stream, so that a hole in the sequence is a loss.
    pub(super) whole_stream: bool,
    pub(super) stream_created_ns: i64,
    /// The last message that was read.
    pub(super) read: u64,
    /// Everything up to here that is for squelch has been read. From `read` on, there are messages on other subjects only.
    pub(super) read_up_to: u64,
    /// The number that the server gave to the last delivery of this consumer.
    pub(super) delivered: u64,
    /// Counts the consumers that were created.
    pub(super) consumer_number: Arc<AtomicU64>,
    pub(super) pull: Option<Batch>,
    /// Messages that the current pull has brought.
    pull_messages: usize,
    /// Messages that a pull brought and that are not accepted yet.
    pub(super) taken: VecDeque<Message>,
    /// Gaps that were found and not returned yet.
    found: VecDeque<Gap>,
    /// The widest hole since the last inspection, between two messages. Messages on other subjects may fill it.
    pub(super) hole: Option<(u64, u64)>,
    pub(super) silent_since: Instant,
    pub(super) empty_pulls: u32,
    /// Something unexpected happened.
    pub(super) must_inspect: bool,
    pub(super) inspected: Instant,
    pub(super) stats: Arc<InputStats>,
}

/// Where an [`EventReader`] begins.
pub(super) struct Start {
    pub context: Context,
    pub consumer: PullConsumer,
    pub config: InputConfig,
    pub whole_stream: bool,
    pub stream_created_ns: i64,
    /// After this message.
    pub sequence: u64,
    pub stats: Arc<InputStats>,
}

impl EventReader {
    /// A reader that has read nothing.
    pub(super) fn new(start: Start) -> Self {
        let Start { context, consumer, config, whole_stream, stream_created_ns, sequence, stats } = start;
        for position in [&stats.read, &stats.stored] {
            position.store(sequence, Ordering::Relaxed);
        }
        Self {
            context,
            consumer,
            config,
            whole_stream,
            stream_created_ns,
            read: sequence,
            read_up_to: sequence,
            delivered: 0,
            consumer_number: Arc::default(),
            pull: None,
            pull_messages: 0,
            taken: VecDeque::new(),
            found: VecDeque::new(),
            hole: None,
            silent_since: Instant::now(),
            empty_pulls: 0,
            must_inspect: false,
            inspected: Instant::now(),
            stats,
        }
    }

    /// Waits for the next messages, for a gap, or for a pull to end without any. When it is cancelled at a stop, what was taken and
    /// not returned was not acknowledged either, so it is read again.
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
            if self.wants_inspection() {
                self.inspect().await;
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
                // The server that had the request has died. That nothing came says nothing about the stream.
                Err(_) => self.pull_failed("the server does not answer").await,
            }
        }
    }

    /// Takes what the open pull has brought, without asking for more. A caller that cannot go on for a while has to call this: the
    /// client discards what lies in a pull that ended long ago.
    pub fn gather(&mut self) {
        while let Some(next) = self.pull.as_mut().and_then(|pull| pull.next().now_or_never()) {
            match next {
                Some(Ok(message)) => {
                    self.pull_messages += 1;
                    self.taken.push_back(message);
                }
                // The next pull finds out what the error means.
                Some(Err(_)) | None => self.pull = None,
            }
        }
    }

    fn wants_inspection(&self) -> bool {
        let hole = self.hole.is_some() && self.inspected.elapsed() >= INSPECT_HOLE_EVERY;
        self.pull.is_none() && (self.must_inspect || hole)
    }

    /// Takes the first message, and what else has arrived already; waits for nothing.
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

    /// A pull ended with an error. The most common one is no failure: the next message does not fit into the bytes of the pull.
    async fn pull_failed(&mut self, error: &str) {
        self.pull = None;
        if !error.contains("Exceeds MaxBytes") {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(error, "a pull failed; retrying");
            (self.must_inspect, self.silent_since) = (true, Instant::now());
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

    /// A pull ended without messages. Returns silence where the server has none; notices where it has some that did not come.
    fn empty_pull(&mut self) -> Option<Fetched> {
        self.empty_pulls += 1;
        if self.stats.pending.load(Ordering::Relaxed) == 0 {
            self.must_inspect |= self.inspected.elapsed() >= INSPECT_EVERY;
            return Some(Fetched::Idle { silence: self.silent_since.elapsed(), read_up_to: self.read_up_to });
        }
        if self.empty_pulls >= STALLED_PULLS {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
            self.must_inspect = true;
        }
        None
    }

    /// Accepts the messages up to a gap, or up to a delivery that was lost.
    fn accept(&mut self) -> Option<Fetched> {
        (self.silent_since, self.empty_pulls) = (Instant::now(), 0);
        self.stats.health.recovered();
        let mut messages = Vec::with_capacity(self.taken.len());
        let mut last = None;
        while let Some(message) = self.taken.pop_front() {
            let Ok(info) = message.info() else {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(subject = %message.subject, "a message without JetStream's reply subject");
                continue;
            };
            let (sequence, delivery) = (info.stream_sequence, info.consumer_sequence);
            self.stats.pending.store(info.pending, Ordering::Relaxed);
            if sequence <= self.read {
                self.delivered = delivery;
                self.stats.redelivered.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if sequence > self.read_up_to + 1 {
                if delivery != self.delivered + 1 {
                    tracing::warn!(after = self.read_up_to, "deliveries were lost on the way; reading them again");
                    self.taken.clear();
                    (self.pull, self.must_inspect) = (None, true);
                    break;
                }
                if self.whole_stream {
                    self.taken.push_front(message);
                    if messages.is_empty() {
                        self.missing_up_to(sequence - 1, true);
                        return None;
                    }
                    break;
                }
                if self.hole.is_none_or(|(after, before)| sequence - self.read_up_to > before - after) {
                    self.hole = Some((self.read_up_to, sequence));
                }
            }
            (self.read, self.read_up_to, self.delivered) = (sequence, self.read_up_to.max(sequence), delivery);
            let received_at = (info.published.unix_timestamp_nanos() / 1_000_000) as TimestampMs;
            let (message, acker) = message.split();
            last = Some(acker);
            messages.push(Incoming::new(message, sequence, self.stream_created_ns, received_at, &self.config.formats));
        }
        self.stats.read.store(self.read, Ordering::Relaxed);
        let ack = Ack::new(last?, self.read, &self.consumer_number, &self.stats);
        Some(Fetched::Messages(RawMessages { messages, ack }))
    }

    /// Messages up to `last` are missing and will not come.
    pub(super) fn missing_up_to(&mut self, last: u64, exact: bool) {
        self.gap(GapCause::Dropped { first: self.read_up_to + 1, last, exact }, last);
    }

    /// A gap: reading goes on after `after`.
    pub(super) fn gap(&mut self, cause: GapCause, after: u64) {
        (self.read, self.read_up_to) = (after, after);
        for position in [&self.stats.read, &self.stats.stored] {
            // What is missing is not being processed; another stream counts from its own beginning.
            position.store(after, Ordering::Relaxed);
        }
        let gap = Gap { stream: self.config.stream.clone(), cause, stream_created_ns: self.stream_created_ns, after };
        let code = Gap::CODES.iter().position(|code| *code == gap.code()).unwrap_or_default();
        self.stats.gaps[code].fetch_add(1, Ordering::Relaxed);
        self.stats.gap_messages.fetch_add(gap.messages(), Ordering::Relaxed);
        self.found.push_back(gap);
    }
}
