//! `squelch signals`: which series of recorded events are known as what, and which as nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use clap::Args;

use crate::io::decode::decoder::Decoder;
use crate::io::decode::message_info::MessageInfo;
use crate::io::files::recorded_events::EventFiles;
use crate::model::event::{EventBatch, Kind, LabelKeys};
use crate::model::signal::proposal::propose;
use crate::process::cli::answer::Terminal;
use crate::process::config::Config;
use crate::process::load::engine_params;
use crate::process::report::plural::count;

/// Names without a role that are listed; of more, only the number.
const UNKNOWN_SHOWN: usize = 100;

#[derive(Args, Debug)]
pub(crate) struct SignalsArgs {
    /// Recorded events, one JSON object a line; .gz and .zst are inflated
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    events: Vec<PathBuf>,
    /// Settings, of which `signals` is read
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What was seen of a name.
#[derive(Debug, Default)]
struct Seen {
    samples: u64,
    signals: u64,
    roles: BTreeSet<String>,
    /// Services, or hosts where there is no service.
    about: BTreeSet<String>,
}

pub(crate) fn run(args: &SignalsArgs, terminal: &mut Terminal) -> Result<()> {
    let config = args.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let mut label_keys = LabelKeys::default();
    label_keys.read_signals();
    engine_params(&config)?.0.add_label_keys(&mut label_keys);
    let mut decoder = Decoder::new(&label_keys, i64::MAX);
    let mut files = EventFiles::open(&args.events, config.time.future.0).context("cannot open the events")?;
    let mut names: BTreeMap<(Kind, String), Seen> = BTreeMap::new();
    let info = MessageInfo::default();
    while files.next(&mut |line| {
        if line.rejected.is_none() {
            decoder.message(line.bytes, info, &mut |_| {});
        }
    })? {
        if decoder.is_full() {
            add(&mut names, &decoder.take());
        }
    }
    add(&mut names, &decoder.take());
    report(&names, &mut terminal.out)
}

fn add(names: &mut BTreeMap<(Kind, String), Seen>, batch: &EventBatch) {
    let metrics = &batch.tables[Kind::Metric as usize];
    for name in texts(metrics, "name").iter().flatten() {
        names.entry((Kind::Metric, name.into())).or_default().samples += 1;
    }
    let signals = &batch.tables[Kind::Signal as usize];
    let columns = ["name", "role", "resource", "service", "host"].map(|name| texts(signals, name));
    for row in 0..signals.num_rows() {
        let [name, role, resource, service, host] = columns.map(|texts| texts.is_valid(row).then(|| texts.value(row)));
        let known = names.get_mut(&(Kind::Metric, name.unwrap_or_default().to_string()));
        // Spans and logs are signals without a mapping: they are listed by what they are, not by each operation's name.
        let seen = match known {
            Some(seen) => seen,
            None if name == Some("log") => names.entry((Kind::Log, "logs of errors".into())).or_default(),
            None => names.entry((Kind::Span, "spans".into())).or_default(),
        };
        seen.signals += 1;
        seen.roles.insert(resource.map_or(role.unwrap_or_default().into(), |of| format!("{} ({of})", role.unwrap_or_default())));
        seen.about.extend(service.or(host).map(String::from));
    }
}

fn texts<'b>(table: &'b RecordBatch, name: &str) -> &'b StringViewArray {
    match table.column_by_name(name) {
        Some(column) => column.as_string_view(),
        None => unreachable!("the table has no column {name}"),
    }
}

fn report(names: &BTreeMap<(Kind, String), Seen>, out: &mut dyn Write) -> Result<()> {
    let (known, mut unknown): (Vec<_>, Vec<_>) = names.iter().partition(|(_, seen)| seen.signals > 0);
    writeln!(out, "{} known:", count(known.len(), "name"))?;
    for ((kind, name), seen) in known {
        let roles = seen.roles.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let about = count(seen.about.len(), "target");
        let part = if *kind == Kind::Metric && seen.signals < seen.samples { ", some of its series" } else { "" };
        writeln!(out, "  {name}: {roles} of {about}{part}")?;
    }
    if unknown.is_empty() {
        return Ok(());
    }
    unknown.sort_by_key(|((_, name), seen)| (std::cmp::Reverse(seen.samples), name.clone()));
    writeln!(
        out,
        "\n{} without a role, busiest first. If a proposal is right, copy it to your mapping, under `signals:`",
        count(unknown.len(), "name")
    )?;
    for ((_, name), seen) in unknown.iter().take(UNKNOWN_SHOWN) {
        let proposal = propose(name).unwrap_or_else(|| "no word of it says what it is".into());
        writeln!(out, "  {name}, {}: {proposal}", count(seen.samples as usize, "sample"))?;
    }
    if unknown.len() > UNKNOWN_SHOWN {
        writeln!(out, "  and {} more", unknown.len() - UNKNOWN_SHOWN)?;
    }
    Ok(())
}
