//! The task that reads. While what comes behind it is slow it reads nothing, and still tells how much waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::io::nats::input::Source;
use crate::process::pipeline::decode::ToDecoder;
use crate::process::telemetry::metrics::Telemetry;

/// How often the lag is asked for while nothing is read.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Reads until told to stop.
pub async fn read(
    mut source: Source,
    client: Client,
    telemetry: Arc<Telemetry>,
    to_decoder: mpsc::Sender<ToDecoder>,
    mut stopped: watch::Receiver<bool>,
) {
    let see = || telemetry.connected.store(client.connection_state() == State::Connected, Ordering::Relaxed);
    loop {
        see();
        let fetched = {
            let mut fetching = std::pin::pin!(source.next());
            loop {
                tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                    fetched = &mut fetching => break fetched,
                    () = sleep(ASK_EVERY) => see(),
                }
            }
        };
        let mut room = std::pin::pin!(to_decoder.reserve());
        let room = loop {
            match timeout(ASK_EVERY, &mut room).await {
                Ok(Ok(room)) => break room,
                Ok(Err(_)) => return,
                Err(_) => {
                    see();
                    source.gather();
                    source.ask_pending().await;
                }
            }
        };
        room.send(ToDecoder::Read(fetched));
    }
}
