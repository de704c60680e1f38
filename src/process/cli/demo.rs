//! `squelch demo`: a recorded night of a chat product. Prints what was found, and what nobody was woken for.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::demo;
use crate::engine::{Engine, EngineParams, Input};
use crate::incident::id::IncidentId;
use crate::incident::revision::Revision;
use crate::io::decode::decoder::Decoder;
use crate::io::decode::message_info::MessageInfo;
use crate::io::files::topology_file;
use crate::model::time::format_clock;
use crate::process::cli::answer::Terminal;
use crate::process::report::incidents_text::{self, Style};
use crate::process::report::plural::count;
use crate::process::report::replay_summary::{DecodeCounts, summary};
use crate::process::shipped_rules;
use crate::process::telemetry::stopwatch::stopwatch;
use crate::topology::Topology;

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Another night: other noise, the same story
    #[arg(long, value_name = "NUMBER", default_value_t = demo::SEED)]
    seed: u64,
    /// Write the recorded events as JSON lines to this file instead of telling the story
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Write the demo's topology to this file as well
    #[arg(long, value_name = "FILE", requires = "events")]
    topology: Option<PathBuf>,
}

pub(crate) fn run(args: DemoArgs, terminal: &mut Terminal) -> Result<()> {
    let DemoArgs { seed, events, topology } = args;
    let Some(events) = events else { return show(seed, &mut terminal.out, terminal.style) };
    let recording = demo::record(seed);
    write_file(&events, &recording.events)?;
    topology.map_or(Ok(()), |path| write_file(&path, recording.topology_yaml.as_bytes()))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs the demo and prints what came out.
pub fn show(seed: u64, out: &mut dyn Write, style: Style) -> Result<()> {
    let recording = demo::record(seed);
    let book = shipped_rules::load()?;
    let rules = book.rules.len();
    let graph = Topology::new(topology_file::parse(recording.topology_yaml, "demo topology")?);
    let (nodes, edges) = graph.size();
    writeln!(
        out,
        "A night of a chat product, {} to {} UTC: {} events of three environments, {rules} rules, {nodes} nodes and {edges} edges.\n",
        format_clock(recording.started_at_ms),
        format_clock(recording.ended_at_ms),
        recording.events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(),
    )?;
    writeln!(out, "{}", heading("Who was notified of what", style))?;
    let took = stopwatch();
    let (engine, revisions) = replay(&recording, book, graph.clone(), out, style)?;
    let took = took();
    let last = last_revisions(&revisions);
    writeln!(out, "\n{}", heading("What broke", style))?;
    for revision in last.values().filter(|revision| revision.entity_names().len() > 1) {
        writeln!(
            out,
            "{} {}, {} to {}",
            revision.severity,
            revision.env,
            format_clock(revision.started_at),
            revision.resolved_at.map_or("now".into(), format_clock)
        )?;
        write!(out, "{}", incidents_text::tree(revision, &graph, style))?;
        writeln!(out, "  one incident because")?;
        writeln!(out, "{}", incidents_text::links(revision))?;
    }
    writeln!(out, "{}", heading("What nobody was notified of, and why", style))?;
    write!(out, "{}", silences(&revisions))?;
    writeln!(out, "\n{}", heading("In numbers", style))?;
    summary(out, &engine, &DecodeCounts::default(), took)?;
    Ok(())
}

/// Replays a recording, printing each message as it would go out.
fn replay(
    recording: &demo::Recording,
    book: crate::rule::check::LoadedRules,
    graph: Topology,
    out: &mut dyn Write,
    style: Style,
) -> Result<(Engine, Vec<Revision>)> {
    let mut decoder = Decoder::new(&book.label_keys, i64::MAX);
    let mut engine = Engine::new(book.rules, graph, &EngineParams::default())?;
    let mut revisions = Vec::new();
    let mut emit = |revision: Revision| {
        if revision.decision.is_sent() {
            writeln!(out, "{}", incidents_text::revision(&revision, style))?;
        }
        revisions.push(revision);
        anyhow::Ok(())
    };
    for line in recording.events.split(|byte| *byte == b'\n') {
        decoder.message(line, MessageInfo::default(), &mut |bad| tracing::warn!("{}", bad.reason));
    }
    engine.step(Input::Events(&decoder.take())).into_iter().try_for_each(&mut emit)?;
    engine.step(Input::End).into_iter().try_for_each(&mut emit)?;
    Ok((engine, revisions))
}

fn last_revisions(revisions: &[Revision]) -> BTreeMap<(i64, &IncidentId), &Revision> {
    let by_id: BTreeMap<&IncidentId, &Revision> = revisions.iter().map(|revision| (&revision.id, revision)).collect();
    by_id
        .into_iter()
        .filter(|(_, revision)| revision.merged_into.is_none())
        .map(|(id, revision)| ((revision.started_at, id), revision))
        .collect()
}

/// Reasons for silence, with how often each was given.
fn silences(revisions: &[Revision]) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for revision in revisions.iter().filter(|revision| !revision.decision.is_sent()) {
        *reasons.entry(revision.decision.kind()).or_default() += 1;
    }
    let mut by_number: Vec<(usize, &str)> = reasons.into_iter().map(|(reason, number)| (number, reason)).collect();
    by_number.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    by_number.into_iter().map(|(number, reason)| format!("  {:<13} {reason}\n", count(number, "revision"))).collect()
}

fn heading(text: &str, style: Style) -> String {
    if style.color { style.bold(text) } else { format!("{text}\n{}", "-".repeat(text.len())) }
}
