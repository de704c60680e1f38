//! Syslog over TCP. While messages are stored nothing is read, so that the sender waits.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use crate::io::intake::endpoint::Intake;
use crate::io::intake::syslog::{GATHER, RETRY_AFTER, count, framing, store};
use crate::model::limits::SYSLOG_BATCH_BYTES_MAX;

pub(super) async fn accept(listener: TcpListener, intake: Arc<Intake>, room: Arc<Semaphore>) {
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&intake), permit));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a syslog connection; trying again");
                sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn connection(mut stream: TcpStream, intake: Arc<Intake>, _room: OwnedSemaphorePermit) {
    let mut buffer = BytesMut::new();
    loop {
        let (messages, goes_on) = gather(&mut stream, &mut buffer, &intake).await;
        store(&intake, framing::join(&messages)).await;
        if !goes_on {
            return;
        }
    }
}

/// Waits for a message, and takes what comes within a moment of it. Whether there may be more.
async fn gather(stream: &mut TcpStream, buffer: &mut BytesMut, intake: &Intake) -> (Vec<Bytes>, bool) {
    let (mut messages, mut bytes, mut until) = (Vec::new(), 0, None);
    loop {
        loop {
            match framing::next(buffer) {
                Ok(Some(message)) => {
                    bytes += message.len();
                    messages.push(message);
                    until.get_or_insert_with(|| Instant::now() + GATHER);
                }
                Ok(None) => break,
                Err(framing::Unreadable) => {
                    count(intake, "too_large", buffer.len());
                    return (messages, false);
                }
            }
            if bytes >= SYSLOG_BATCH_BYTES_MAX {
                return (messages, true);
            }
        }
        let read = match until {
            None => stream.read_buf(buffer).await,
            Some(until) => match timeout_at(until, stream.read_buf(buffer)).await {
                Ok(read) => read,
                Err(_) => return (messages, true),
            },
        };
        match read {
            Ok(0) | Err(_) => {
                // The last line may lack its end.
                if !buffer.is_empty() {
                    messages.push(buffer.split().freeze());
                }
                return (messages, false);
            }
            Ok(_) => {}
        }
    }
}
