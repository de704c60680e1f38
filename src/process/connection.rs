//! Whether the connection to NATS stands, for `/readyz` of a process that does not find out by its work.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use tokio::time::interval;

use crate::process::telemetry::Telemetry;

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Keeps `/readyz` right for as long as the process lives.
pub(crate) async fn watch_connection(client: &Client, telemetry: &Telemetry) {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        telemetry.connected.store(client.connection_state() == State::Connected, Ordering::Relaxed);
    }
}
