//! `squelch replay`: the engine over files, at full speed.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{Engine, Input};
use crate::incident::revision::Revision;
use crate::io::decode::decoder::Decoder;
use crate::io::decode::message_info::MessageInfo;
use crate::io::decode::rejection::{RejectReason, Rejected};
use crate::io::decode::unknown_words::UnknownWord;
use crate::io::files::recorded_events::{EventFiles, Line};
use crate::model::event::EventBatch;
use crate::process::cli::check::count;

/// Bad lines shown for each reason before the rest is only counted.
const REJECTED_SHOWN: u64 = 5;
/// Decoded batches that wait for the engine.
const DECODED_BATCHES: usize = 2;

/// What decoding counted.
#[derive(Debug, Default)]
pub struct DecodeCounts {
    /// Rejected events, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Unknown words of other systems' alerts.
    pub unknown_words: Arc<BTreeMap<UnknownWord, u64>>,
}

/// Replays files: one thread reads and decodes, this one evaluates. `emit` gets the revisions in order. Returns the engine, for its
/// counts, and those of decoding.
pub fn replay(
    mut engine: Engine,
    decoder: Decoder,
    files: EventFiles,
    emit: &mut dyn FnMut(Revision) -> Result<()>,
) -> Result<(Engine, DecodeCounts)> {
    let (to_engine, batches) = mpsc::sync_channel(DECODED_BATCHES);
    let counts = std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(files, decoder, &to_engine));
        let evaluate = |batch: EventBatch| engine.step(Input::Events(&batch)).into_iter().try_for_each(&mut *emit);
        // Where nobody takes the results any more, the receiver goes, and with it the reader.
        batches.into_iter().try_for_each(evaluate)?;
        reading.join().map_err(|_| anyhow!("the thread that reads the events panicked"))?
    })?;
    engine.step(Input::End).into_iter().try_for_each(emit)?;
    Ok((engine, counts))
}

fn read(mut files: EventFiles, mut decoder: Decoder, to_engine: &mpsc::SyncSender<EventBatch>) -> Result<DecodeCounts> {
    let bar = progress(files.bytes_total());
    let mut rejected: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut lines = 0_u64;
    let mut reject = |line: &Line<'_>, reason: &RejectReason| {
        let count = rejected.entry(reason.code()).or_default();
        *count += 1;
        if *count <= REJECTED_SHOWN {
            bar.suspend(|| tracing::warn!("{}:{}: {reason}", line.path.display(), line.number));
        }
    };
    let mut take = |line: Line<'_>, decoder: &mut Decoder| match &line.rejected {
        Some(reason) => reject(&line, reason),
        None => decoder.message(line.bytes, MessageInfo::default(), &mut |bad: Rejected| reject(&line, &bad.reason)),
    };
    while files.next(&mut |line| take(line, &mut decoder))? {
        lines += 1;
        if lines.is_multiple_of(1024) {
            bar.set_position(files.bytes_read());
        }
        if decoder.is_full() && to_engine.send(decoder.take()).is_err() {
            break;
        }
    }
    // Where the engine is gone, so is the reason to read on, and it says why.
    drop(to_engine.send(decoder.take()));
    bar.finish_and_clear();
    let hidden: u64 = rejected.values().map(|count| count.saturating_sub(REJECTED_SHOWN)).sum();
    if hidden > 0 {
        tracing::warn!("{hidden} more lines were rejected");
    }
    Ok(DecodeCounts { rejected, unknown_words: Arc::clone(decoder.unknown_words().counts()) })
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
pub fn summary(out: &mut dyn Write, engine: &Engine, counts: &DecodeCounts, took: Duration) -> std::io::Result<()> {
    let stats = engine.stats();
    let seconds = took.as_secs_f64().max(1e-9);
    let notifications = stats.book.notifications;
    writeln!(out, "events         {} in {seconds:.2} s, {:.0} events/s", stats.events, stats.events as f64 / seconds)?;
    let bad: u64 = counts.rejected.values().sum();
    if bad > 0 {
        let reasons: Vec<String> = counts.rejected.iter().map(|(code, number)| format!("{code} {number}")).collect();
        writeln!(out, "rejected       {bad} ({})", reasons.join(", "))?;
    }
    for (field, handling) in [("severity", "taken as a warning"), ("status", "rejected")] {
        let words = counts.unknown_words.iter().filter(|(unknown, _)| unknown.field == field);
        let words: Vec<String> = words.map(|(unknown, number)| format!("{:?} {number}", unknown.word)).collect();
        if !words.is_empty() {
            writeln!(out, "unknown {field:<8} of other systems' alerts, {handling}: {}", words.join(", "))?;
        }
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
    let topology = engine.topology_size();
    if topology.version > 1 {
        let learned: usize = topology.edges.iter().filter(|(source, _)| *source == "learned").map(|(_, edges)| edges).sum();
        let edges = count(learned, "edge");
        writeln!(out, "topology       {edges} learned at the end, version {}", topology.version)?;
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
