//! What the engine made of a batch of input, ready to be written: revisions with the alerts that changed, and rejected lines. Holds data only; the order in which
//! they are written is [`Results::write_ops`].

use bytes::Bytes;

use crate::io::nats::input::messages::Ack;

/// What happened to one alert, as a message.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertUpdate {
    /// The subject.
    pub subject: String,
    /// The id by which the server recognises duplicates.
    pub message_id: String,
    /// The message.
    pub body: Bytes,
}

/// A revision of an incident as a message.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionMessage {
    /// The subject.
    pub subject: String,
    /// The id by which the server recognises duplicates.
    pub message_id: String,
    /// The incident: the key in the bucket.
    pub incident: String,
    /// Whether the incident is open after it.
    pub open: bool,
    /// The message.
    pub body: Bytes,
    /// The alerts that changed since the last revision; none where nobody wants them.
    pub alerts: Vec<AlertUpdate>,
}

/// Input that could not be decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedLine {
    /// The subject that it came on.
    pub subject: String,
    /// Its sequence number in the stream of events.
    pub sequence: u64,
    /// When that stream was created, nanoseconds since 1970.
    pub stream_created_ns: i64,
    /// The line within the message; 0 for the whole message.
    pub line: usize,
    /// Why it was rejected.
    pub reason: String,
    /// The bytes, untouched.
    pub bytes: Bytes,
}

/// What commands came to, as messages.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandMessage {
    /// An answer.
    Answer {
        /// The subject: that of this one answer.
        subject: String,
        /// The message.
        body: Bytes,
    },
    /// A silence as it is now; nothing where it was forgotten.
    Silence {
        /// The key in the bucket.
        id: String,
        /// The value.
        body: Option<Bytes>,
    },
}

/// The results of one batch of input. `A` acknowledges input: the simulation has a broker of its own.
pub struct Results<A = Ack> {
    /// In order.
    pub revisions: Vec<RevisionMessage>,
    /// In order.
    pub rejected: Vec<RejectedLine>,
    /// In order.
    pub commands: Vec<CommandMessage>,
    /// Acknowledges the input.
    pub acker: Option<A>,
}

/// One write. It is retried until it succeeds, and only then the next one begins.
#[derive(Debug)]
pub enum WriteOp<A = Ack> {
    /// Publish to the stream of rejected input.
    Reject(RejectedLine),
    /// Publish to the stream of alerts.
    PublishAlerts(Vec<AlertUpdate>),
    /// Publish to the stream of incidents.
    Publish(RevisionMessage),
    /// Update the bucket of open incidents.
    UpdateOpen(RevisionMessage),
    /// Answer a command, or update the bucket of silences.
    Answer(CommandMessage),
    /// Acknowledge the input.
    Acknowledge(A),
}

impl<A> Default for Results<A> {
    fn default() -> Self {
        Self { revisions: Vec::new(), rejected: Vec::new(), commands: Vec::new(), acker: None }
    }
}

impl<A> Results<A> {
    /// These revisions, and nothing else.
    pub fn of(revisions: Vec<RevisionMessage>) -> Self {
        Self { revisions, ..Self::default() }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.revisions.is_empty() && self.rejected.is_empty() && self.commands.is_empty() && self.acker.is_none()
    }

    /// The writes in order. The acknowledgement is the last one: a process that dies in between leaves the input unacknowledged, and
    /// the next one makes the same results again.
    pub fn write_ops(mut self) -> impl Iterator<Item = WriteOp<A>> {
        let alerts: Vec<AlertUpdate> =
            self.revisions.iter_mut().flat_map(|revision| std::mem::take(&mut revision.alerts)).collect();
        let alerts = (!alerts.is_empty()).then_some(WriteOp::PublishAlerts(alerts));
        let updates = self.revisions.clone().into_iter().map(WriteOp::UpdateOpen);
        let rejects = self.rejected.into_iter().map(WriteOp::Reject);
        let publishes = self.revisions.into_iter().map(WriteOp::Publish);
        // Alerts after the revisions that count them: a process that dies in between, and goes on with other rules, must not have
        // published changes of a revision that is never made.
        let published = rejects.chain(publishes).chain(alerts).chain(updates);
        // Whoever waits for an answer finds the revisions that follow from the command.
        published.chain(self.commands.into_iter().map(WriteOp::Answer)).chain(self.acker.map(WriteOp::Acknowledge))
    }
}
