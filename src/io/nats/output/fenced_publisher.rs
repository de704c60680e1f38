//! Writes to a stream so that nothing is in it twice, whoever else would write: each message says after which one it comes, and the
//! server refuses it where that one is not the last.
//!
//! Ids alone protect a stream for its duplicate window only, and a process that was held up may wake up long after it. Here its
//! message comes after others than it says, and is refused. Only what comes exactly in its place is stored; and as the same input
//! makes the same messages in the same order, that is what the process that leads now would have written there: it finds it, by its
//! id, and goes on behind it. The idea is the compare-and-set of JetStream's `Nats-Expected-Last-Sequence`.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::io::nats::NatsError;
use crate::io::nats::client::streams;
use crate::io::nats::cluster::lease::{HeldLease, StoreError};

/// Says which squelch wrote a message: its `input.consumer`.
const WRITER: &str = "Squelch-Consumer";
/// Messages that are read back at once.
const READS_AT_ONCE: usize = 16;
/// When so many new messages came after one that was found and never made again, it never will be: rules were others then.
const NEW_MAX: u32 = 1_000;

/// The end of a stream, as this process knows it.
pub struct FencedPublisher {
    stream: Stream,
    writer: String,
    /// The stream's last message.
    last: u64,
    /// Whether `last` is what this process has seen while it certainly held the lease.
    tail_confirmed: bool,
    /// What is in the stream already and will be made again: ids and places.
    already_stored: BTreeMap<String, u64>,
    /// Messages stored since one was found in `already_stored`.
    new: u32,
}

impl FencedPublisher {
    /// Begins at the end of the stream. What `writer` has stored in it after place `after`, if there is one, is known from here on.
    ///
    /// # Errors
    ///
    /// The server does not answer, or refuses.
    pub async fn open(context: &Context, stream: &str, writer: &str, after: Option<u64>) -> Result<Self, NatsError> {
        let found = streams::existing(context, stream).await?;
        let stream = found.ok_or_else(|| NatsError::request(format!("stream {stream}"), "it is gone"))?;
        let last = stream.cached_info().state.last_sequence;
        // A stream that was made anew counts from 1 again.
        let after = after.map(|after| if after <= last { after } else { 0 });
        let writer = writer.to_string();
        let last = after.unwrap_or(last);
        let mut publisher = Self { stream, writer, last, tail_confirmed: false, already_stored: BTreeMap::new(), new: 0 };
        let what = format!("reading stream {}", publisher.stream.cached_info().config.name);
        publisher.read_tail().await.map_err(|error| NatsError::request(what, error))?;
        Ok(publisher)
    }

    /// Everything that this process will not make again is at or before this place.
    pub fn position(&self) -> u64 {
        self.already_stored.values().min().map_or(self.last, |first| first - 1)
    }

    /// Stores a message, unless it is there. Its headers carry its id.
    ///
    /// # Errors
    ///
    /// It is not known to be stored, or not for this process to store.
    pub async fn publish(
        &mut self,
        context: &Context,
        lease: &HeldLease,
        (id, subject): (&str, &str),
        mut headers: HeaderMap,
        body: &Bytes,
    ) -> Result<(), StoreError> {
        headers.insert("Nats-Msg-Id", id);
        headers.insert(WRITER, self.writer.as_str());
        loop {
            if !self.tail_confirmed {
                self.read_tail().await.map_err(StoreError::Failed)?;
                // Whoever took the lease before that look may have written since; whoever takes it later writes behind it.
                lease.renew().await?;
                self.tail_confirmed = true;
            }
            if self.already_stored.remove(id).is_some() {
                self.new = 0;
                return Ok(());
            }
            lease.may_write().await?;
            headers.insert("Nats-Expected-Last-Sequence", self.last.to_string().as_str());
            let sent = context.publish_with_headers(subject.to_string(), headers.clone(), body.clone()).await;
            let stored = match sent {
                Ok(stored) => stored.await,
                Err(error) => Err(error),
            };
            match stored {
                Ok(stored) => {
                    self.last = self.last.max(stored.sequence);
                    self.forget();
                    return Ok(());
                }
                Err(error) => {
                    // Somebody else wrote, or this was stored and the acknowledgement was lost.
                    self.tail_confirmed = false;
                    if error.kind() != PublishErrorKind::WrongLastSequence {
                        return Err(StoreError::Failed(error.to_string()));
                    }
                }
            }
        }
    }

    fn forget(&mut self) {
        self.new = if self.already_stored.is_empty() { 0 } else { self.new + 1 };
        if self.new > NEW_MAX {
            self.already_stored.clear();
        }
    }

    /// Reads what others, or this process without knowing, have stored since. Each place is asked for by its number: how much a consumer
    /// says that it has still to deliver may be wrong while somebody writes.
    async fn read_tail(&mut self) -> Result<(), String> {
        let last = self.stream.get_info().await.map_err(|error| error.to_string())?.state.last_sequence;
        let stream = &self.stream;
        let read = stream::iter(self.last + 1..=last).map(|place| async move {
            match stream.get_raw_message(place).await {
                Ok(message) => Ok(Some((place, message.headers))),
                // It was removed, or grew too old.
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        });
        let mut read = read.buffered(READS_AT_ONCE);
        while let Some(found) = read.try_next().await? {
            let Some((place, headers)) = found else { continue };
            let is_ours = headers.get(WRITER).is_some_and(|name| name.as_str() == self.writer);
            if let Some(id) = headers.get("Nats-Msg-Id").filter(|_| is_ours) {
                self.already_stored.insert(id.to_string(), place);
            }
        }
        drop(read);
        self.last = last;
        Ok(())
    }
}
