//! Writes the partials of one partition, each after the one before and nothing in between.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use tokio::time::sleep;

use crate::io::nats::NatsError;
use crate::io::nats::client::publish::{HEADER_BYTES_MAX, body_bytes_max};
use crate::io::nats::client::streams::last_on;
use crate::io::nats::cluster::partial_stream::header::PartialHeader;

const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Another worker writes on the subject.
#[derive(Debug, thiserror::Error)]
#[error("another worker has partition {0}: it has published since this one started. Start exactly one worker for each partition")]
pub struct PartitionTaken(String);

/// Writes the partials of one partition.
pub struct PartialWriter {
    context: Context,
    stream: Stream,
    subject: String,
    piece_bytes: usize,
    /// The sequence number of the last message on the subject; 0 for none.
    last: u64,
}

impl PartialWriter {
    /// A writer that goes on after the last message on the subject, and the header of that message: it tells where the worker was.
    ///
    /// # Errors
    ///
    /// The server refuses, or the last message is no partial.
    pub async fn open(context: Context, stream: Stream, subject: String) -> Result<(Self, Option<PartialHeader>), NatsError> {
        let piece_bytes = body_bytes_max(&context, HEADER_BYTES_MAX).max(HEADER_BYTES_MAX);
        let mut writer = Self { context, stream, subject, piece_bytes, last: 0 };
        let what = format!("the last message on {}", writer.subject);
        let Some((last, headers, _)) = writer.last().await.map_err(|error| NatsError::request(what.clone(), error))? else {
            return Ok((writer, None));
        };
        writer.last = last;
        let header = PartialHeader::parse(Some(&headers)).ok_or_else(|| NatsError::request(what, "it is no partial"))?;
        // A partial whose last piece is missing is counted again.
        let until = if header.piece.0 == header.piece.1 { header.until } else { header.after };
        Ok((writer, Some(PartialHeader { until, ..header })))
    }

    async fn last(&self) -> Result<Option<(u64, HeaderMap, Bytes)>, String> {
        let last = last_on(&self.stream, &self.subject).await?;
        Ok(last.map(|message| (message.sequence, message.headers, message.payload)))
    }

    /// Stores a partial. Retries for as long as it takes.
    ///
    /// # Errors
    ///
    /// Another worker writes on the subject.
    pub async fn store(&mut self, header: PartialHeader, bytes: &[u8]) -> Result<(), PartitionTaken> {
        let pieces = bytes.len().div_ceil(self.piece_bytes).max(1);
        for piece in 1..=pieces {
            let start = (piece - 1) * self.piece_bytes;
            let body = Bytes::copy_from_slice(&bytes[start..bytes.len().min(start + self.piece_bytes)]);
            self.publish(PartialHeader { piece: (piece, pieces), ..header }, body).await?;
        }
        Ok(())
    }

    async fn publish(&mut self, header: PartialHeader, body: Bytes) -> Result<(), PartitionTaken> {
        loop {
            let mut headers = header.to_headers();
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, self.last.to_string().as_str());
            let stored = match self.context.publish_with_headers(self.subject.clone(), headers, body.clone()).await {
                Ok(stored) => stored.await,
                Err(error) => Err(error),
            };
            let error = match stored {
                Ok(stored) => {
                    self.last = stored.sequence;
                    return Ok(());
                }
                Err(error) => error,
            };
            if error.kind() != PublishErrorKind::WrongLastSequence {
                tracing::warn!(%error, "cannot store a partial; retrying");
                sleep(RETRY_AFTER).await;
            }
            // It may be stored, and only the acknowledgement was lost.
            match self.last().await {
                Ok(Some((sequence, headers, payload))) if sequence != self.last => {
                    if PartialHeader::parse(Some(&headers)) != Some(header) || payload != body {
                        return Err(PartitionTaken(header.name()));
                    }
                    self.last = sequence;
                    return Ok(());
                }
                Ok(Some(_)) => {}
                // The messages on the subject expired, or were purged.
                Ok(None) => self.last = 0,
                Err(error) => {
                    tracing::warn!(error, "cannot read the last partial; retrying");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }
}
