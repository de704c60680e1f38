//! The engine over recorded events, at full speed: one thread reads and decodes, the caller's evaluates. `replay`, `test` and `backtest`
//! share it. It decides nothing and prints nothing.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, mpsc};

use anyhow::{Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{Engine, Input};
use crate::incident::revision::Revision;
use crate::io::decode::command::CommandOrigin;
use crate::io::decode::decoder::Decoder;
use crate::io::decode::message_info::MessageInfo;
use crate::io::decode::rejection::{RejectReason, Rejected};
use crate::io::files::recorded_events::{EventFiles, Line};
use crate::model::event::EventBatch;
use crate::process::report::replay_summary::DecodeCounts;

/// Decoded batches that wait for the engine.
const DECODED_BATCHES: usize = 2;

/// Gets each line that is not decoded, with the reason.
pub(crate) type OnReject<'a> = dyn FnMut(&Line<'_>, &RejectReason) + Send + 'a;

/// Replays files. `emit` gets the revisions in order. Returns the engine, for its counts, and those of decoding.
pub(crate) fn replay(
    mut engine: Engine,
    decoder: Decoder,
    files: EventFiles,
    bar: &ProgressBar,
    reject: &mut OnReject<'_>,
    emit: &mut dyn FnMut(Revision) -> Result<()>,
) -> Result<(Engine, DecodeCounts)> {
    let (to_engine, batches) = mpsc::sync_channel(DECODED_BATCHES);
    let counts = std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(files, decoder, bar, reject, &to_engine));
        let evaluate = |batch: EventBatch| engine.step(Input::Events(&batch)).into_iter().try_for_each(&mut *emit);
        // Where nobody takes the results any more, the receiver goes, and with it the reader.
        batches.into_iter().try_for_each(evaluate)?;
        reading.join().map_err(|_| anyhow!("the thread that reads the events panicked"))?
    })?;
    engine.step(Input::End).into_iter().try_for_each(emit)?;
    Ok((engine, counts))
}

fn read(
    mut files: EventFiles,
    mut decoder: Decoder,
    bar: &ProgressBar,
    reject: &mut OnReject<'_>,
    to_engine: &mpsc::SyncSender<EventBatch>,
) -> Result<DecodeCounts> {
    let mut rejected: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut lines = 0_u64;
    let mut reject = |line: &Line<'_>, reason: &RejectReason| {
        *rejected.entry(reason.code()).or_default() += 1;
        reject(line, reason);
    };
    let mut take = |line: Line<'_>, decoder: &mut Decoder| match &line.rejected {
        Some(reason) => reject(&line, reason),
        None => decoder.message(line.bytes, info_of(&line), &mut |bad: Rejected| reject(&line, &bad.reason)),
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
    Ok(DecodeCounts { rejected, unknown_words: Arc::clone(decoder.unknown_words().counts()) })
}

/// A recording says nothing of its lines but whether they are commands.
fn info_of(line: &Line<'_>) -> MessageInfo {
    MessageInfo { command: line.is_command.then_some(CommandOrigin::Recording), ..MessageInfo::default() }
}

/// A bar on standard error; hidden where that is no terminal.
pub(crate) fn progress(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}
