//! What people did about an incident: who is in charge, and what they noted. Who acknowledged it is kept with what people know of it
//! ([`crate::incident::notify::state`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;

/// What people did about an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Handling {
    /// Who is in charge.
    pub owner: Option<Arc<str>>,
    /// The oldest first.
    pub notes: Vec<Note>,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Who wrote it.
    pub by: Arc<str>,
    /// When.
    pub at: TimestampMs,
    /// What.
    pub text: Arc<str>,
}

/// Somebody takes care of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: Arc<str>,
    /// Since when.
    pub at: TimestampMs,
    /// Why, or what is being done.
    pub comment: Arc<str>,
    /// When it runs out.
    pub until: Option<TimestampMs>,
}

impl Handling {
    /// Takes over what people did about an incident that is part of this one now.
    pub fn absorb(&mut self, other: Handling) {
        self.owner = self.owner.take().or(other.owner);
        self.notes.extend(other.notes);
        self.notes.sort_by_key(|note| note.at);
    }
}
