//! What reading the stream of events yields: messages as they came, silence, or a gap. Knows nothing of what is in a message, but which
//! format its subject and headers announce.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::message::Acker;
use bytes::Bytes;

use crate::io::decode::command::CommandOrigin;
use crate::io::decode::decompress::Encoding;
use crate::io::decode::formats::{self, FORMAT_HEADER};
use crate::io::decode::message_info::MessageInfo;
use crate::io::decode::rejection::RejectReason;
use crate::io::decode::subject_formats::SubjectFormats;
use crate::io::decode::syntax::Syntax;
use crate::io::nats::input::gap::Gap;
use crate::io::nats::input::stats::InputStats;
use crate::model::event::Kind;
use crate::model::time::TimestampMs;

/// One message as it was read.
#[derive(Debug)]
pub struct Incoming {
    /// The subject.
    pub subject: String,
    /// The bytes.
    pub payload: Bytes,
    /// What subject and headers say about them. An unknown encoding or format is an error for the decode
    /// stage to reject.
    pub info: Result<MessageInfo, RejectReason>,
    /// Its sequence number in the stream.
    pub sequence: u64,
    /// When the stream was created, nanoseconds since 1970: one that was created again counts from 1.
    pub stream_created_ns: i64,
}

/// What reading yields. `M` is what the messages have become: [`RawMessages`] at first.
pub enum Fetched<M = RawMessages> {
    /// Messages in the order of the stream.
    Messages(M),
    /// The server has nothing more, and nothing has come for this long.
    Idle {
        /// Since the last message.
        silence: Duration,
        /// Everything up to this sequence number that is for squelch has been read.
        read_up_to: u64,
    },
    /// Messages that will never come.
    Gap(Gap),
}

/// Messages in the order of the stream, at least one.
pub struct RawMessages {
    /// The messages.
    pub messages: Vec<Incoming>,
    /// Acknowledges the last one and all before it.
    pub ack: Ack,
}

/// Acknowledges messages, unless their consumer was created again since: the new one would take the acknowledgement for its own.
pub struct Ack {
    acker: Box<Acker>,
    sequence: u64,
    /// The consumer that delivered the messages, by number.
    consumer: u64,
    /// The consumer that is in use now.
    current_consumer: Arc<AtomicU64>,
    stats: Arc<InputStats>,
}

impl Ack {
    /// An acknowledgement of all messages up to `sequence`, which the current consumer delivered.
    pub(super) fn new(acker: Acker, sequence: u64, current_consumer: &Arc<AtomicU64>, stats: &Arc<InputStats>) -> Self {
        Self {
            acker: Box::new(acker),
            sequence,
            consumer: current_consumer.load(Ordering::Relaxed),
            current_consumer: Arc::clone(current_consumer),
            stats: Arc::clone(stats),
        }
    }

    /// Acknowledges.
    ///
    /// # Errors
    ///
    /// The client's, as text.
    pub async fn ack(&self) -> Result<(), String> {
        if self.current_consumer.load(Ordering::Relaxed) == self.consumer {
            self.acker.ack().await.map_err(|error| error.to_string())?;
        }
        self.stats.stored.store(self.sequence, Ordering::Relaxed);
        Ok(())
    }
}

impl Incoming {
    /// A message of the stream that was created at `stream_created_ns`. `formats` are those that the settings give to subjects.
    pub(super) fn new(
        message: async_nats::Message,
        sequence: u64,
        stream_created_ns: i64,
        received_at: TimestampMs,
        formats: &SubjectFormats,
    ) -> Self {
        let info = info(&message, received_at, formats);
        Self { subject: message.subject.to_string(), payload: message.payload, info, sequence, stream_created_ns }
    }
}

/// A header of the message names its format, or its content type does, or else the settings do by subject.
fn info(
    message: &async_nats::Message,
    received_at: TimestampMs,
    by_subject: &SubjectFormats,
) -> Result<MessageInfo, RejectReason> {
    let content_type = header(message, "Content-Type");
    let format = match header(message, FORMAT_HEADER).map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => Some(formats::of_name(name).ok_or_else(|| {
            RejectReason::Format(format!("{FORMAT_HEADER} {name:?} is unknown: use one of {}", formats::names()))
        })?),
        None => content_type.and_then(formats::of_media_type).or_else(|| by_subject.of(&message.subject)),
    };
    Ok(MessageInfo {
        kind: kind_of(&message.subject),
        command: CommandOrigin::of_subject(&message.subject),
        format,
        suggested: formats::suggested_by(&message.subject),
        syntax: content_type.map(Syntax::of_header).unwrap_or_default(),
        encoding: encoding(header(message, "Content-Encoding"))?,
        received_at: Some(received_at),
        source: 0,
    })
}

/// The kind of the events on a subject: the first token that names one, `metrics` in `events.metrics.telegraf`.
fn kind_of(subject: &str) -> Option<Kind> {
    subject.split('.').skip(1).find_map(|token| token.parse().ok())
}

fn header<'m>(message: &'m async_nats::Message, name: &str) -> Option<&'m str> {
    message.headers.as_ref()?.get(name).map(|value| value.as_str())
}

fn encoding(header: Option<&str>) -> Result<Encoding, RejectReason> {
    let Some(value) = header else { return Ok(Encoding::Plain) };
    Encoding::of_header(value).ok_or_else(|| {
        RejectReason::Inflate(format!("Content-Encoding {value:?} is unknown: use gzip, zstd, deflate, snappy or none"))
    })
}
