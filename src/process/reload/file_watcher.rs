//! Files that people change under a running squelch: looked at every so often, and at once on SIGHUP.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Deserializer};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::model::duration;
use crate::process::pipeline::decode::ToDecoder;

/// An editor may be found in the middle of its work: files count when they were the same twice, so long apart.
const SETTLE: Duration = Duration::from_millis(200);
/// Looks for files that keep changing; then they are taken as they are.
const SETTLE_LOOKS_MAX: usize = 20;
/// The shortest time between two looks that may be asked for.
const EVERY_MIN_MS: i64 = 100;

/// How often files are looked at: a duration, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every(pub Option<Duration>);

impl Default for Every {
    fn default() -> Self {
        Self(Some(Duration::from_secs(5)))
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "off" {
            return Ok(Self(None));
        }
        let every_ms = duration::parse_ms(&text).map_err(serde::de::Error::custom)?;
        if every_ms < EVERY_MIN_MS {
            return Err(serde::de::Error::custom(format!("{text:?} is too often: write 1s or longer, or off")));
        }
        Ok(Self(Some(Duration::from_millis(every_ms as u64))))
    }
}

/// What `read` yields now, where that is not what was `seen`; with `settle`, only once it stays the same.
pub(crate) fn changed<T: PartialEq>(seen: &T, settle: bool, read: impl Fn() -> T) -> Option<T> {
    let mut now = read();
    if now == *seen {
        return None;
    }
    for _ in 0..if settle { SETTLE_LOOKS_MAX } else { 0 } {
        std::thread::sleep(SETTLE);
        let again = read();
        if again == now {
            break;
        }
        now = again;
    }
    Some(now)
}

/// Hears SIGHUP, which would end the process if nobody did.
///
/// # Errors
///
/// The signal cannot be listened for.
pub fn hangups() -> Result<Signal> {
    signal(SignalKind::hangup()).context("cannot listen for SIGHUP")
}

/// Calls `look` every so often and at each SIGHUP until told to stop; hands what it finds on in order with what is read. `look` is
/// told whether files that change are waited for: not by somebody who asks for them now. `what` stands in messages.
pub async fn watch<F: Send + 'static>(
    what: &'static str,
    mut files: F,
    look: fn(&mut F, bool) -> Option<ToDecoder>,
    every: Every,
    mut hangups: Signal,
    to_decoder: mpsc::Sender<ToDecoder>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let asked = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = hangups.recv() => true,
            () = pause(every) => false,
        };
        let looking = tokio::task::spawn_blocking(move || {
            let found = look(&mut files, !asked);
            (files, found)
        });
        let looked = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            looked = looking => looked,
        };
        let Ok((again, found)) = looked else {
            tracing::error!("{what} is not looked at any more: a look at it panicked");
            return;
        };
        files = again;
        if let Some(found) = found
            && to_decoder.send(found).await.is_err()
        {
            return;
        }
    }
}

async fn pause(every: Every) {
    match every.0 {
        Some(every) => tokio::time::sleep(every).await,
        None => std::future::pending().await,
    }
}
