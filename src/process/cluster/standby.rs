//! Standing by: of the processes that share a bucket of checkpoints and a name, one does the work, and the others wait for its lease
//! to end. Meanwhile they look after their rule files, so that a bad rule is seen before it is needed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::Context;
use tokio::time::{Instant, sleep};

use crate::io::nats::client::streams::Streams;
use crate::io::nats::cluster::checkpoint_store::{CheckpointStore, OutputPositions};
use crate::io::nats::cluster::lease::{HeldLease, LeaseContender, LeaseStatus, StoreError};
use crate::io::nats::output::Fence;
use crate::io::nats::output::fenced_publisher::FencedPublisher;
use crate::process::checkpoint::segments::SEGMENT_BYTES_MIN;
use crate::process::checkpoint::storage::{BucketStorage, CheckpointStorage};
use crate::process::config::Config;
use crate::process::telemetry::metrics::Telemetry;

/// How long to wait after a look that the server did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A contender for the work, where the settings ask for one.
///
/// # Errors
///
/// The bucket is not there and cannot be made.
pub async fn contender(config: &Config, context: &Context) -> Result<Option<LeaseContender>> {
    let Some(name) = &config.checkpoint.store else { return Ok(None) };
    let bucket = Streams::new(context, config.nats.replicas).state(name).await?;
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "a machine without a name".into());
    let holder = format!("{}, process {}", machine.trim(), std::process::id());
    let lease = Duration::from_millis(config.standby.lease.0 as u64);
    let nobody_else = context.client().new_inbox();
    Ok(Some(LeaseContender::new(bucket, &config.input.consumer, holder, nobody_else, lease)))
}

/// Waits until this process holds the lease. Calls `look_at_files` as often as the settings say.
pub async fn stand_by(
    contender: &mut LeaseContender,
    config: &Config,
    client: &Client,
    telemetry: &Telemetry,
    look_at_files: &mut dyn FnMut(),
) -> HeldLease {
    let mut said = None;
    let mut looked = Instant::now();
    loop {
        telemetry.connected.store(client.connection_state() == State::Connected, Ordering::Relaxed);
        match contender.check().await {
            Ok(LeaseStatus::Acquired(lease)) => {
                tracing::info!(term = lease.term(), "the lease is taken: this process does the work from here on");
                telemetry.wait("taking over");
                return lease;
            }
            Ok(LeaseStatus::Held(holder)) => {
                telemetry.wait("standing by");
                if said.as_ref() != Some(&holder) {
                    tracing::info!(holder, "standing by: another process does the work");
                    said = Some(holder);
                }
                sleep(contender.pause()).await;
            }
            Err(error) => {
                tracing::warn!(error, "the lease cannot be looked at; trying again");
                sleep(RETRY_AFTER).await;
            }
        }
        if config.reload.0.is_some_and(|every| looked.elapsed() >= every) {
            look_at_files();
            looked = Instant::now();
        }
    }
}

/// Renews the lease until it is lost.
pub async fn keep(lease: HeldLease) {
    lease.renew_until_lost().await;
}

/// Waits until the lease is lost; for ever, where there is none.
pub async fn lost(lease: Option<&HeldLease>) {
    match lease {
        Some(lease) => lease.lost().await,
        None => std::future::pending().await,
    }
}

/// The checkpoints that all processes of this name share; nothing where the lease is lost before they are reached.
///
/// # Errors
///
/// The bucket is gone.
pub async fn open_store(config: &Config, context: &Context, lease: &HeldLease) -> Result<Option<CheckpointStorage>> {
    let bucket =
        Streams::new(context, config.nats.replicas).state(config.checkpoint.store.as_deref().unwrap_or_default()).await?;
    loop {
        match CheckpointStore::open(context.clone(), bucket.clone(), &config.input.consumer, lease.clone()).await {
            Ok(state) => match BucketStorage::new(state, SEGMENT_BYTES_MIN).await {
                Ok(store) => return Ok(Some(CheckpointStorage::Bucket(Box::new(store)))),
                Err(error) => {
                    tracing::warn!(%error, "the checkpoints cannot be read; trying again");
                    sleep(RETRY_AFTER).await;
                }
            },
            Err(StoreError::LeaseLost(_)) => return Ok(None),
            Err(StoreError::Failed(error)) => {
                tracing::warn!(error, "the checkpoints cannot be reached; trying again");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// What makes the server refuse this process's results once another one does the work; `rejects` where it reads the input itself.
///
/// # Errors
///
/// The streams cannot be read.
pub async fn fence(
    config: &Config,
    context: &Context,
    lease: &HeldLease,
    places: Option<OutputPositions>,
    rejects: bool,
) -> Result<Fence> {
    let (name, output, rejected) = (config.input.consumer.as_str(), &config.output, &config.rejected);
    let after = places.map(|places| places.incidents);
    let incidents = FencedPublisher::open(context, &output.stream, name, after).await;
    let incidents = incidents.context("what was published before cannot be read")?;
    let rejected = if rejects {
        let after = places.map(|places| places.rejected);
        let publisher = FencedPublisher::open(context, &rejected.stream, name, after).await;
        Some(publisher.context("what was rejected before cannot be read")?)
    } else {
        None
    };
    Ok(Fence { lease: lease.clone(), incidents, rejected })
}
