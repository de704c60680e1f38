//! The consumer of whoever holds the lease. Each lease reads with one of its own: a process that lost the lease and does not know it
//! yet can neither take messages from the next one nor acknowledge any in its name.

use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::Stream;

use crate::io::nats::NatsError;
use crate::io::nats::client::settings::InputConfig;
use crate::io::nats::cluster::lease::HeldLease;
use crate::io::nats::input::position::StreamPosition;

/// Removes the consumers of tenures before. Says with which settings this one reads, and from where: after `begin`, or, where nobody
/// has kept a checkpoint yet, after what the consumer that is called as the settings say, or a former lease's, has acknowledged.
pub async fn inherit(
    stream: &Stream,
    config: &InputConfig,
    lease: &HeldLease,
    begin: Option<StreamPosition>,
) -> Result<(InputConfig, Option<StreamPosition>), NatsError> {
    let [mine, before @ ..] = lease.consumers() else {
        return Err(NatsError::request(format!("consumer {}", config.consumer), "the lease names none"));
    };
    let from_settings = begin.is_none().then_some(&config.consumer);
    let mut acknowledged = None;
    for name in before.iter().chain(from_settings) {
        let Ok(known) = stream.get_consumer::<PullConfig>(name).await else { continue };
        acknowledged = acknowledged.max(Some(known.cached_info().ack_floor.stream_sequence));
        remove(stream, name).await;
    }
    let born_ns = stream.cached_info().created.unix_timestamp_nanos() as i64;
    let begin = begin.or(acknowledged.map(|sequence| StreamPosition { created_ns: born_ns, sequence }));
    Ok((InputConfig { consumer: mine.clone(), ..config.clone() }, begin))
}

/// Removes the consumer of a lease that was lost: reading makes a consumer again that somebody removed, until it hears of the loss.
pub async fn leave(context: &Context, config: &InputConfig, lease: &HeldLease) {
    let stream = context.get_stream(&config.stream).await;
    if let (Ok(stream), Some(mine)) = (stream, lease.consumers().first())
        && stream.get_consumer::<PullConfig>(mine).await.is_ok()
    {
        remove(&stream, mine).await;
    }
}

async fn remove(stream: &Stream, name: &str) {
    if let Err(error) = stream.delete_consumer(name).await {
        tracing::warn!(%error, consumer = name, "the consumer of an earlier lease cannot be removed");
    }
}
