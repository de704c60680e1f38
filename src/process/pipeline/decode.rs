//! The decode stage, a thread. While the engine is busy, messages are gathered into one batch: many rules cost least over large
//! batches, and an engine that waits gets small ones at once.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::mpsc;

use crate::io::decode::decoder::Decoder;
use crate::io::decode::message_info::MessageInfo;
use crate::io::decode::rejection::Rejected;
use crate::io::decode::unknown_words::UnknownWord;
use crate::io::nats::input::messages::{Ack, Fetched, Incoming, RawMessages};
use crate::io::nats::output::results::RejectedLine;
use crate::process::pipeline::messages::{CountsAsProgress, DecodedItem, DecodedMessages, PipelineItem, RawItem};
use crate::process::pipeline::progress::Progress;
use crate::process::telemetry::stopwatch::stopwatch;

/// Warnings about rejected input, for each reason. A collector that sends nonsense sends a lot of it, and a few lines an hour tell an
/// operator as much as a million.
const WARNINGS_PER_HOUR: NonZeroU32 = NonZeroU32::new(6).unwrap();

/// The engine stage has ended.
struct EngineGone;

/// The state of the stage.
pub struct Decode {
    decoder: Decoder,
    /// Which messages are decoded at all.
    accepts: Box<dyn Fn(&Incoming) -> bool + Send>,
    sequences: Vec<u64>,
    rejected: Vec<RejectedLine>,
    acker: Option<Ack>,
    progress: Progress,
    warnings: DefaultKeyedRateLimiter<&'static str>,
}

impl Decode {
    /// A stage around a decoder.
    pub fn new(decoder: Decoder) -> Self {
        Self {
            decoder,
            accepts: Box::new(|_| true),
            sequences: Vec::new(),
            rejected: Vec::new(),
            acker: None,
            progress: Progress::default(),
            warnings: RateLimiter::keyed(Quota::per_hour(WARNINGS_PER_HOUR)),
        }
    }

    /// Skips messages that `accepts` turns down.
    pub fn only(self, accepts: impl Fn(&Incoming) -> bool + Send + 'static) -> Self {
        Self { accepts: Box::new(accepts), ..self }
    }

    /// Decodes until the readers have ended, then passes on what is left.
    pub fn run<O: CountsAsProgress>(
        mut self,
        mut from_readers: mpsc::Receiver<RawItem<O>>,
        to_engine: &mpsc::Sender<DecodedItem<Ack, O>>,
    ) {
        let all = async {
            while let Some(next) = self.next(&mut from_readers, to_engine).await? {
                match next {
                    PipelineItem::Read(Fetched::Messages(messages)) => self.messages(messages, to_engine).await?,
                    PipelineItem::Read(Fetched::Idle { silence, read_up_to }) => {
                        self.flush(to_engine).await?;
                        self.progress.sequence = self.progress.sequence.max(read_up_to);
                        self.send(PipelineItem::Read(Fetched::Idle { silence, read_up_to }), to_engine).await?;
                    }
                    PipelineItem::Read(Fetched::Gap(gap)) => {
                        self.flush(to_engine).await?;
                        self.progress.sequence = gap.after;
                        self.send(PipelineItem::Read(Fetched::Gap(gap)), to_engine).await?;
                    }
                    PipelineItem::Rules(new) => {
                        self.flush(to_engine).await?;
                        self.decoder.set_label_keys(&new.label_keys);
                        self.send(PipelineItem::Rules(new), to_engine).await?;
                    }
                    PipelineItem::EngineOnly(other) => {
                        self.flush(to_engine).await?;
                        other.add_to(&mut self.progress);
                        self.send(PipelineItem::EngineOnly(other), to_engine).await?;
                    }
                }
            }
            self.flush(to_engine).await
        };
        if let Err(EngineGone) = futures::executor::block_on(all) {
            tracing::error!("the engine has ended");
        }
    }

    /// The next item. As long as none waits, what was gathered goes to the engine as soon as it has room.
    async fn next<O>(
        &mut self,
        from_readers: &mut mpsc::Receiver<RawItem<O>>,
        to_engine: &mpsc::Sender<DecodedItem<Ack, O>>,
    ) -> Result<Option<RawItem<O>>, EngineGone> {
        if !self.is_empty() {
            tokio::select! {
                biased;
                next = from_readers.recv() => return Ok(next),
                room = to_engine.reserve() => room.map_err(|_| EngineGone)?.send(self.gathered()),
            }
        }
        Ok(from_readers.recv().await)
    }

    async fn messages<O>(
        &mut self,
        messages: RawMessages,
        to_engine: &mpsc::Sender<DecodedItem<Ack, O>>,
    ) -> Result<(), EngineGone> {
        let RawMessages { messages, ack } = messages;
        let mut rest = messages.as_slice();
        while !rest.is_empty() {
            rest = self.decode(rest);
            if rest.is_empty() {
                self.acker = Some(ack);
                break;
            }
            self.flush(to_engine).await?;
        }
        if self.decoder.is_full() { self.flush(to_engine).await } else { Ok(()) }
    }

    fn is_empty(&self) -> bool {
        self.decoder.is_empty() && self.acker.is_none() && self.rejected.is_empty()
    }

    async fn flush<O>(&mut self, to_engine: &mpsc::Sender<DecodedItem<Ack, O>>) -> Result<(), EngineGone> {
        if self.is_empty() {
            return Ok(());
        }
        to_engine.reserve().await.map_err(|_| EngineGone)?.send(self.gathered());
        Ok(())
    }

    async fn send<O>(
        &mut self,
        item: PipelineItem<Box<DecodedMessages>, O>,
        to_engine: &mpsc::Sender<DecodedItem<Ack, O>>,
    ) -> Result<(), EngineGone> {
        to_engine.send(DecodedItem { item, progress: self.progress.clone() }).await.map_err(|_| EngineGone)
    }

    fn gathered<O>(&mut self) -> DecodedItem<Ack, O> {
        let rejected = std::mem::take(&mut self.rejected);
        let sequences = std::mem::take(&mut self.sequences);
        let decoded = DecodedMessages { batch: self.decoder.take(), sequences, rejected, acker: self.acker.take() };
        DecodedItem { item: PipelineItem::Read(Fetched::Messages(Box::new(decoded))), progress: self.progress.clone() }
    }

    /// Decodes messages until the batch is full. Returns the messages that are left.
    fn decode<'m>(&mut self, messages: &'m [Incoming]) -> &'m [Incoming] {
        let _decoding = tracing::debug_span!("decode", messages = messages.len()).entered();
        let took = stopwatch();
        let mut done = 0;
        for message in messages {
            if (self.accepts)(message) {
                self.message(message);
            }
            self.progress.sequence = message.sequence;
            done += 1;
            if self.decoder.is_full() {
                break;
            }
        }
        for UnknownWord { field, word } in self.decoder.unknown_words().take_unreported() {
            let handling = if field == "severity" { "such alerts are warnings" } else { "such alerts are rejected" };
            tracing::warn!(field, word, "an alert of another system has an unknown word: {handling}");
        }
        self.progress.unknown_words = Arc::clone(self.decoder.unknown_words().counts());
        self.progress.decoding += took();
        &messages[done..]
    }

    fn message(&mut self, message: &Incoming) {
        let Self { decoder, sequences, rejected, progress, warnings, .. } = self;
        let mut reject = |bad: Rejected| {
            bad.counts().for_each(|(code, lines)| *progress.rejected.entry(code).or_default() += lines);
            let more = bad.unlisted.values().sum::<u64>();
            let like_it = if more > 0 { format!(" ({more} more lines like it are counted only)") } else { String::new() };
            if warnings.check_key(&bad.reason.code()).is_ok() {
                tracing::warn!(
                    subject = message.subject,
                    sequence = message.sequence,
                    line = bad.line,
                    "rejected: {}; for a while, further ones of this kind are counted only",
                    bad.reason
                );
            }
            rejected.push(RejectedLine {
                subject: message.subject.clone(),
                sequence: message.sequence,
                stream_created_ns: message.stream_created_ns,
                line: bad.line,
                reason: format!("{}: {}{like_it}", bad.reason.code(), bad.reason),
                bytes: bad.bytes.into(),
            });
        };
        match &message.info {
            Ok(info) => {
                let info = MessageInfo { source: decoder.source(&message.subject), ..*info };
                decoder.message(&message.payload, info, &mut reject);
                sequences.push(message.sequence);
            }
            Err(why) => reject(Rejected::one(0, message.payload.to_vec(), why.clone())),
        }
    }
}
