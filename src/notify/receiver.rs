//! What every receiver is: a function from an incident, and what was sent of it before, to the next request; and from the answer to what it
//! means. No receiver keeps anything but its settings: what it must remember is in the record.

use crate::model::time::TimestampMs;
use crate::notify::call::{Answer, Call, Verdict};
use crate::notify::incident_view::IncidentView;
use crate::notify::record::Record;

/// A message that is due.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The newest revision.
    pub incident: &'a IncidentView,
    /// What kind of message.
    pub news: News,
    /// What was sent before, and which steps of this message are done.
    pub record: &'a Record,
    /// By the clock of the broker.
    pub now_ms: TimestampMs,
}

/// What kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The first of this incident.
    First,
    /// Something new that a person should hear.
    Update,
    /// What was sent before is brought up to date, without sound.
    Edit,
    /// It is over.
    Close,
}

/// What a receiver wants besides the first message, updates and the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Messages can be edited: each revision of what was sent before.
    pub edits: bool,
    /// An incident that was over before it could be sent is sent all the same.
    pub past: bool,
    /// Every revision, whether a person is to be notified or not.
    pub all: bool,
}

/// A receiver.
pub trait Receiver: Send + Sync {
    /// As the settings name its kind.
    fn kind(&self) -> &'static str;

    /// Whether people read it, and not a program.
    fn for_people(&self) -> bool;

    /// What it wants.
    fn wants(&self) -> Wants;

    /// The next request, or nothing where the message is done.
    fn next(&self, job: &Job<'_>) -> Option<Call>;

    /// What an answer to `call` means. `remote` is what the receiver remembers of this incident.
    fn read(&self, job: &Job<'_>, call: &Call, answer: &Answer) -> Reading {
        let _ = (job, call);
        Reading { verdict: answer.verdict(), remote: Vec::new() }
    }
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whether it worked.
    pub verdict: Verdict,
    /// What is to be remembered of this incident.
    pub remote: Vec<(&'static str, String)>,
}
