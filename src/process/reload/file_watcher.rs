//! Watches files that people change while squelch runs: checks them every so often, and on SIGHUP at once.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Deserializer};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::model::duration;
use crate::process::pipeline::Stop;
use crate::process::pipeline::messages::RawItem;

/// An editor may be in the middle of writing: files count once they were the same twice, this long apart.
const SETTLE: Duration = Duration::from_millis(200);
/// Files that keep changing are taken as they are after this many checks.
const SETTLE_CHECKS_MAX: usize = 20;
/// The shortest interval that may be set.
const EVERY_MIN_MS: i64 = 100;

/// How often files are checked: a duration, or `off`.
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

/// What `read` yields now, if that differs from what was `seen`; with `settle`, only once it stays the same.
pub(crate) fn changed<T: PartialEq>(seen: &T, settle: bool, read: impl Fn() -> T) -> Option<T> {
    let mut now = read();
    if now == *seen {
        return None;
    }
    for _ in 0..if settle { SETTLE_CHECKS_MAX } else { 0 } {
        std::thread::sleep(SETTLE);
        let again = read();
        if again == now {
            break;
        }
        now = again;
    }
    Some(now)
}

/// Listens for SIGHUP, which would otherwise end the process.
///
/// # Errors
///
/// The system refuses.
pub fn hangups() -> Result<Signal> {
    signal(SignalKind::hangup()).context("cannot listen for SIGHUP")
}

/// Calls `check` every so often and at each SIGHUP until the process stops, and sends what it finds. The argument of `check` says
/// whether to wait until files stay the same: not on SIGHUP, when somebody waits for them. `what` names the files in messages.
pub async fn watch<F: Send + 'static>(
    what: &'static str,
    mut files: F,
    check: fn(&mut F, bool) -> Option<RawItem>,
    every: Every,
    mut hangups: Signal,
    to_decoder: mpsc::Sender<RawItem>,
    mut stopped: Stop,
) {
    loop {
        let asked = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = hangups.recv() => true,
            () = pause(every) => false,
        };
        let checking = tokio::task::spawn_blocking(move || {
            let found = check(&mut files, !asked);
            (files, found)
        });
        let checked = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            checked = checking => checked,
        };
        let Ok((again, found)) = checked else {
            tracing::error!("{what} is not watched any more: a check panicked");
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
