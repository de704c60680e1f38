//! `squelch replay`: the engine over files, at full speed.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::edges::decode::{Decoder, MessageInfo, Rejected};
use crate::edges::files::events::EventFiles;
use crate::engine::{Engine, Input};
use crate::incident::Revision;
use crate::process::check::count;

/// Feeds one message after the other to an engine, in batches.
pub struct Feed {
    engine: Engine,
    decoder: Decoder,
    /// Rejected events by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

impl Feed {
    /// A feed that rejects nothing for lying in the future: a recording has no broker's clock.
    pub fn new(engine: Engine, decoder: Decoder) -> Self {
        Self { engine, decoder, rejected: BTreeMap::new() }
    }

    /// One message. Revisions go to `emit`, bad lines to `reject`.
    pub fn message(
        &mut self,
        bytes: &[u8],
        reject: &mut dyn FnMut(Rejected),
        emit: &mut dyn FnMut(Revision) -> Result<()>,
    ) -> Result<()> {
        let rejected = &mut self.rejected;
        self.decoder.message(bytes, MessageInfo::default(), &mut |bad| {
            *rejected.entry(bad.reason.code()).or_default() += 1;
            reject(bad);
        });
        if self.decoder.is_full() { self.flush(emit) } else { Ok(()) }
    }

    /// Hands what is decoded to the engine.
    pub fn flush(&mut self, emit: &mut dyn FnMut(Revision) -> Result<()>) -> Result<()> {
        let batch = self.decoder.take();
        self.engine.step(Input::Events(&batch)).into_iter().try_for_each(emit)
    }

    /// There are no more messages. Returns the engine.
    pub fn end(mut self, emit: &mut dyn FnMut(Revision) -> Result<()>) -> Result<Engine> {
        self.flush(emit)?;
        self.engine.step(Input::End).into_iter().try_for_each(emit)?;
        Ok(self.engine)
    }
}

/// Bad lines shown before the rest is only counted.
const REJECTED_SHOWN: u64 = 5;

/// Replays files through a feed. `emit` gets the revisions in order. Returns the engine, for its counts.
pub fn replay(
    mut feed: Feed,
    events: &[PathBuf],
    emit: &mut dyn FnMut(Revision) -> Result<()>,
) -> Result<(Engine, BTreeMap<&'static str, u64>)> {
    let mut files = EventFiles::open(events).context("cannot open the events")?;
    let bar = progress(files.bytes_total());
    let mut shown = 0;
    let mut lines = 0_u64;
    loop {
        let mut outcome = Ok(());
        let more = files.next(&mut |line| {
            let mut reject = |bad: Rejected| {
                shown += 1;
                if shown <= REJECTED_SHOWN {
                    bar.suspend(|| tracing::warn!("{}:{}: {}", line.path.display(), line.number, bad.reason));
                }
            };
            outcome = feed.message(line.bytes, &mut reject, emit);
        })?;
        outcome?;
        if !more {
            break;
        }
        lines += 1;
        if lines.is_multiple_of(1024) {
            bar.set_position(files.bytes_read());
        }
    }
    bar.finish_and_clear();
    if shown > REJECTED_SHOWN {
        tracing::warn!("{} more lines were rejected", shown - REJECTED_SHOWN);
    }
    let rejected = feed.rejected.clone();
    Ok((feed.end(emit)?, rejected))
}

fn progress(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

/// The summary that ends a replay.
pub fn summary(
    out: &mut dyn Write,
    engine: &Engine,
    rejected: &BTreeMap<&'static str, u64>,
    took: Duration,
) -> std::io::Result<()> {
    let stats = engine.stats();
    let seconds = took.as_secs_f64().max(1e-9);
    let notifications = stats.book.notifications;
    writeln!(out, "events         {} in {seconds:.2} s, {:.0} events/s", stats.events, stats.events as f64 / seconds)?;
    let bad: u64 = rejected.values().sum();
    if bad > 0 {
        let reasons: Vec<String> = rejected.iter().map(|(code, number)| format!("{code} {number}")).collect();
        writeln!(out, "rejected       {bad} ({})", reasons.join(", "))?;
    }
    let late: u64 = engine.rules().map(|(_, stats, _)| stats.late).sum();
    if late > 0 {
        writeln!(out, "late           {late} rows of rules' windows came later than the allowed lateness")?;
    }
    for (rule, stats, _) in engine.rules().filter(|(_, stats, _)| stats.errors > 0) {
        writeln!(out, "failing        {} failed {}", rule.name(), count(stats.errors as usize, "time"))?;
    }
    for (rule, stats, alerts) in engine.rules().filter(|(_, stats, alerts)| stats.overflow + alerts.over_limit > 0) {
        let (groups, over) = (stats.overflow, alerts.over_limit);
        writeln!(
            out,
            "over a limit   {}: {groups} rows found no room for their group, {over} breaches none for an alert",
            rule.name()
        )?;
    }
    for (index, (rule, stats, _)) in engine.rules().enumerate().filter(|(_, (_, stats, _))| stats.quarantines > 0) {
        let now = engine.evaluator().quarantine(index).map(|quarantine| format!(", now: {}", quarantine.reason));
        let times = count(stats.quarantines as usize, "time");
        writeln!(out, "quarantined    {} {times}{}", rule.name(), now.unwrap_or_default())?;
    }
    writeln!(out, "rules          {}", engine.rules().count())?;
    writeln!(out, "alerts         {}", stats.book.alerts)?;
    writeln!(out, "incidents      {} in {}", stats.book.opened, count(stats.book.revisions as usize, "revision"))?;
    write!(out, "notifications  {notifications}")?;
    if notifications > 0 {
        write!(out, ", one for {:.1} alerts", stats.book.alerts as f64 / notifications as f64)?;
    }
    writeln!(out)
}

/// A stopwatch: how long a replay or a stage took, for people alone.
#[expect(clippy::disallowed_methods, reason = "measures for summaries and metrics; no result depends on it")]
pub fn stopwatch() -> impl FnOnce() -> Duration {
    let started = Instant::now();
    move || started.elapsed()
}
