//! What is in a checkpoint, and how a start goes on from one.
//!
//! A checkpoint is the engine after a message of the stream, with that message's position. While events come, all their results are
//! stored before it. What no event decides (silence, other rules) cannot be replayed. There the checkpoint is stored first, with the
//! results in it, so that a process that dies in between publishes exactly the same results after its restart. Where it has no results,
//! the checkpoint is stored before anything that follows from later events.

pub mod pace;
pub mod progress;
pub mod segments;
pub mod storage;

use anyhow::Result;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::incident::revision::Revision;
use crate::io::nats::cluster::checkpoint_store::OutputPositions;
use crate::io::nats::input::position::StreamPosition;
use crate::io::nats::output::results::{AlertUpdate, RevisionMessage};
use crate::model::snapshot::blob::Blob;
use crate::model::snapshot::versioned::StateFormat;
use crate::model::snapshot::{LoadedSnapshot, StateSnapshot};
use crate::process::checkpoint::storage::CheckpointStorage;

/// The format of the bytes.
const FORMAT: StateFormat = StateFormat { magic: *b"squelchH", version: 3 };

/// What a checkpoint contains besides its chunks.
#[derive(Serialize, Deserialize)]
struct CheckpointHead {
    position: StreamPosition,
    /// Results that may not be stored yet.
    outbox: Vec<OutboxMessage>,
    /// The head of the engine's snapshot.
    engine: Blob,
}

/// A revision that may not be stored yet, as bytes of a checkpoint.
#[derive(Serialize, Deserialize)]
struct OutboxMessage {
    subject: String,
    message_id: String,
    incident: String,
    open: bool,
    body: Blob,
    /// Subject, message id and body of the alerts that changed.
    alerts: Vec<(String, String, Blob)>,
}

/// What a start goes on from.
pub struct Resumed {
    /// Where the engine is.
    pub position: StreamPosition,
    /// What must be published before anything else.
    pub outbox: Vec<RevisionMessage>,
    /// How far the output streams were, where that was stored with it.
    pub output: Option<OutputPositions>,
}

/// Takes a checkpoint.
///
/// # Errors
///
/// An engine that cannot be saved: a defect.
pub fn save(engine: &mut Engine, position: StreamPosition, outbox: &[RevisionMessage]) -> Result<StateSnapshot> {
    let StateSnapshot { head: engine, chunks } = engine.save()?;
    let outbox = outbox.iter().map(OutboxMessage::from).collect();
    let head = CheckpointHead { position, outbox, engine: Blob(engine) };
    Ok(StateSnapshot { head: FORMAT.encode(&head)?, chunks })
}

/// Restores `loaded` from the newest checkpoint that can be used. One that cannot be used is logged as an error, and `fresh` makes
/// another engine for the next. `messages` turns what follows from rules that no longer exist into messages.
///
/// # Errors
///
/// Those of `fresh`.
pub async fn resume<L>(
    storage: &CheckpointStorage,
    loaded: L,
    fresh: &dyn Fn() -> Result<L>,
    engine_of: fn(&mut L) -> &mut Engine,
    messages: &dyn Fn(&[Revision]) -> Vec<RevisionMessage>,
) -> Result<(L, Option<Resumed>)> {
    let mut loaded = loaded;
    let mut nth = 0;
    while let Some(content) = storage.read(nth).await {
        let resumed = content.and_then(|(found, output)| {
            let resumed = restore(engine_of(&mut loaded), found, messages)?;
            Ok(Resumed { output, ..resumed })
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
            "no checkpoint can be used: windows, alerts and incidents begin empty; what was not acknowledged is read again, of workers everything"
        );
    }
    Ok((loaded, None))
}

fn restore(
    engine: &mut Engine,
    found: LoadedSnapshot,
    messages: &dyn Fn(&[Revision]) -> Vec<RevisionMessage>,
) -> Result<Resumed> {
    let head: CheckpointHead = FORMAT.decode(&found.head)?;
    let of_removed_rules = engine.restore(&LoadedSnapshot { head: head.engine.0, chunks: found.chunks })?;
    let outbox = head.outbox.into_iter().map(RevisionMessage::from);
    Ok(Resumed { position: head.position, outbox: outbox.chain(messages(&of_removed_rules)).collect(), output: None })
}

impl From<&RevisionMessage> for OutboxMessage {
    fn from(revision: &RevisionMessage) -> Self {
        let RevisionMessage { subject, message_id, incident, open, body, alerts } = revision.clone();
        let alerts = alerts.into_iter().map(|update| (update.subject, update.message_id, Blob(update.body.to_vec())));
        Self { subject, message_id, incident, open, body: Blob(body.to_vec()), alerts: alerts.collect() }
    }
}

impl From<OutboxMessage> for RevisionMessage {
    fn from(message: OutboxMessage) -> Self {
        let OutboxMessage { subject, message_id, incident, open, body, alerts } = message;
        let alerts =
            alerts.into_iter().map(|(subject, message_id, body)| AlertUpdate { subject, message_id, body: Bytes::from(body.0) });
        Self { subject, message_id, incident, open, body: Bytes::from(body.0), alerts: alerts.collect() }
    }
}
