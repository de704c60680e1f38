//! Publishes so that nothing is in a stream twice, whoever else would publish: each message names the last message before it, and the
//! server refuses the message where another one came in between.
//!
//! Message ids alone protect a stream only for its duplicate window, and a process that was suspended may wake up long after it. Here
//! the server refuses its message, because the stream has moved on. What does get stored is what the leader would store there: the same
//! input makes the same messages in the same order. The leader finds it by its id and goes on behind it. The idea is the
//! compare-and-set of JetStream's `Nats-Expected-Last-Sequence`.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::io::nats::NatsError;
use crate::io::nats::client::streams;
use crate::io::nats::cluster::lease::{HeldLease, StoreError};

/// Says which squelch published a message: its `input.consumer`.
const WRITER: &str = "Squelch-Consumer";
/// Messages that are read back at once.
const READS_AT_ONCE: usize = 16;
/// A message that was found in the stream, and was not made again by the time this many others were, never will be: other rules were
/// in force when it was made.
const OTHERS_MAX: u32 = 1_000;

/// Publishes to one stream, and knows its end.
pub struct FencedPublisher {
    context: Context,
    stream: Stream,
    lease: HeldLease,
    writer: String,
    /// The stream's last message.
    last: u64,
    /// Whether `last` was read while this process certainly held the lease.
    tail_confirmed: bool,
    /// Messages that are in the stream already and will be made again: sequence numbers by id.
    already_stored: BTreeMap<String, u64>,
    /// Messages stored since one was found in `already_stored`.
    others: u32,
}

impl FencedPublisher {
    /// Begins at the end of the stream. What `writer` has stored after message `after` is known from here on.
    ///
    /// # Errors
    ///
    /// The server does not answer, or refuses.
    pub async fn open(
        context: &Context,
        stream: &str,
        writer: &str,
        after: Option<u64>,
        lease: HeldLease,
    ) -> Result<Self, NatsError> {
        let found = streams::existing(context, stream).await?;
        let stream = found.ok_or_else(|| NatsError::request(format!("stream {stream}"), "it was deleted"))?;
        let last = stream.cached_info().state.last_sequence;
        // A stream that was created again counts from 1.
        let after = after.map(|after| if after <= last { after } else { 0 });
        let mut publisher = Self {
            context: context.clone(),
            stream,
            lease,
            writer: writer.to_string(),
            last: after.unwrap_or(last),
            tail_confirmed: false,
            already_stored: BTreeMap::new(),
            others: 0,
        };
        let what = format!("reading stream {}", publisher.stream.cached_info().config.name);
        publisher.read_tail().await.map_err(|error| NatsError::request(what, error))?;
        Ok(publisher)
    }

    /// The stream up to here holds nothing that this process will make again.
    pub fn position(&self) -> u64 {
        self.already_stored.values().min().map_or(self.last, |first| first - 1)
    }

    /// Publishes a message, unless it is in the stream already.
    ///
    /// # Errors
    ///
    /// It may not be stored, or another process holds the lease.
    pub async fn publish(&mut self, id: &str, subject: &str, mut headers: HeaderMap, body: &Bytes) -> Result<(), StoreError> {
        headers.insert("Nats-Msg-Id", id);
        headers.insert(WRITER, self.writer.as_str());
        loop {
            if !self.tail_confirmed {
                self.read_tail().await.map_err(StoreError::Failed)?;
                // Renewing proves that no other process held the lease before the tail was read. A later one writes behind it.
                self.lease.renew().await?;
                self.tail_confirmed = true;
            }
            if self.already_stored.remove(id).is_some() {
                self.others = 0;
                return Ok(());
            }
            self.lease.may_write().await?;
            headers.insert("Nats-Expected-Last-Sequence", self.last.to_string().as_str());
            let sent = self.context.publish_with_headers(subject.to_string(), headers.clone(), body.clone()).await;
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
                    // Another process wrote, or this message was stored and the acknowledgement was lost.
                    self.tail_confirmed = false;
                    if error.kind() != PublishErrorKind::WrongLastSequence {
                        return Err(StoreError::Failed(error.to_string()));
                    }
                }
            }
        }
    }

    fn forget(&mut self) {
        self.others = if self.already_stored.is_empty() { 0 } else { self.others + 1 };
        if self.others > OTHERS_MAX {
            self.already_stored.clear();
        }
    }

    /// Reads what others have stored since, or this process without an acknowledgement. Each message is asked for by its number: what
    /// a consumer reports as pending may be wrong while another process writes.
    async fn read_tail(&mut self) -> Result<(), String> {
        let last = self.stream.get_info().await.map_err(|error| error.to_string())?.state.last_sequence;
        let stream = &self.stream;
        let read = stream::iter(self.last + 1..=last).map(|sequence| async move {
            match stream.get_raw_message(sequence).await {
                Ok(message) => Ok(Some((sequence, message.headers))),
                // It was deleted or has expired.
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(error.to_string()),
            }
        });
        let mut read = read.buffered(READS_AT_ONCE);
        while let Some(found) = read.try_next().await? {
            let Some((sequence, headers)) = found else { continue };
            let is_ours = headers.get(WRITER).is_some_and(|name| name.as_str() == self.writer);
            if let Some(id) = headers.get("Nats-Msg-Id").filter(|_| is_ours) {
                self.already_stored.insert(id.to_string(), sequence);
            }
        }
        drop(read);
        self.last = last;
        Ok(())
    }
}
