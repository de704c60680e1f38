//! The consumer of the process that holds the lease. Each lease term has a consumer of its own: a process that lost the lease and does
//! not know it yet can neither take messages from the next one nor acknowledge any in its name.

use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::Stream;

use crate::io::nats::NatsError;
use crate::io::nats::client::settings::InputConfig;
use crate::io::nats::client::streams;
use crate::io::nats::cluster::lease::HeldLease;
use crate::io::nats::input::position::StreamPosition;

/// Deletes the consumers of earlier terms. Returns the settings to read with, and the position to read from: `position`, or, while
/// there is no checkpoint yet, what the configured consumer or that of an earlier term has acknowledged.
pub async fn take_over(
    stream: &Stream,
    config: &InputConfig,
    lease: &HeldLease,
    position: Option<StreamPosition>,
) -> Result<(InputConfig, Option<StreamPosition>), NatsError> {
    let [mine, earlier @ ..] = lease.consumers() else {
        return Err(NatsError::request(format!("consumer {}", config.consumer), "the lease names none"));
    };
    let configured = position.is_none().then_some(&config.consumer);
    let mut acknowledged = None;
    for name in earlier.iter().chain(configured) {
        let Some(sequence) = streams::acknowledged(stream, name).await? else { continue };
        acknowledged = acknowledged.max(Some(sequence));
        delete(stream, name).await;
    }
    let created_ns = stream.cached_info().created.unix_timestamp_nanos() as i64;
    let position = position.or(acknowledged.map(|sequence| StreamPosition { created_ns, sequence }));
    Ok((InputConfig { consumer: mine.clone(), ..config.clone() }, position))
}

/// Deletes the consumer of a lease that was lost. Reading may have created it again before it noticed the loss.
pub async fn leave(context: &Context, config: &InputConfig, lease: &HeldLease) {
    let stream = context.get_stream(&config.stream).await;
    if let (Ok(stream), Some(mine)) = (stream, lease.consumers().first())
        && stream.get_consumer::<PullConfig>(mine).await.is_ok()
    {
        delete(&stream, mine).await;
    }
}

async fn delete(stream: &Stream, name: &str) {
    if let Err(error) = stream.delete_consumer(name).await {
        tracing::warn!(%error, consumer = name, "the consumer of an earlier lease cannot be deleted");
    }
}
