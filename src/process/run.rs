//! `squelch run` without a role, and as correlator: does the work, or stands by until this process holds the lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use async_nats::Client;
use async_nats::jetstream;

use crate::io::nats::client::connect;
use crate::io::nats::cluster::lease::LeaseContender;
use crate::io::nats::input::lease_consumer;
use crate::process::checkpoint::storage::CheckpointStorage;
use crate::process::cluster::standby;
use crate::process::config::Config;
use crate::process::leader::{Ended, Leader};
use crate::process::load::{Loaded, load};
use crate::process::notify::service;
use crate::process::reload::file_watcher;
use crate::process::serve::serve;
use crate::process::shutdown::{Shutdown, block_on};
use crate::process::telemetry::Telemetry;

/// Runs until SIGTERM or Ctrl-C, then publishes what was read. With `partitions`, that many workers read and count the events.
///
/// # Errors
///
/// It cannot start, or not go on.
pub fn main(config: Config, partitions: Option<usize>) -> Result<()> {
    block_on(run(config, partitions))
}

async fn run(config: Config, partitions: Option<usize>) -> Result<()> {
    // A process that only stands by must not end by SIGHUP.
    let _hangups = file_watcher::hangups()?;
    let telemetry = Arc::new(Telemetry::default());
    let checkpoints = CheckpointStorage::in_folder(&config)?;
    let loaded = load(&config, &telemetry, partitions)?;
    let client = connect::connect(&config.nats).await?;
    let contender = standby::contender(&config, &jetstream::new(client.clone())).await?;
    let serving = serve(&config, &telemetry, &client).await?;
    let mut shutdown = Shutdown::listen()?;
    let leader = Leader { config: &config, telemetry: &telemetry, client, partitions };
    let notifying = service::start(&config, &leader.client, &telemetry.receivers).await?;
    let ended = match contender {
        Some(contender) => take_turns(contender, &leader, loaded, &mut shutdown).await,
        // Without a lease there is none to lose.
        None => leader.lead(loaded, checkpoints, None, &mut shutdown).await.map(drop),
    };
    if let Some(notifying) = notifying {
        notifying.stop().await;
    }
    serving.shut_down().await;
    ended?;
    tracing::info!("stopped");
    Ok(())
}

/// Stands by until this process holds the lease, and works until it loses it, again and again.
async fn take_turns(
    mut contender: LeaseContender,
    leader: &Leader<'_>,
    mut loaded: Loaded,
    shutdown: &mut Shutdown,
) -> Result<()> {
    let Leader { config, telemetry, client, partitions } = leader;
    let context = jetstream::new(Client::clone(client));
    loop {
        let mut watched = loaded.reloader.clone();
        // Where a file is bad now, its last good version has to do: some process must lead.
        let mut check_files = || {
            if watched.check(false).is_some()
                && let Ok(good) = load(config, telemetry, *partitions)
            {
                loaded = good;
            }
        };
        let lease = tokio::select! {
            () = shutdown.requested() => return Ok(()),
            lease = standby::stand_by(&mut contender, config, client, telemetry, &mut check_files) => lease,
        };
        check_files();
        let renewing = tokio::spawn({
            let lease = lease.clone();
            async move { lease.renew_until_lost().await }
        });
        let ended = match standby::open_storage(config, &context, &lease).await? {
            Some(checkpoints) => leader.lead(loaded, checkpoints, Some(&lease), shutdown).await,
            None => Ok(Ended::LeaseLost),
        };
        if !matches!(ended, Ok(Ended::LeaseLost)) {
            lease.release().await;
            return ended.map(drop);
        }
        renewing.abort();
        if partitions.is_none() {
            lease_consumer::leave(&context, &config.input, &lease).await;
        }
        tracing::error!("standing by: another process does the work");
        telemetry.stopping.store(false, Ordering::Relaxed);
        loaded = load(config, telemetry, *partitions)?;
    }
}
