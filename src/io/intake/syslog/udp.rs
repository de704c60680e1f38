//! Syslog over UDP: each datagram is a message. What comes faster than it can be stored is dropped, and counted.

use std::sync::Arc;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::io::intake::endpoint::Intake;
use crate::io::intake::syslog::{GATHER, count, framing, store};
use crate::model::limits::{SYSLOG_BATCH_BYTES_MAX, SYSLOG_MESSAGE_BYTES_MAX};

/// Datagrams that wait to be stored.
const WAITING_MAX: usize = 4_096;

pub(super) async fn receive(socket: UdpSocket, intake: Arc<Intake>) {
    let (to_store, from_socket) = mpsc::channel(WAITING_MAX);
    tokio::spawn(write(from_socket, Arc::clone(&intake)));
    let mut buffer = vec![0; SYSLOG_MESSAGE_BYTES_MAX];
    loop {
        // An error is one of an earlier answer that nobody sent, and of no concern here.
        let Ok((bytes, _)) = socket.recv_from(&mut buffer).await else { continue };
        let message = buffer[..bytes].trim_ascii_end();
        if !message.is_empty() && to_store.try_send(Bytes::copy_from_slice(message)).is_err() {
            count(&intake, "overloaded", bytes);
        }
    }
}

async fn write(mut from_socket: mpsc::Receiver<Bytes>, intake: Arc<Intake>) {
    while let Some(first) = from_socket.recv().await {
        let (mut bytes, until) = (first.len(), Instant::now() + GATHER);
        let mut messages = vec![first];
        while bytes < SYSLOG_BATCH_BYTES_MAX {
            let Ok(Some(message)) = timeout_at(until, from_socket.recv()).await else { break };
            bytes += message.len();
            messages.push(message);
        }
        store(&intake, framing::join(&messages)).await;
    }
}
