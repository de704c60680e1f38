//! `squelch replay`: the engine over files, at full speed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use crate::engine::Engine;
use crate::io::decode::decoder::Decoder;
use crate::io::decode::rejection::RejectReason;
use crate::io::files::recorded_events::{EventFiles, Line};
use crate::io::files::topology_file;
use crate::io::incident_message;
use crate::process::cli::answer::{Terminal, print_errors};
use crate::process::config::Config;
use crate::process::load::engine_params;
use crate::process::load_rules::{load_rules_with, lookups_folder};
use crate::process::replay::{progress, replay};
use crate::process::report::incidents_text;
use crate::process::report::replay_summary::summary;
use crate::process::telemetry::stopwatch::stopwatch;
use crate::topology::Topology;

/// Bad lines shown for each reason before the rest is only counted.
const REJECTED_SHOWN: u64 = 5;

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// A folder or file of rules
    #[arg(long, value_name = "DIR", required = true)]
    rules: Vec<PathBuf>,
    /// The folder of lookups that rules join [default: that of the settings, or lookups]
    #[arg(long, value_name = "DIR")]
    lookups: Option<PathBuf>,
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
    let lookups = lookups_folder(args.lookups.as_deref().or(config.lookups.as_deref()));
    let mut rules = load_rules_with(&args.rules, lookups.as_deref(), config.time_zone, style.color, &mut print_errors)?;
    let (params, _) = engine_params(&config)?;
    params.add_label_keys(&mut rules.label_keys);
    let graph = match &args.topology {
        Some(path) => Topology::new(topology_file::read(path)?),
        None => Topology::default(),
    };
    let mut out: Box<dyn Write + '_> = match &args.output {
        Some(path) => Box::new(BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)),
        None => Box::new(&mut terminal.out),
    };
    let decoder = Decoder::new(&rules.label_keys, i64::MAX);
    let engine = Engine::new(rules.rules, graph, &params)?;
    let files = EventFiles::open(&args.events, config.time.future.0).context("cannot open the events")?;
    let files = files.with_commands(&args.commands).context("cannot open the commands")?;
    let took = stopwatch();
    let bar = progress(files.bytes_total());
    let mut rejected = RejectedLines { bar: bar.clone(), shown: BTreeMap::new(), hidden: 0 };
    let mut reject = |line: &Line<'_>, reason: &RejectReason| rejected.log(line, reason);
    let (engine, counts) = replay(engine, decoder, files, &bar, &mut reject, &mut |revision| {
        let text = match args.format {
            OutputFormat::Json => incident_message::to_json(&revision),
            OutputFormat::Text => incidents_text::revision(&revision, style),
        };
        writeln!(out, "{text}")?;
        Ok(())
    })?;
    if rejected.hidden > 0 {
        tracing::warn!("{} more lines were rejected", rejected.hidden);
    }
    out.flush()?;
    summary(&mut std::io::stderr().lock(), &engine, &counts, took())?;
    Ok(())
}

/// Logs the first lines of each reason that are rejected, and counts the rest.
struct RejectedLines {
    bar: ProgressBar,
    shown: BTreeMap<&'static str, u64>,
    hidden: u64,
}

impl RejectedLines {
    fn log(&mut self, line: &Line<'_>, reason: &RejectReason) {
        let count = self.shown.entry(reason.code()).or_default();
        if *count == REJECTED_SHOWN {
            self.hidden += 1;
            return;
        }
        *count += 1;
        self.bar.suspend(|| tracing::warn!("{}:{}: {reason}", line.path.display(), line.number));
    }
}
