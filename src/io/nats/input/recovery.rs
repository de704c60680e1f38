//! Looks at stream and consumer, at the start and whenever reading finds something odd, and mends what can be mended: a consumer
//! that somebody deleted is made again at the right place, what was lost on the way is read again, and what the stream no longer
//! holds is told as a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
use crate::io::nats::input::gap::GapCause;
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::input::{RETRY_AFTER, Reading, STALLED_PULLS, Source};

/// The server answers within so long, or is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What the server says of a consumer. Servers before 2.11 cannot pause one.
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

impl Source {
    /// A source that goes on at `begin`, or after what was acknowledged, or at the stream's beginning. Says as well where that is:
    /// what is found missing from there on is told first.
    ///
    /// # Errors
    ///
    /// The consumer cannot be made.
    pub async fn open(
        mut context: Context,
        stream: Stream,
        config: InputConfig,
        begin: Option<StreamPosition>,
        reading: Arc<Reading>,
    ) -> Result<(Self, StreamPosition), NatsError> {
        let info = stream.cached_info();
        let (born_ns, oldest) = (born_ns(info), info.state.first_sequence.saturating_sub(1));
        let begin = match begin {
            Some(begin) => begin,
            None => {
                let acknowledged = streams::acknowledged(&stream, &config).await;
                StreamPosition { created_ns: born_ns, sequence: acknowledged.unwrap_or(oldest) }
            }
        };
        let info = info.clone();
        context.set_timeout(ANSWER_MAX);
        // Made once it is known after which message.
        let consumer = streams::consumer(&stream, &config, after(&info, begin)).await?;
        let made = &consumer.cached_info().config;
        let whole_stream = made.filter_subject.is_empty() && made.filter_subjects.is_empty();
        reading.pending.store(consumer.cached_info().num_pending, Ordering::Relaxed);
        let mut source = Self {
            context,
            consumer,
            config,
            whole_stream,
            born_ns: begin.created_ns,
            read: begin.sequence,
            seen: begin.sequence,
            delivered: 0,
            lives: Arc::new(AtomicU64::new(0)),
            pull: None,
            pull_messages: 0,
            taken: Default::default(),
            found: Default::default(),
            hole: None,
            silent_since: Instant::now(),
            empty_pulls: 0,
            must_look: false,
            looked: Instant::now(),
            reading,
        };
        for place in [&source.reading.read, &source.reading.stored] {
            place.store(begin.sequence, Ordering::Relaxed);
        }
        source.compare(&info);
        let from = source.seen + 1;
        if info.state.first_sequence > from {
            source.miss(info.state.first_sequence - 1, whole_stream);
        }
        Ok((source, begin))
    }

    /// Looks, and waits a little where that fails.
    pub(crate) async fn look(&mut self) {
        match self.try_look().await {
            Ok(()) => (self.must_look, self.empty_pulls) = (false, 0),
            Err(why) => {
                self.reading.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(why, "cannot read; trying again");
                self.reading.health.failing(why);
                self.silent_since = Instant::now();
                sleep(RETRY_AFTER).await;
            }
        }
        self.looked = Instant::now();
    }

    async fn try_look(&mut self) -> Result<(), String> {
        let name = self.config.stream.clone();
        if self.context.client().connection_state() != State::Connected {
            return Err("no connection to NATS".into());
        }
        let info = stream_info(&self.context, &name).await?;
        let waited = self.reading.pending.load(Ordering::Relaxed) > 0;
        let renew = self.compare(&info);
        let state = consumer_state(&self.context, &self.config).await?;
        let lost = state.as_ref().is_some_and(|state| state.delivered.consumer_seq > self.delivered);
        let paused = state.as_ref().is_some_and(|state| state.paused);
        let stalled = self.empty_pulls >= STALLED_PULLS && state.as_ref().is_some_and(|state| state.num_pending > 0);
        if let Some(state) = &state {
            self.reading.pending.store(state.num_pending, Ordering::Relaxed);
        }
        if state.is_none() {
            tracing::warn!(consumer = self.config.consumer, after = self.seen, "the consumer is gone; making it again");
        }
        let first = info.state.first_sequence;
        if self.whole_stream {
            if first > self.seen + 1 {
                self.miss(first - 1, true);
            }
        } else if let Some((after, before)) = self.hole.take() {
            // What lay between may have been of other subjects.
            if first > after + 1 {
                let (last, seen) = (first.min(before) - 1, self.seen);
                self.tell(GapCause::Dropped { first: after + 1, last, exact: false }, seen);
            }
        } else if waited && first > self.seen + 1 {
            self.miss(first - 1, false);
        }
        if paused {
            let (consumer, fix) = (&self.config.consumer, "resume it with `nats consumer resume`");
            self.reading.health.failing(format!("consumer {consumer} of stream {name} is paused: {fix}"));
            return Ok(());
        }
        let pending = self.reading.pending.load(Ordering::Relaxed);
        if stalled {
            tracing::warn!(pending, "messages wait and do not come; asking anew");
            self.reading.health.failing(format!("{pending} messages wait in stream {name} and do not come"));
        } else {
            self.reading.health.recovered();
        }
        if renew || lost || stalled || state.is_none() {
            self.renew().await?;
        } else if !self.whole_stream && pending == 0 {
            // Nothing waits and nothing is on its way: what else there is is of other subjects.
            self.seen = self.seen.max(info.state.last_sequence);
        }
        Ok(())
    }

    /// Whether it is the stream that was read. If not, reading goes on in the one that is there.
    fn compare(&mut self, info: &Info) -> bool {
        let (born, end) = (born_ns(info), info.state.last_sequence);
        if born != self.born_ns {
            let read = self.seen;
            self.born_ns = born;
            self.tell(GapCause::MadeAnew { read }, 0);
            return true;
        }
        if end < self.seen {
            let read = self.seen;
            self.tell(GapCause::CutShort { read, end }, end);
            return true;
        }
        false
    }

    /// Makes the consumer anew after what has been read.
    async fn renew(&mut self) -> Result<(), String> {
        let stream = self.context.get_stream(&self.config.stream).await.map_err(|error| error.to_string())?;
        self.consumer = streams::consumer(&stream, &self.config, self.seen).await.map_err(|error| error.to_string())?;
        self.lives.fetch_add(1, Ordering::Relaxed);
        self.reading.renewals.fetch_add(1, Ordering::Relaxed);
        self.reading.pending.store(self.consumer.cached_info().num_pending, Ordering::Relaxed);
        (self.pull, self.delivered, self.hole) = (None, 0, None);
        self.taken.clear();
        Ok(())
    }

    /// Asks how many messages wait, for whoever cannot read on because what comes behind is slow.
    pub async fn ask_pending(&self) {
        if let Ok(Some(state)) = consumer_state(&self.context, &self.config).await {
            self.reading.pending.store(state.num_pending, Ordering::Relaxed);
        }
    }
}

fn born_ns(info: &Info) -> i64 {
    info.created.unix_timestamp_nanos() as i64
}

/// After which message of this stream to read.
fn after(info: &Info, begin: StreamPosition) -> u64 {
    if born_ns(info) == begin.created_ns { begin.sequence.min(info.state.last_sequence) } else { 0 }
}

/// The stream.
async fn stream_info(context: &Context, stream: &str) -> Result<Info, String> {
    match context.request(format!("STREAM.INFO.{stream}"), &serde_json::json!({})).await {
        Ok(Response::Ok(info)) => Ok(info),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Err(format!("stream {stream} does not exist any more: make it again"))
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

    /// As servers from 2.11 on say it; older ones leave the word out.
    #[test]
    fn a_paused_consumer_is_told_from_one_that_stalls() {
        let says = |more: &str| format!(r#"{{"delivered":{{"consumer_seq":7,"stream_seq":9}},"num_pending":3{more}}}"#);
        let read = |text: &str| serde_json::from_str::<ConsumerState>(text).unwrap();
        let (old, new) = (read(&says("")), read(&says(r#","paused":true,"pause_remaining":60000000000"#)));
        assert_eq!((old.paused, new.paused, new.num_pending, new.delivered.consumer_seq), (false, true, 3, 7));
    }
}
