//! `squelch replay`: the engine over files, at full speed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{Engine, Input};
use crate::incident::revision::Revision;
use crate::io::decode::command::CommandOrigin;
use crate::io::decode::decoder::Decoder;
use crate::io::decode::message_info::MessageInfo;
use crate::io::decode::rejection::{RejectReason, Rejected};
use crate::io::files::recorded_events::{EventFiles, Line};
use crate::io::files::topology_file;
use crate::io::incident_message;
use crate::model::event::EventBatch;
use crate::process::cli::answer::{Terminal, print_errors};
use crate::process::config::Config;
use crate::process::load_rules::load_rules;
use crate::process::report::incidents_text;
use crate::process::report::replay_summary::{DecodeCounts, summary};
use crate::process::telemetry::stopwatch::stopwatch;
use crate::topology::Topology;

/// Bad lines shown for each reason before the rest is only counted.
const REJECTED_SHOWN: u64 = 5;
/// Decoded batches that wait for the engine.
const DECODED_BATCHES: usize = 2;

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// A folder or file of rules
    #[arg(long, value_name = "DIR", required = true)]
    rules: Vec<PathBuf>,
    /// The dependency graph, YAML or JSON
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Recorded events, one JSON object a line; .gz and .zst are inflated
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    events: Vec<PathBuf>,
    /// Recorded commands, one JSON object with `command` and `at` a line: docs/commands.md
    #[arg(long, value_name = "FILE", num_args = 1..)]
    commands: Vec<PathBuf>,
    /// Settings for time, correlation and notification
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the revisions here instead of to stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Form of the revisions
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OutputFormat {
    /// One JSON object a line
    #[default]
    Json,
    /// As a person would be told
    Text,
}

pub(crate) fn run(args: &ReplayArgs, terminal: &mut Terminal) -> Result<()> {
    let config = args.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let style = terminal.style;
    let mut rules = load_rules(&args.rules, style.color, &mut print_errors)?;
    config.topology.learn.add_label_keys(&mut rules.label_keys);
    let graph = match &args.topology {
        Some(path) => Topology::new(topology_file::read(path)?),
        None => Topology::default(),
    };
    let mut out: Box<dyn Write + '_> = match &args.output {
        Some(path) => Box::new(BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)),
        None => Box::new(&mut terminal.out),
    };
    let decoder = Decoder::new(&rules.label_keys, i64::MAX);
    let engine = Engine::new(rules.rules, graph, &config.engine())?;
    let files = EventFiles::open(&args.events, config.time.future.0).context("cannot open the events")?;
    let files = files.with_commands(&args.commands).context("cannot open the commands")?;
    let took = stopwatch();
    let (engine, counts) = replay(engine, decoder, files, &mut |revision| {
        let text = match args.format {
            OutputFormat::Json => incident_message::to_json(&revision),
            OutputFormat::Text => incidents_text::revision(&revision, style),
        };
        writeln!(out, "{text}")?;
        Ok(())
    })?;
    out.flush()?;
    summary(&mut std::io::stderr().lock(), &engine, &counts, took())?;
    Ok(())
}

/// Replays files: one thread reads and decodes, this one evaluates. `emit` gets the revisions in order. Returns the engine, for its
/// counts, and those of decoding.
fn replay(
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
    let hidden: u64 = rejected.values().map(|count| count.saturating_sub(REJECTED_SHOWN)).sum();
    if hidden > 0 {
        tracing::warn!("{hidden} more lines were rejected");
    }
    Ok(DecodeCounts { rejected, unknown_words: Arc::clone(decoder.unknown_words().counts()) })
}

/// A recording says nothing of its lines but whether they are commands.
fn info_of(line: &Line<'_>) -> MessageInfo {
    MessageInfo { command: line.is_command.then_some(CommandOrigin::Recording), ..MessageInfo::default() }
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
