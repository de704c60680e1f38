//! The stage that publishes rejected input: its bytes untouched, the reason in a header.

use async_nats::HeaderMap;
use async_nats::jetstream::context::Context;

use crate::io::nats::client::publish::{HEADER_BYTES_MAX, body_bytes_max, publish};
use crate::io::nats::cluster::lease::StoreError;
use crate::io::nats::output::fenced_publisher::FencedPublisher;
use crate::io::nats::output::results::RejectedLine;
use crate::model::limits::REJECTED_SUBJECT_BYTES_MAX;

/// The stream of rejected input.
pub struct RejectedStream {
    context: Context,
    subject: String,
    /// Part of the message ids: several squelch processes may write to one stream.
    consumer: String,
    fenced: Option<FencedPublisher>,
}

impl RejectedStream {
    /// Publishes below `subject`, for the squelch whose consumer is called `consumer`.
    pub fn new(context: Context, subject: &str, consumer: &str, fenced: Option<FencedPublisher>) -> Self {
        Self { context, subject: subject.into(), consumer: consumer.into(), fenced }
    }

    /// How far the stream has come; 0 where nobody asks for it.
    pub fn position(&self) -> u64 {
        self.fenced.as_ref().map_or(0, FencedPublisher::position)
    }

    /// Publishes a line. Of one that is larger than the server accepts, as much as fits.
    ///
    /// # Errors
    ///
    /// It may not be stored.
    pub async fn publish(&mut self, line: &RejectedLine) -> Result<(), StoreError> {
        let mut headers = HeaderMap::new();
        let id = message_id(&self.consumer, line);
        headers.insert("Nats-Msg-Id", id.as_str());
        headers.insert("Squelch-Reason", one_line(&line.reason).as_str());
        headers.insert("Squelch-Subject", line.subject.as_str());
        headers.insert("Squelch-Sequence", line.sequence.to_string().as_str());
        headers.insert("Squelch-Line", line.line.to_string().as_str());
        let subject = subject_below(&self.subject, &line.subject);
        let room = body_bytes_max(&self.context, HEADER_BYTES_MAX + 2 * line.subject.len());
        let bytes = line.bytes.slice(..line.bytes.len().min(room));
        if bytes.len() < line.bytes.len() {
            headers.insert("Squelch-Cut", line.bytes.len().to_string().as_str());
        }
        match &mut self.fenced {
            Some(fenced) => fenced.publish(&id, &subject, headers, &bytes).await,
            None => publish(&self.context, &subject, headers, bytes).await.map_err(StoreError::Failed),
        }
    }
}

/// The subject of rejected input. A long one is cut: with the prefix it may be more than the server accepts.
fn subject_below(prefix: &str, subject: &str) -> String {
    let mut whole = format!("{prefix}.{subject}");
    if whole.len() > REJECTED_SUBJECT_BYTES_MAX {
        whole.truncate(whole.floor_char_boundary(REJECTED_SUBJECT_BYTES_MAX));
        whole.truncate(whole.trim_end_matches('.').len());
    }
    whole
}

/// The same id whenever the message is read again. Another squelch has other ids, and so has a stream that was created again and
/// counts from 1.
fn message_id(consumer: &str, line: &RejectedLine) -> String {
    format!("{consumer}-{:x}-{}-{}", line.stream_created_ns, line.sequence, line.line)
}

/// A header holds one line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
