//! Standing by: of the processes that share a bucket of checkpoints and a name, one does the work, and the others wait for its lease to
//! end. Meanwhile they check their rule files, so that a bad rule is reported before it is needed.

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
use crate::process::telemetry::{Role, Telemetry};

/// The pause after a request that the server did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A contender for the lease, where one is configured.
///
/// # Errors
///
/// The bucket does not exist and cannot be created.
pub async fn contender(config: &Config, context: &Context) -> Result<Option<LeaseContender>> {
    let Some(name) = &config.checkpoint.store else { return Ok(None) };
    let bucket = Streams::new(context, config.nats.replicas).state(name).await?;
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "a machine without a name".into());
    let holder = format!("{}, process {}", machine.trim(), std::process::id());
    let lease = Duration::from_millis(config.standby.lease.0 as u64);
    let unique = context.client().new_inbox();
    Ok(Some(LeaseContender::new(bucket, &config.input.consumer, holder, unique, lease)))
}

/// Waits until this process holds the lease. Calls `check_files` at the configured interval.
pub async fn stand_by(
    contender: &mut LeaseContender,
    config: &Config,
    client: &Client,
    telemetry: &Telemetry,
    check_files: &mut dyn FnMut(),
) -> HeldLease {
    let mut logged = None;
    let mut checked = Instant::now();
    loop {
        telemetry.connected.store(client.connection_state() == State::Connected, Ordering::Relaxed);
        match contender.check().await {
            Ok(LeaseStatus::Acquired(lease)) => {
                tracing::info!(term = lease.term(), "the lease is acquired: this process does the work from here on");
                telemetry.set_role(Role::Waiting("taking over".into()));
                return lease;
            }
            Ok(LeaseStatus::Held(holder)) => {
                telemetry.set_role(Role::Waiting("standing by".into()));
                if logged.as_ref() != Some(&holder) {
                    tracing::info!(holder, "standing by: another process does the work");
                    logged = Some(holder);
                }
                sleep(contender.pause()).await;
            }
            Err(error) => {
                tracing::warn!(error, "the lease cannot be checked; retrying");
                sleep(RETRY_AFTER).await;
            }
        }
        if config.reload.0.is_some_and(|every| checked.elapsed() >= every) {
            check_files();
            checked = Instant::now();
        }
    }
}

/// Waits until the lease is lost; for ever, where there is none.
pub async fn lost(lease: Option<&HeldLease>) {
    match lease {
        Some(lease) => lease.lost().await,
        None => std::future::pending().await,
    }
}

/// The checkpoints that all processes of this name share; none where the lease is lost before they are reached.
///
/// # Errors
///
/// The bucket does not exist any more.
pub async fn open_storage(config: &Config, context: &Context, lease: &HeldLease) -> Result<Option<CheckpointStorage>> {
    let bucket =
        Streams::new(context, config.nats.replicas).state(config.checkpoint.store.as_deref().unwrap_or_default()).await?;
    loop {
        match CheckpointStore::open(context.clone(), bucket.clone(), &config.input.consumer, lease.clone()).await {
            Ok(store) => match BucketStorage::new(store, SEGMENT_BYTES_MIN).await {
                Ok(storage) => return Ok(Some(CheckpointStorage::Bucket(Box::new(storage)))),
                Err(error) => {
                    tracing::warn!(%error, "the checkpoints cannot be read; retrying");
                    sleep(RETRY_AFTER).await;
                }
            },
            Err(StoreError::LeaseLost(_)) => return Ok(None),
            Err(StoreError::Failed(error)) => {
                tracing::warn!(error, "the checkpoints cannot be reached; retrying");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// What makes the server refuse this process's results once another process holds the lease. `rejects` where it reads the events
/// itself, and therefore writes to the stream of rejected input.
///
/// # Errors
///
/// The streams cannot be read.
pub async fn fence(
    config: &Config,
    context: &Context,
    lease: &HeldLease,
    positions: Option<OutputPositions>,
    rejects: bool,
) -> Result<Fence> {
    let (name, output, rejected) = (config.input.consumer.as_str(), &config.output, &config.rejected);
    let open = |stream, after| FencedPublisher::open(context, stream, name, after, lease.clone());
    let incidents = open(&output.stream, positions.map(|positions| positions.incidents)).await;
    let incidents = incidents.context("what was published before cannot be read")?;
    let rejected = if rejects {
        let publisher = open(&rejected.stream, positions.map(|positions| positions.rejected)).await;
        Some(publisher.context("what was rejected before cannot be read")?)
    } else {
        None
    };
    Ok(Fence { lease: lease.clone(), incidents, rejected })
}
