//! Follows a stream from its newest messages on, for ever: no error ends it. It acknowledges nothing and leaves no consumer behind.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use async_nats::jetstream::context::Context;
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::sleep;

use crate::io::nats::client::streams;

/// Messages that one pull asks for.
const PULL_MESSAGES: usize = 500;
/// How long one pull waits.
const PULL_EXPIRES: Duration = Duration::from_secs(5);
/// The server deletes the consumer when it is not used for this long.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// The pause after something that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What happens to a stream that is followed.
#[derive(Clone, Debug, PartialEq)]
pub enum TailEvent {
    /// It is read from the beginning of what is wanted: whatever was known is of another stream. `whole`: nothing older is in the stream.
    Begin {
        /// Nothing older is in the stream.
        whole: bool,
    },
    /// A message at its place.
    Message(u64, Bytes),
    /// All that was there has been read.
    CaughtUp,
    /// It cannot be read, for this reason; it is tried again.
    Failing(String),
}

/// How far it has come.
#[derive(Debug, Default)]
struct Position {
    /// When the stream was created.
    born_ns: i128,
    /// The last message that was read.
    sequence: u64,
}

/// Reports the newest messages of a stream, at most so many, and all that follow.
pub async fn follow(context: Context, stream: String, subject: String, newest_max: u64, mut report: impl FnMut(TailEvent)) {
    let mut position = None;
    loop {
        if let Err(why) = follow_once(&context, &stream, &subject, newest_max, &mut position, &mut report).await {
            tracing::debug!(stream, why, "a stream cannot be followed; trying again");
            report(TailEvent::Failing(format!("stream {stream}: {why}")));
        }
        sleep(RETRY_AFTER).await;
    }
}

async fn follow_once(
    context: &Context,
    name: &str,
    subject: &str,
    newest_max: u64,
    position: &mut Option<Position>,
    report: &mut impl FnMut(TailEvent),
) -> Result<(), String> {
    let Some(stream) = streams::existing(context, name).await.map_err(|error| error.to_string())? else {
        report(TailEvent::CaughtUp);
        return Ok(());
    };
    let info = stream.cached_info();
    let born_ns = info.created.unix_timestamp_nanos();
    if position.as_ref().is_none_or(|known| known.born_ns != born_ns || known.sequence > info.state.last_sequence) {
        let oldest = info.state.first_sequence.saturating_sub(1);
        let sequence = info.state.last_sequence.saturating_sub(newest_max).max(oldest);
        report(TailEvent::Begin { whole: sequence == oldest });
        *position = Some(Position { born_ns, sequence });
    }
    let Some(position) = position.as_mut() else { return Ok(()) };
    let wanted = PullConfig {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: position.sequence + 1 },
        ack_policy: AckPolicy::None,
        filter_subject: subject.to_string(),
        memory_storage: true,
        inactive_threshold: FORGET_AFTER,
        ..PullConfig::default()
    };
    let consumer: PullConsumer = stream.create_consumer(wanted).await.map_err(|error| error.to_string())?;
    if consumer.cached_info().num_pending == 0 {
        report(TailEvent::CaughtUp);
    }
    loop {
        let pull = consumer.batch().max_messages(PULL_MESSAGES).expires(PULL_EXPIRES).messages().await;
        let mut pull = pull.map_err(|error| error.to_string())?;
        while let Some(message) = pull.next().await {
            let message = message.map_err(|error| error.to_string())?;
            let info = message.info().map_err(|error| error.to_string())?;
            let (sequence, pending) = (info.stream_sequence, info.pending);
            position.sequence = sequence;
            report(TailEvent::Message(sequence, message.payload.clone()));
            if pending == 0 {
                report(TailEvent::CaughtUp);
            }
        }
    }
}
