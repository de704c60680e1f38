//! What a receiver was sent of one incident: the value of a key in a bucket, replaced only by whoever has read it. Written before a step,
//! so that two processes never both send it, and after it, so that nobody sends it again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// What a receiver was sent of one incident.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Record {
    /// The newest revision that was sent, or that needed no message; 0 before the first.
    pub revision: u32,
    /// Whether anything was sent of it.
    pub sent: bool,
    /// Whether the last thing sent was that it is over.
    pub closed: bool,
    /// As last sent.
    pub severity: Option<Severity>,
    /// When that was.
    pub at_ms: TimestampMs,
    /// What is under way.
    pub pending: Option<Pending>,
    /// Why nothing is sent yet.
    pub waiting: Option<Waiting>,
    /// What the receiver calls the message: Slack's `channel` and `ts`, a mail's `Message-ID`.
    pub remote: BTreeMap<String, String>,
    /// The digest that named it, where it was not sent by itself.
    pub digest: Option<String>,
    /// Why the last message was given up.
    pub given_up: Option<String>,
    /// Of a digest: the incidents in it, until it is noted at each that it was named.
    pub digest_of: Vec<DigestMember>,
}

/// An incident in a digest.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DigestMember {
    /// The incident.
    pub incident: String,
    /// Its revision.
    pub revision: u32,
    /// Where that is in the stream.
    pub sequence: u64,
}

/// A message under way.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Pending {
    /// Of this revision.
    pub revision: u32,
    /// When it was first tried.
    pub since_ms: TimestampMs,
    /// Whether it notifies a person, and is no edit.
    pub with_sound: bool,
    /// Whether a step of this or of an older revision was begun since the last message that arrived for certain: the receiver may show it.
    pub may_have_arrived: bool,
    /// Steps that are done.
    pub done: BTreeSet<String>,
    /// The step that was begun, and of which nobody knows yet whether it was done.
    pub begun: Option<String>,
}

/// A message that waits for its time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Waiting {
    /// When it is due.
    pub until_ms: TimestampMs,
    /// Since when.
    pub since_ms: TimestampMs,
    /// What for.
    pub why: WaitingFor,
    /// Where the newest revision is in the stream of incidents.
    pub sequence: u64,
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// Nobody has acknowledged the incident when it is due.
    Escalation,
    /// The quiet hours end.
    QuietHours,
    /// The rate limit has room.
    RateLimit,
}

impl WaitingFor {
    /// Whether what is due goes out in one message with everything else that is.
    pub fn is_digest(self) -> bool {
        self != WaitingFor::Escalation
    }
}

impl Record {
    /// Whether the step of the message under way was done.
    pub fn is_done(&self, step: &str) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.done.contains(step))
    }

    /// Whether the step was begun, and nobody knows whether it was done.
    pub fn is_unknown(&self, step: &str) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.begun.as_deref() == Some(step))
    }

    /// Whether the receiver may show an incident as open of which it was told that it is over, or was told nothing.
    pub fn may_be_open(&self) -> bool {
        let may_have_arrived = self.pending.as_ref().is_some_and(|pending| pending.may_have_arrived);
        may_have_arrived || (self.sent && !self.closed)
    }

    /// Reads a value; an empty one is that of a key that is not there.
    pub fn parse(value: &[u8]) -> Result<Self, String> {
        if value.is_empty() { Ok(Self::default()) } else { serde_json::from_slice(value).map_err(|error| error.to_string()) }
    }

    /// As the bucket holds it.
    pub fn to_bytes(&self) -> Vec<u8> {
        match serde_json::to_vec(self) {
            Ok(value) => value,
            Err(error) => unreachable!("texts and numbers always serialize: {error}"),
        }
    }
}
