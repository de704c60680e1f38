//! Reads the revisions of incidents for one receiver: a durable consumer, acknowledged message by message, so that what was read and not sent
//! comes again after a crash.
//!
//! At each start the consumer is made anew behind the last message before which all is acknowledged: what was delivered to a process
//! that died would otherwise come after newer revisions.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::io::nats::NatsError;
use crate::io::nats::client::settings::OutputConfig;
use crate::io::nats::notify::records::{Position, Records};
use crate::model::time::TimestampMs;

/// Messages asked for at once.
const PULL_MESSAGES: usize = 200;
/// How long one pull waits.
const PULL_EXPIRES: Duration = Duration::from_secs(2);
/// How long to wait after a pull that failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// After so many in a row the consumer is made anew.
const FAILURES_MAX: u32 = 4;
/// Messages that may wait for their acknowledgement.
const ACK_PENDING_MAX: i64 = 100_000;
/// How long the server waits for it: what waits for its receiver is sent again, and known by its place.
const ACK_WAIT: Duration = Duration::from_secs(300);

/// A revision as it came.
pub struct Incoming {
    /// The message.
    pub payload: Bytes,
    /// Its place in the stream.
    pub sequence: u64,
    /// When it was stored.
    pub at_ms: TimestampMs,
    /// How many wait behind it.
    pub pending: u64,
    /// Acknowledges it.
    pub ack: Acker,
}

/// The stream of incidents, as one receiver reads it.
pub struct IncidentSource {
    context: Context,
    stream: Stream,
    output: OutputConfig,
    records: Records,
    durable: String,
}

impl IncidentSource {
    /// Opens the stream.
    pub async fn open(context: &Context, output: &OutputConfig, receiver: &str, records: Records) -> Result<Self, NatsError> {
        let stream = context.get_stream(&output.stream).await;
        let stream = stream.map_err(|error| NatsError::request(format!("stream {}", output.stream), error))?;
        let durable = format!("notify_{receiver}");
        Ok(Self { context: context.clone(), stream, output: output.clone(), records, durable })
    }

    /// The message at a place of the stream; nothing where it is too old.
    pub async fn message(&self, sequence: u64) -> Result<Option<Bytes>, String> {
        match self.stream.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(message.payload)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// At the very first start: everything that is published from here on is for this receiver.
    pub async fn remember_start(&self) -> Result<(), String> {
        if self.records.position().await?.is_some() {
            return Ok(());
        }
        let stream = self.context.get_stream(&self.output.stream).await.map_err(|error| error.to_string())?;
        let info = stream.cached_info();
        let born_ns = info.created.unix_timestamp_nanos() as i64;
        self.records.keep_position(Position { born_ns, sequence: info.state.last_sequence }).await
    }

    /// Makes the consumer anew. Returns it, and how many messages wait.
    pub async fn begin(&self) -> Result<(PullConsumer, u64), String> {
        let stream = self.context.get_stream(&self.output.stream).await.map_err(|error| error.to_string())?;
        let info = stream.cached_info();
        let born_ns = info.created.unix_timestamp_nanos() as i64;
        let kept = self.records.position().await?;
        let known = stream.get_consumer::<PullConfig>(&self.durable).await.ok();
        let floor = known.as_ref().map(|known| known.cached_info().ack_floor.stream_sequence);
        let after = match kept {
            Some(kept) if kept.born_ns == born_ns => kept.sequence.max(floor.unwrap_or(0)),
            // A stream that was made anew is read from its start, and what was there before the first start is history.
            Some(_) => 0,
            None => info.state.last_sequence,
        };
        // Between the two requests below there is no consumer that knows it.
        self.records.keep_position(Position { born_ns, sequence: after }).await?;
        if known.is_some() {
            stream.delete_consumer(&self.durable).await.map_err(|error| error.to_string())?;
        }
        let wanted = PullConfig {
            durable_name: Some(self.durable.clone()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: ACK_PENDING_MAX,
            filter_subject: format!("{}.>", self.output.subject),
            ..PullConfig::default()
        };
        let consumer: PullConsumer = stream.create_consumer(wanted).await.map_err(|error| error.to_string())?;
        let waiting = consumer.cached_info().num_pending;
        Ok((consumer, waiting))
    }

    /// Reads for ever, in order, as long as somebody takes what is read.
    pub async fn read(self: Arc<Self>, mut consumer: PullConsumer, to: mpsc::Sender<Incoming>) {
        let mut failures = 0;
        while !to.is_closed() {
            match pull(&consumer, &to).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error, consumer = self.durable, "incidents cannot be read; trying again");
                    sleep(RETRY_AFTER).await;
                }
            }
            if failures >= FAILURES_MAX
                && let Ok((renewed, _)) = self.begin().await
            {
                (consumer, failures) = (renewed, 0);
            }
        }
    }
}

async fn pull(consumer: &PullConsumer, to: &mpsc::Sender<Incoming>) -> Result<(), String> {
    let pull = consumer.batch().max_messages(PULL_MESSAGES).expires(PULL_EXPIRES).messages().await;
    let mut pull = pull.map_err(|error| error.to_string())?;
    while let Some(message) = pull.next().await {
        let message = message.map_err(|error| error.to_string())?;
        let info = message.info().map_err(|error| error.to_string())?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let at_ms = (info.published.unix_timestamp_nanos() / 1_000_000) as i64;
        let (message, ack) = message.split();
        if to.send(Incoming { payload: message.payload, sequence, at_ms, pending, ack }).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
