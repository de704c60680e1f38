//! `squelch web`: the pages, the Alertmanager API and metrics of this process, and nothing else. It keeps no state, so any number of them
//! may run, on any machine that reaches the NATS server.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Result, bail};

use crate::io::nats::client::connect;
use crate::process::config::Config;
use crate::process::connection::watch_connection;
use crate::process::serve::serve_pages;
use crate::process::shutdown::{Shutdown, block_on};
use crate::process::telemetry::Telemetry;

/// Serves until SIGTERM or Ctrl-C, then answers what is under way.
pub fn main(config: Config) -> Result<()> {
    block_on(serve(config))
}

async fn serve(config: Config) -> Result<()> {
    if config.http.listen.is_none() {
        bail!("there is no address to listen on: set http.listen in squelch.yaml, for example to 127.0.0.1:9464");
    }
    let telemetry = Arc::new(Telemetry::default());
    let client = connect::connect(&config.nats).await?;
    let mut shutdown = Shutdown::listen()?;
    let serving = serve_pages(&config, &telemetry, &client).await?;
    tokio::select! {
        () = shutdown.requested() => {}
        () = watch_connection(&client, &telemetry) => {}
    }
    telemetry.stopping.store(true, Ordering::Relaxed);
    serving.shut_down().await;
    tracing::info!("stopped");
    Ok(())
}
