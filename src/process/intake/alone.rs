//! `squelch intake`: takes in what senders post, and does nothing else. It keeps no state, so any number of them may run behind a balancer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Result, bail};
use async_nats::jetstream;

use crate::io::nats::client::connect;
use crate::io::nats::client::settings::{InputConfig, PARTITION_WORD};
use crate::io::nats::client::streams::Streams;
use crate::process::config::Config;
use crate::process::connection::watch_connection;
use crate::process::serve::serve;
use crate::process::shutdown::{Shutdown, block_on};
use crate::process::telemetry::Telemetry;

/// Takes in until SIGTERM or Ctrl-C, then answers what is under way.
pub fn main(config: Config) -> Result<()> {
    block_on(take_in(config))
}

async fn take_in(config: Config) -> Result<()> {
    if config.intake.subject(&config.input).is_none() {
        bail!("there is no subject for what is taken in: set intake.subject in squelch.yaml, for example to events");
    }
    if config.http.listen.is_none() && !config.intake.is_asked_for() {
        bail!("there is no address to listen on: set intake.listen in squelch.yaml, for example to 127.0.0.1:4318");
    }
    let telemetry = Arc::new(Telemetry::default());
    let client = connect::connect(&config.nats).await?;
    let context = jetstream::new(client.clone());
    let subjects = config.input.subjects.iter().map(|subject| subject.replace(PARTITION_WORD, "*")).collect();
    Streams::new(&context, config.nats.replicas).input(&InputConfig { subjects, ..config.input.clone() }).await?;
    let mut shutdown = Shutdown::listen()?;
    let serving = serve(&config, &telemetry, &client).await?;
    tracing::info!(stream = config.input.stream, "taking in events");
    tokio::select! {
        () = shutdown.requested() => {}
        () = watch_connection(&client, &telemetry) => {}
    }
    telemetry.stopping.store(true, Ordering::Relaxed);
    serving.shut_down().await;
    tracing::info!("stopped");
    Ok(())
}
