//! The thread that decodes. What waits to be read is gathered into one batch while the engine is busy: many rules cost least over
//! large batches, and an engine that waits gets small ones at once.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::mpsc;

use crate::engine::next_rules::NextRules;
use crate::engine::partial::result::PartialResult;
use crate::io::decode::decoder::Decoder;
use crate::io::decode::message_info::MessageInfo;
use crate::io::decode::rejection::{RejectReason, Rejected};
use crate::io::decode::unknown_words::UnknownWord;
use crate::io::nats::cluster::partial_stream::{self, Found};
use crate::io::nats::input::gap::Gap;
use crate::io::nats::input::{Ack, Fetched, Incoming};
use crate::io::nats::output::OutRejected;
use crate::model::event::EventBatch;
use crate::process::cli::replay::stopwatch;
use crate::process::reload::rules::NewRules;
use crate::topology::TopologyDefinition;
use crate::topology::definition::TopologySource;

/// Warnings about rejected input, for each reason.
const WARNINGS_AN_HOUR: NonZeroU32 = NonZeroU32::new(6).unwrap();

/// What comes to this thread.
pub enum ToDecoder {
    /// What was read.
    Read(Fetched),
    /// What a worker made of what it read.
    Part(Found),
    /// Other rules from here on.
    Rules(Box<NewRules>),
    /// What a source tells of the topology, from here on.
    Topology(TopologySource, TopologyDefinition),
}

/// What goes on to the engine, and how far reading has come. `A` acknowledges messages.
pub struct ToEngine<A = Ack> {
    /// What to do.
    pub work: Work<A>,
    /// As of its end.
    pub progress: Progress,
}

/// What the engine is to do.
pub enum Work<A = Ack> {
    /// Take events in.
    Events(Box<Decoded<A>>),
    /// Take in what a worker counted.
    Part(Box<TakenPart>),
    /// Let time go on: nothing has come for this long.
    Idle(Duration),
    /// Say that messages will never come.
    Gap(Gap),
    /// Go on with other rules.
    Rules(Box<NextRules>),
    /// Go on with what a source now tells of the topology.
    Topology(TopologySource, TopologyDefinition),
}

/// What a worker counted.
pub struct TakenPart {
    /// Which, from 0.
    pub partition: usize,
    /// Where it was found.
    pub place: u64,
    /// What it says.
    pub part: PartialResult,
}

/// Messages, decoded.
pub struct Decoded<A = Ack> {
    /// Their events.
    pub batch: EventBatch,
    /// The place in the stream of each of the batch's messages.
    pub sequences: Vec<u64>,
    /// Their bad lines.
    pub rejected: Vec<OutRejected>,
    /// Acknowledges them and all before them; where the last one is only begun, those before it.
    pub acker: Option<A>,
}

/// How far reading and decoding have come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The last message decoded, or a later one where there is nothing for squelch between them.
    pub sequence: u64,
    /// Events rejected, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Words of other systems' alerts that are not known.
    pub unknown_words: Arc<BTreeMap<UnknownWord, u64>>,
    /// Time spent.
    pub decoding: Duration,
}

/// The engine is gone.
struct Gone;

/// The thread's state.
pub struct Decoding {
    decoder: Decoder,
    /// Which messages are decoded at all.
    mine: Box<dyn Fn(&Incoming) -> bool + Send>,
    sequences: Vec<u64>,
    rejected: Vec<OutRejected>,
    acker: Option<Ack>,
    progress: Progress,
    /// At most a few warnings an hour for each reason.
    warnings: DefaultKeyedRateLimiter<&'static str>,
}

impl Decoding {
    /// A thread's state around a decoder.
    pub fn new(decoder: Decoder) -> Self {
        Self {
            decoder,
            mine: Box::new(|_| true),
            sequences: Vec::new(),
            rejected: Vec::new(),
            acker: None,
            progress: Progress::default(),
            warnings: RateLimiter::keyed(Quota::per_hour(WARNINGS_AN_HOUR)),
        }
    }

    /// Passes over messages that are not `mine`.
    pub fn only(self, mine: impl Fn(&Incoming) -> bool + Send + 'static) -> Self {
        Self { mine: Box::new(mine), ..self }
    }

    /// Decodes until nothing more comes, then hands on what is left.
    pub fn run(mut self, mut from_source: mpsc::Receiver<ToDecoder>, to_engine: &mpsc::Sender<ToEngine>) {
        let all = async {
            while let Some(next) = self.next(&mut from_source, to_engine).await? {
                match next {
                    ToDecoder::Read(fetched) => self.read(fetched, to_engine).await?,
                    ToDecoder::Part(found) => self.part(found, to_engine).await?,
                    ToDecoder::Rules(new) => {
                        self.hand_on(to_engine).await?;
                        self.decoder.set_label_keys(&new.label_keys);
                        self.send(Work::Rules(Box::new(new.rules)), to_engine).await?;
                    }
                    ToDecoder::Topology(source, parts) => {
                        self.hand_on(to_engine).await?;
                        self.send(Work::Topology(source, parts), to_engine).await?;
                    }
                }
            }
            self.hand_on(to_engine).await
        };
        if let Err(Gone) = futures::executor::block_on(all) {
            tracing::error!("the engine is gone");
        }
    }

    /// What waits to be read comes first, and only then the engine, when it has room.
    async fn next(
        &mut self,
        from_source: &mut mpsc::Receiver<ToDecoder>,
        to_engine: &mpsc::Sender<ToEngine>,
    ) -> Result<Option<ToDecoder>, Gone> {
        if !self.is_empty() {
            tokio::select! {
                biased;
                next = from_source.recv() => return Ok(next),
                room = to_engine.reserve() => room.map_err(|_| Gone)?.send(self.taken()),
            }
        }
        Ok(from_source.recv().await)
    }

    async fn read(&mut self, fetched: Fetched, to_engine: &mpsc::Sender<ToEngine>) -> Result<(), Gone> {
        match fetched {
            Fetched::Messages { messages, ack } => {
                let mut rest = messages.as_slice();
                while !rest.is_empty() {
                    rest = self.decode(rest);
                    if rest.is_empty() {
                        self.acker = Some(ack);
                        break;
                    }
                    self.hand_on(to_engine).await?;
                }
                if self.decoder.is_full() { self.hand_on(to_engine).await } else { Ok(()) }
            }
            Fetched::Idle { silence, seen } => {
                self.hand_on(to_engine).await?;
                self.progress.sequence = self.progress.sequence.max(seen);
                self.send(Work::Idle(silence), to_engine).await
            }
            Fetched::Gap(gap) => {
                self.hand_on(to_engine).await?;
                self.progress.sequence = gap.after;
                self.send(Work::Gap(gap), to_engine).await
            }
        }
    }

    async fn part(&mut self, found: Found, to_engine: &mpsc::Sender<ToEngine>) -> Result<(), Gone> {
        let (partition, place) = (found.head.partition, found.place);
        let took = stopwatch();
        let part = partial_stream::unpack(&found.bytes)
            .map_err(anyhow::Error::from)
            .and_then(|bytes| Ok(PartialResult::from_bytes(&bytes)?));
        self.progress.decoding += took();
        self.progress.sequence = self.progress.sequence.max(place);
        match part {
            Ok(part) => self.send(Work::Part(Box::new(TakenPart { partition, place, part })), to_engine).await,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(partition = partition + 1, place, error, "what a worker said cannot be read: it is left out");
                Ok(())
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.decoder.is_empty() && self.acker.is_none() && self.rejected.is_empty()
    }

    async fn hand_on(&mut self, to_engine: &mpsc::Sender<ToEngine>) -> Result<(), Gone> {
        if self.is_empty() {
            return Ok(());
        }
        to_engine.reserve().await.map_err(|_| Gone)?.send(self.taken());
        Ok(())
    }

    async fn send(&mut self, work: Work, to_engine: &mpsc::Sender<ToEngine>) -> Result<(), Gone> {
        to_engine.send(ToEngine { work, progress: self.progress.clone() }).await.map_err(|_| Gone)
    }

    fn taken(&mut self) -> ToEngine {
        let rejected = std::mem::take(&mut self.rejected);
        let sequences = std::mem::take(&mut self.sequences);
        let decoded = Decoded { batch: self.decoder.take(), sequences, rejected, acker: self.acker.take() };
        ToEngine { work: Work::Events(Box::new(decoded)), progress: self.progress.clone() }
    }

    /// Decodes messages until there is enough for a batch; returns those that are left.
    fn decode<'m>(&mut self, messages: &'m [Incoming]) -> &'m [Incoming] {
        let _decoding = tracing::debug_span!("decode", messages = messages.len()).entered();
        let took = stopwatch();
        let mut done = 0;
        for message in messages {
            if (self.mine)(message) {
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
            let like_it = if more > 0 { format!(" ({more} lines like it are not told one by one)") } else { String::new() };
            // A collector that sends nonsense sends much of it: a few lines an hour tell an operator as much as a million.
            if warnings.check_key(&bad.reason.code()).is_ok() {
                let (subject, sequence) = (&message.subject, message.sequence);
                tracing::warn!(
                    subject,
                    sequence,
                    line = bad.line,
                    "rejected: {}; more of this kind are only counted for a while",
                    bad.reason
                );
            }
            rejected.push(OutRejected {
                subject: message.subject.clone(),
                sequence: message.sequence,
                born_ns: message.born_ns,
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
            Err(why) => reject(Rejected::one(0, message.payload.to_vec(), RejectReason::Inflate(why.clone()))),
        }
    }
}
