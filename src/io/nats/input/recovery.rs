//! Inspects stream and consumer, at the start and whenever reading finds something unexpected, and repairs what can be repaired: a
//! consumer that was deleted is created again at the right position, what was lost on the way is read again, and what the stream no
//! longer holds is reported as a gap.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Info, Stream};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::io::nats::NatsError;
use crate::io::nats::client::settings::InputConfig;
use crate::io::nats::client::streams;
use crate::io::nats::input::event_reader::{EventReader, RETRY_AFTER, STALLED_PULLS, Start};
use crate::io::nats::input::gap::GapCause;
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::input::stats::InputStats;

/// The server answers within this time, or is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What the server reports of a consumer. Servers before 2.11 cannot pause one.
#[derive(Debug, Deserialize)]
struct ConsumerState {
    delivered: Delivered,
    num_pending: u64,
    #[serde(default)]
    paused: bool,
}

#[derive(Debug, Deserialize)]
struct Delivered {
    consumer_seq: u64,
}

impl EventReader {
    /// A reader that goes on at `position`, or after what was acknowledged, or at the beginning of the stream. Returns as well where
    /// that is. What is missing from there on is reported first.
    ///
    /// # Errors
    ///
    /// The consumer cannot be created.
    pub async fn open(
        mut context: Context,
        stream: Stream,
        config: InputConfig,
        position: Option<StreamPosition>,
        stats: Arc<InputStats>,
    ) -> Result<(Self, StreamPosition), NatsError> {
        let info = stream.cached_info().clone();
        let position = match position {
            Some(position) => position,
            None => {
                let acknowledged = streams::acknowledged(&stream, &config.consumer).await?;
                let oldest = info.state.first_sequence.saturating_sub(1);
                StreamPosition { created_ns: created_ns(&info), sequence: acknowledged.unwrap_or(oldest) }
            }
        };
        context.set_timeout(ANSWER_MAX);
        let consumer = streams::consumer(&stream, &config, first_read_after(&info, position)).await?;
        let created = &consumer.cached_info().config;
        let whole_stream = created.filter_subject.is_empty() && created.filter_subjects.is_empty();
        stats.pending.store(consumer.cached_info().num_pending, Ordering::Relaxed);
        let StreamPosition { created_ns, sequence } = position;
        let mut reader =
            Self::new(Start { context, consumer, config, whole_stream, stream_created_ns: created_ns, sequence, stats });
        reader.compare(&info);
        let first = info.state.first_sequence;
        if first > reader.read_up_to + 1 {
            reader.missing_up_to(first - 1, whole_stream);
        }
        Ok((reader, position))
    }

    /// Inspects, and pauses where that fails.
    pub(super) async fn inspect(&mut self) {
        match self.try_inspect().await {
            Ok(()) => (self.must_inspect, self.empty_pulls) = (false, 0),
            Err(why) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(why, "cannot read; retrying");
                self.stats.health.failing(why);
                self.silent_since = Instant::now();
                sleep(RETRY_AFTER).await;
            }
        }
        self.inspected = Instant::now();
    }

    async fn try_inspect(&mut self) -> Result<(), String> {
        let name = self.config.stream.clone();
        if self.context.client().connection_state() != State::Connected {
            return Err("no connection to NATS".into());
        }
        let info = stream_info(&self.context, &name).await?;
        let waited = self.stats.pending.load(Ordering::Relaxed) > 0;
        let other_stream = self.compare(&info);
        let state = consumer_state(&self.context, &self.config).await?;
        let lost = state.as_ref().is_some_and(|state| state.delivered.consumer_seq > self.delivered);
        let paused = state.as_ref().is_some_and(|state| state.paused);
        let stalled = self.empty_pulls >= STALLED_PULLS && state.as_ref().is_some_and(|state| state.num_pending > 0);
        if let Some(state) = &state {
            self.stats.pending.store(state.num_pending, Ordering::Relaxed);
        }
        if state.is_none() {
            tracing::warn!(
                consumer = self.config.consumer,
                after = self.read_up_to,
                "the consumer was deleted; creating it again"
            );
        }
        let first = info.state.first_sequence;
        if self.whole_stream {
            if first > self.read_up_to + 1 {
                self.missing_up_to(first - 1, true);
            }
        } else if let Some((after, before)) = self.hole.take() {
            // The messages between may have been on other subjects.
            if first > after + 1 {
                let (last, read_up_to) = (first.min(before) - 1, self.read_up_to);
                self.gap(GapCause::Dropped { first: after + 1, last, exact: false }, read_up_to);
            }
        } else if waited && first > self.read_up_to + 1 {
            self.missing_up_to(first - 1, false);
        }
        if paused {
            let (consumer, fix) = (&self.config.consumer, "resume it with `nats consumer resume`");
            self.stats.health.failing(format!("consumer {consumer} of stream {name} is paused: {fix}"));
            return Ok(());
        }
        let pending = self.stats.pending.load(Ordering::Relaxed);
        if stalled {
            tracing::warn!(pending, "messages wait and do not arrive; creating the consumer again");
            self.stats.health.failing(format!("{pending} messages wait in stream {name} and do not arrive"));
        } else {
            self.stats.health.recovered();
        }
        if other_stream || lost || stalled || state.is_none() {
            self.recreate_consumer().await?;
        } else if !self.whole_stream && pending == 0 {
            // Nothing waits and nothing is on its way: what else the stream holds is on other subjects.
            self.read_up_to = self.read_up_to.max(info.state.last_sequence);
        }
        Ok(())
    }

    /// Whether the stream is another one than was read, or lost its end. Then reading goes on in the one that is there.
    fn compare(&mut self, info: &Info) -> bool {
        let (created, end) = (created_ns(info), info.state.last_sequence);
        if created != self.stream_created_ns {
            let read = self.read_up_to;
            self.stream_created_ns = created;
            self.gap(GapCause::Recreated { read }, 0);
            return true;
        }
        if end < self.read_up_to {
            let read = self.read_up_to;
            self.gap(GapCause::CutShort { read, end }, end);
            return true;
        }
        false
    }

    /// Creates the consumer again, after what has been read.
    async fn recreate_consumer(&mut self) -> Result<(), String> {
        let stream = self.context.get_stream(&self.config.stream).await.map_err(|error| error.to_string())?;
        self.consumer = streams::consumer(&stream, &self.config, self.read_up_to).await.map_err(|error| error.to_string())?;
        self.consumer_number.fetch_add(1, Ordering::Relaxed);
        self.stats.recreated.fetch_add(1, Ordering::Relaxed);
        self.stats.pending.store(self.consumer.cached_info().num_pending, Ordering::Relaxed);
        (self.pull, self.delivered, self.hole) = (None, 0, None);
        self.taken.clear();
        Ok(())
    }

    /// Asks how many messages wait, for a caller that cannot read on because later stages are busy.
    pub async fn ask_pending(&self) {
        if let Ok(Some(state)) = consumer_state(&self.context, &self.config).await {
            self.stats.pending.store(state.num_pending, Ordering::Relaxed);
        }
    }
}

fn created_ns(info: &Info) -> i64 {
    info.created.unix_timestamp_nanos() as i64
}

/// After which message of this stream to read.
fn first_read_after(info: &Info, position: StreamPosition) -> u64 {
    if created_ns(info) == position.created_ns { position.sequence.min(info.state.last_sequence) } else { 0 }
}

/// The stream.
async fn stream_info(context: &Context, stream: &str) -> Result<Info, String> {
    match context.request(format!("STREAM.INFO.{stream}"), &serde_json::json!({})).await {
        Ok(Response::Ok(info)) => Ok(info),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Err(format!("stream {stream} does not exist any more: create it again"))
        }
        Ok(Response::Err { error }) => Err(format!("stream {stream}: {error}")),
        Err(error) => Err(format!("stream {stream}: {error}")),
    }
}

/// The consumer, where it is there.
async fn consumer_state(context: &Context, config: &InputConfig) -> Result<Option<ConsumerState>, String> {
    let (stream, consumer) = (&config.stream, &config.consumer);
    let failed = |why: String| format!("consumer {consumer} of stream {stream}: {why}");
    // Not through the context: it sends a body, which this request must not have.
    let client = context.client();
    let asking = client.request(format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"), Bytes::new());
    let answer = timeout(ANSWER_MAX, asking).await.map_err(|_| failed("the server does not answer".into()))?;
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    match serde_json::from_slice(&answer.payload).map_err(|error| failed(error.to_string()))? {
        Response::Ok(state) => Ok(Some(state)),
        Response::Err { error } if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => Ok(None),
        Response::Err { error } => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::ConsumerState;

    /// As servers from 2.11 on report it; older ones leave the field out.
    #[test]
    fn a_paused_consumer_is_distinguished_from_a_stalled_one() {
        let state = |more: &str| format!(r#"{{"delivered":{{"consumer_seq":7,"stream_seq":9}},"num_pending":3{more}}}"#);
        let read = |text: &str| serde_json::from_str::<ConsumerState>(text).unwrap();
        let (old, new) = (read(&state("")), read(&state(r#","paused":true,"pause_remaining":60000000000"#)));
        assert_eq!((old.paused, new.paused, new.num_pending, new.delivered.consumer_seq), (false, true, 3, 7));
    }
}
