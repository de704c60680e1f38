//! The read stage of a process that reads the events itself, a task. While the stages behind it are busy it reads nothing and still
//! reports how many messages wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::io::nats::input::event_reader::EventReader;
use crate::process::pipeline::messages::{PipelineItem, RawItem};
use crate::process::telemetry::Telemetry;

/// How often the lag is asked for while nothing is read.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Reads until the process stops.
pub async fn read<O: Send>(
    mut reader: EventReader,
    client: Client,
    telemetry: Arc<Telemetry>,
    to_decoder: mpsc::Sender<RawItem<O>>,
    mut stopped: watch::Receiver<bool>,
) {
    let note_connection = || telemetry.connected.store(client.connection_state() == State::Connected, Ordering::Relaxed);
    loop {
        note_connection();
        let fetched = {
            let mut fetching = std::pin::pin!(reader.next());
            loop {
                tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                    fetched = &mut fetching => break fetched,
                    () = sleep(ASK_EVERY) => note_connection(),
                }
            }
        };
        let mut reserving = std::pin::pin!(to_decoder.reserve());
        let room = loop {
            match timeout(ASK_EVERY, &mut reserving).await {
                Ok(Ok(room)) => break room,
                Ok(Err(_)) => return,
                Err(_) => {
                    note_connection();
                    reader.gather();
                    reader.ask_pending().await;
                }
            }
        };
        room.send(PipelineItem::Read(fetched));
    }
}
