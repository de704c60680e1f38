//! The summary in figures that ends a replay and the demo.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::io::decode::unknown_words::UnknownWord;
use crate::process::report::plural::count;

/// What decoding counted.
#[derive(Debug, Default)]
pub struct DecodeCounts {
    /// Rejected events, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Unknown words of other systems' alerts.
    pub unknown_words: Arc<BTreeMap<UnknownWord, u64>>,
}

/// Writes the summary of what an engine has done.
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
