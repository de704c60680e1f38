//! Where checkpoints are kept: in a folder of this machine, or in JetStream for whichever process holds the lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::edges::files::checkpoint::Checkpoints;
use crate::edges::nats::lease::NotStored;
use crate::edges::nats::state::{Places, StateError, StateStore};
use crate::process::config::Config;
use crate::process::cpu::stopwatch_ns;
use crate::process::metrics::Telemetry;

/// How long to wait after a look that the server did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often a checkpoint that results wait for is tried before it is given up.
const TRIES_BEFORE: u32 = 5;

/// Where checkpoints are kept.
#[derive(Clone)]
pub enum Kept {
    /// Nowhere.
    Off,
    /// In a folder.
    Dir(Arc<Checkpoints>),
    /// In JetStream.
    Store(Box<StateStore>),
}

impl Kept {
    /// What the settings say, where that is this machine's matter.
    ///
    /// # Errors
    ///
    /// The folder cannot be used.
    pub fn here(config: &Config) -> Result<Self> {
        let Some(dir) = config.checkpoint.dir.as_deref().filter(|_| config.checkpoint.store.is_none()) else {
            return Ok(Kept::Off);
        };
        let kept = Checkpoints::open(dir, &config.input.consumer)
            .context("cannot keep checkpoints: set checkpoint.dir in squelch.yaml to a folder that can be written, or to off")?;
        Ok(Kept::Dir(Arc::new(kept)))
    }

    /// Whether any are.
    pub fn is_on(&self) -> bool {
        !matches!(self, Kept::Off)
    }

    /// The newest, or an older one, and how far the streams of results were then, where that is known.
    pub async fn read(&self, nth: usize) -> Option<Result<(Vec<u8>, Option<Places>)>> {
        match self {
            Kept::Off => None,
            Kept::Dir(kept) => kept.read(nth).map(|content| Ok((content?, None))),
            Kept::Store(kept) => loop {
                match kept.read(nth).await? {
                    // Nobody begins with nothing because the server does not answer for a moment.
                    Err(error @ StateError::Unread { .. }) if !kept.is_lost() => {
                        tracing::warn!(%error, "trying again");
                        sleep(RETRY_AFTER).await;
                    }
                    read => return Some(read.map(|(content, places)| (content, Some(places))).map_err(Into::into)),
                }
            },
        }
    }

    /// Keeps a checkpoint, counted. One that cannot be kept leaves the one before: a restart has more to read again.
    pub async fn keep(&self, content: Option<Vec<u8>>, places: Places, waited_for: bool, telemetry: &Telemetry) {
        let Some(content) = content.filter(|_| self.is_on()) else { return };
        let content = Arc::new(content);
        let mut left = if waited_for && matches!(self, Kept::Store(_)) { TRIES_BEFORE } else { 1 };
        loop {
            left -= 1;
            telemetry.keeping.failed("keeping it takes its time".into());
            let written = self.write(Arc::clone(&content), places).await;
            telemetry.keeping.over();
            let error = match written {
                Ok(()) => {
                    telemetry.checkpoint_at_ns.store(stopwatch_ns().max(1), Ordering::Relaxed);
                    telemetry.checkpoints.fetch_add(1, Ordering::Relaxed);
                    telemetry.checkpoint_bytes.store(content.len() as u64, Ordering::Relaxed);
                    return;
                }
                // Another process keeps them now.
                Err(NotStored::LeaseLost(_)) => return,
                Err(NotStored::Failed(error)) => error,
            };
            telemetry.checkpoint_failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(error, "a checkpoint could not be kept; the one before stays. Is the disk full?");
            if left == 0 {
                return;
            }
            sleep(RETRY_AFTER).await;
        }
    }

    async fn write(&self, content: Arc<Vec<u8>>, places: Places) -> Result<(), NotStored> {
        match self {
            Kept::Off => Ok(()),
            Kept::Store(kept) => kept.write(&content, places).await,
            Kept::Dir(kept) => {
                let kept = Arc::clone(kept);
                let failed = |error: &dyn std::fmt::Display| NotStored::Failed(error.to_string());
                match tokio::task::spawn_blocking(move || kept.write(&content)).await {
                    Ok(written) => written.map_err(|error| failed(&error)),
                    Err(error) => Err(failed(&error)),
                }
            }
        }
    }
}
