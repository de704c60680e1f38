//! Syslog over TCP and UDP on one address. Messages are gathered for a moment and stored together. A sender over TCP waits while they cannot be
//! stored; over UDP nobody waits, and what there is no room for is counted.

pub mod framing;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::io::intake::endpoint::Intake;
use crate::io::intake::event_store::RawMessage;
use crate::io::intake::refusal::Refusal;
use crate::io::intake::stats::Counted;
use crate::model::event::Kind;
use crate::model::limits::SYSLOG_CONNECTIONS_MAX;

const FORMAT: &str = "syslog";
/// How long messages are gathered.
const GATHER: Duration = Duration::from_millis(200);
/// How soon a failed attempt is made again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Binds the address for TCP and UDP, and takes in what comes until the process ends. Returns the address, whose port may have been left open.
pub async fn listen(address: SocketAddr, intake: Arc<Intake>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let socket = UdpSocket::bind(address).await?;
    tokio::spawn(tcp::accept(listener, Arc::clone(&intake), Arc::new(Semaphore::new(SYSLOG_CONNECTIONS_MAX))));
    tokio::spawn(udp::receive(socket, intake));
    Ok(address)
}

/// Stores gathered messages, trying again for as long as it takes: no sender could be asked to send them again.
async fn store(intake: &Intake, body: Bytes) {
    if body.is_empty() {
        return;
    }
    loop {
        let message = RawMessage {
            format: FORMAT,
            kind: Some(Kind::Log),
            client: None,
            content_type: None,
            content_encoding: None,
            body: body.clone(),
        };
        let stored = intake.store(message).await;
        count(intake, stored.as_ref().map_or_else(Refusal::outcome, |()| "stored"), body.len());
        match stored {
            Ok(()) => return,
            Err(Refusal::Unavailable(error)) => {
                tracing::debug!(error, "cannot store syslog messages; trying again");
                sleep(RETRY_AFTER).await;
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "syslog messages are dropped");
                return;
            }
        }
    }
}

fn count(intake: &Intake, outcome: &'static str, bytes: usize) {
    intake.stats.count(Counted { system: "syslog", format: FORMAT, outcome }, bytes);
}
