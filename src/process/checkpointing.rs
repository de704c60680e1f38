//! When a checkpoint is taken, what is in it, and what a start makes of it.
//!
//! A checkpoint is the engine after a message of the stream, and that message's place. While events come, the results of all of
//! them are stored first. What no event decides (silence, other rules) cannot be replayed: there the checkpoint comes first, with
//! the results in it, so that a process that dies between the two says exactly the same again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::edges::files::checkpoint::Checkpoints;
use crate::edges::nats::publish::OutRevision;
use crate::engine::Engine;
use crate::incident::Revision;

/// The form of the bytes.
const VERSION: u32 = 1;
/// Taking checkpoints may take this part of the engine's time: one that took long is followed by a longer pause.
const SHARE: u32 = 20;

/// A place in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The stream's birth, nanoseconds since 1970: a stream that was made anew counts from 1 again.
    pub born_ns: i64,
    /// The last message whose effect is in the engine.
    pub sequence: u64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    place: Place,
    /// Results that may not be stored yet: subject, message id, incident, whether it is open, body.
    outbox: Vec<(String, String, String, bool, Vec<u8>)>,
    engine: Vec<u8>,
}

/// What a start goes on from.
pub struct Resumed {
    /// Where the engine is.
    pub place: Place,
    /// What must be stored before anything else.
    pub outbox: Vec<OutRevision>,
}

/// Takes the bytes of a checkpoint.
///
/// # Errors
///
/// An engine that cannot be saved: a defect.
pub fn save(engine: &mut Engine, place: Place, outbox: &[OutRevision]) -> Result<Vec<u8>> {
    let outbox = outbox.iter().cloned().map(|out| (out.subject, out.message_id, out.incident, out.open, out.body.to_vec()));
    let saved = Saved { version: VERSION, place, outbox: outbox.collect(), engine: engine.save()? };
    Ok(postcard::to_allocvec(&saved)?)
}

/// What `fresh` makes, its engine filled from the newest checkpoint that can be used. What cannot be used is said loudly.
/// `outgoing` turns what follows from rules that are gone into messages.
///
/// # Errors
///
/// Those of `fresh`.
pub fn resume<L>(
    kept: &Checkpoints,
    fresh: &dyn Fn() -> Result<L>,
    engine_of: fn(&mut L) -> &mut Engine,
    outgoing: &dyn Fn(&[Revision]) -> Vec<OutRevision>,
) -> Result<(L, Option<Resumed>)> {
    let mut any = false;
    for content in kept.read() {
        any = true;
        let mut loaded = fresh()?;
        let resumed =
            content.map_err(anyhow::Error::from).and_then(|content| restore(engine_of(&mut loaded), &content, outgoing));
        match resumed {
            Ok(resumed) => return Ok((loaded, Some(resumed))),
            Err(error) => tracing::error!(error = format!("{error:#}"), "a checkpoint cannot be used"),
        }
    }
    if any {
        tracing::error!(
            "no checkpoint can be used: windows, alerts and incidents begin empty, reading goes on where input was acknowledged"
        );
    }
    Ok((fresh()?, None))
}

fn restore(engine: &mut Engine, content: &[u8], outgoing: &dyn Fn(&[Revision]) -> Vec<OutRevision>) -> Result<Resumed> {
    let (version, _): (u32, _) = postcard::take_from_bytes(content).context("the checkpoint is damaged")?;
    if version != VERSION {
        bail!("the checkpoint has form {version}, this version of squelch reads form {VERSION}");
    }
    let saved: Saved = postcard::from_bytes(content).context("the checkpoint is damaged")?;
    let of_gone = engine.restore(&saved.engine)?;
    let outbox = saved.outbox.into_iter().map(|(subject, message_id, incident, open, body)| OutRevision {
        subject,
        message_id,
        incident,
        open,
        body: Bytes::from(body),
    });
    Ok(Resumed { place: saved.place, outbox: outbox.chain(outgoing(&of_gone)).collect() })
}

/// Says when the next checkpoint is due. What time it is, it is told.
pub struct Pace {
    every: Duration,
    next: Instant,
}

impl Pace {
    /// One after `every`, unless taking it takes too much of the time.
    pub fn new(every: Duration, now: Instant) -> Self {
        Self { every, next: now + every }
    }

    /// Whether one is due.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// One was taken until `now`, which took so long.
    pub fn taken(&mut self, now: Instant, took: Duration) {
        self.next = now + self.every.max(took * SHARE);
    }
}
