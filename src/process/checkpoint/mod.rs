//! When a checkpoint is taken, what is in it, and what a start makes of it.
//!
//! A checkpoint is the engine after a message of the stream, and that message's place. While events come, the results of all of
//! them are stored first. What no event decides (silence, other rules) cannot be replayed: there the checkpoint comes first, with
//! the results in it, so that a process that dies between the two says exactly the same again. Where it has no results, the
//! checkpoint comes before anything that follows from later events is stored.

pub mod segments;
pub mod storage;

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::incident::revision::Revision;
use crate::io::nats::cluster::checkpoint_store::OutputPositions;
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::output::OutRevision;
use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::versioned::StateFormat;
use crate::model::snapshot::{LoadedSnapshot, StateSnapshot};
use crate::process::checkpoint::storage::CheckpointStorage;

/// The form of the bytes.
const FORMAT: StateFormat = StateFormat { magic: *b"squelchH", version: 2 };
/// Taking and keeping checkpoints may take this part of a processor: one that took long is followed by a longer pause.
const SHARE: u32 = 20;

/// What a checkpoint says besides its chunks.
#[derive(Serialize, Deserialize)]
struct CheckpointHead {
    place: StreamPosition,
    /// Results that may not be stored yet: subject, message id, incident, whether it is open, body.
    outbox: Vec<(String, String, String, bool, Blob)>,
    /// The head of the engine.
    engine: Blob,
}

/// What a start goes on from.
pub struct Resumed {
    /// Where the engine is.
    pub place: StreamPosition,
    /// What must be stored before anything else.
    pub outbox: Vec<OutRevision>,
    /// How far the streams of results were, where that was kept beside it.
    pub places: Option<OutputPositions>,
}

/// Takes a checkpoint.
///
/// # Errors
///
/// An engine that cannot be saved: a defect.
pub fn save(engine: &mut Engine, place: StreamPosition, outbox: &[OutRevision]) -> Result<StateSnapshot> {
    let StateSnapshot { head: engine, chunks } = engine.save()?;
    let outbox = outbox.iter().cloned().map(|out| (out.subject, out.message_id, out.incident, out.open, Blob(out.body.to_vec())));
    let head = CheckpointHead { place, outbox: outbox.collect(), engine: Blob(engine) };
    Ok(StateSnapshot { head: FORMAT.encode(&head)?, chunks })
}

/// What is `loaded`, its engine filled from the newest checkpoint that can be used. What cannot be used is said loudly, and `fresh`
/// makes another engine for the next. `outgoing` turns what follows from rules that are gone into messages.
///
/// # Errors
///
/// Those of `fresh`.
pub async fn resume<L>(
    kept: &CheckpointStorage,
    loaded: L,
    fresh: &dyn Fn() -> Result<L>,
    engine_of: fn(&mut L) -> &mut Engine,
    outgoing: &dyn Fn(&[Revision]) -> Vec<OutRevision>,
) -> Result<(L, Option<Resumed>)> {
    let mut loaded = loaded;
    let mut nth = 0;
    while let Some(content) = kept.read(nth).await {
        let resumed = content.and_then(|(found, places)| {
            let resumed = restore(engine_of(&mut loaded), found, outgoing)?;
            Ok(Resumed { places, ..resumed })
        });
        match resumed {
            Ok(resumed) => return Ok((loaded, Some(resumed))),
            Err(error) => tracing::error!(error = format!("{error:#}"), "a checkpoint cannot be used"),
        }
        loaded = fresh()?;
        nth += 1;
    }
    if nth > 0 {
        tracing::error!(
            "no checkpoint can be used: windows, alerts and incidents begin empty; what was not acknowledged is read again, of workers all"
        );
    }
    Ok((loaded, None))
}

fn restore(engine: &mut Engine, found: LoadedSnapshot, outgoing: &dyn Fn(&[Revision]) -> Vec<OutRevision>) -> Result<Resumed> {
    let head: CheckpointHead = FORMAT.decode(&found.head)?;
    let of_gone = engine.restore(&LoadedSnapshot { head: head.engine.0, chunks: found.chunks })?;
    let outbox = head.outbox.into_iter().map(|(subject, message_id, incident, open, body)| OutRevision {
        subject,
        message_id,
        incident,
        open,
        body: Bytes::from(body.0),
    });
    Ok(Resumed { place: head.place, outbox: outbox.chain(outgoing(&of_gone)).collect(), places: None })
}

/// Says when the next checkpoint is due. What time it is, it is told.
pub struct Pace {
    every: Duration,
    taken: Instant,
    /// What taking the last one took.
    took: Duration,
}

impl Pace {
    /// One after `every`, unless that takes too much of the time.
    pub fn new(every: Duration, now: Instant) -> Self {
        Self { every, taken: now, took: Duration::ZERO }
    }

    /// Whether one is due, where keeping the last one took `keeping` of a processor.
    pub fn is_due(&self, now: Instant, keeping: Duration) -> bool {
        now.saturating_duration_since(self.taken) >= self.every.max((self.took + keeping) * SHARE)
    }

    /// One was taken until `now`, which took so long.
    pub fn taken(&mut self, now: Instant, took: Duration) {
        (self.taken, self.took) = (now, took);
    }
}
