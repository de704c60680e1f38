//! `squelch backtest`: other rules over events that were recorded, beside the rules as they are.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::engine::Engine;
use crate::io::decode::decoder::Decoder;
use crate::io::decode::rejection::RejectReason;
use crate::io::files::recorded_events::{EventFiles, Line};
use crate::io::files::topology_file;
use crate::process::backtest::difference::difference;
use crate::process::backtest::faults::{self, Fault};
use crate::process::backtest::pages::{PageCollector, RunResult};
use crate::process::backtest::report::{Backtest, Trial, text, to_json};
use crate::process::cli::answer::{Terminal, print_errors};
use crate::process::config::Config;
use crate::process::load_rules::load_rules;
use crate::process::replay::{progress, replay};
use crate::rule::check::{LoadedRules, from_texts};
use crate::topology::Topology;

#[derive(Args, Debug)]
pub(crate) struct BacktestArgs {
    /// A folder or file of rules: those that are tried
    #[arg(long, value_name = "DIR", required = true)]
    rules: Vec<PathBuf>,
    /// The rules as they are, to compare with
    #[arg(long, value_name = "DIR")]
    against: Vec<PathBuf>,
    /// Recorded events, one JSON object a line; .gz and .zst are inflated
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    events: Vec<PathBuf>,
    /// Recorded commands: docs/commands.md
    #[arg(long, value_name = "FILE", num_args = 1..)]
    commands: Vec<PathBuf>,
    /// The dependency graph, YAML or JSON
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Settings for time, correlation and notification
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Faults that are known: a YAML list of `name`, `entities`, `from`, `to` and `env`
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// A rule of which a threshold is varied; goes with --threshold and --values
    #[arg(long, value_name = "RULE", requires = "threshold", requires = "values")]
    what_if: Option<String>,
    /// The threshold as it stands in the rule's SQL
    #[arg(long, value_name = "NUMBER", requires = "what_if")]
    threshold: Option<String>,
    /// The thresholds to try, with commas between them
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', requires = "what_if")]
    values: Vec<String>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

pub(crate) fn run(args: &BacktestArgs, terminal: &mut Terminal) -> Result<()> {
    let config = args.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let graph = match &args.topology {
        Some(path) => Topology::new(topology_file::read(path)?),
        None => Topology::default(),
    };
    let faults = args.faults.as_deref().map(faults::read).transpose()?.unwrap_or_default();
    let color = terminal.style.color;
    let load = |paths: &[PathBuf]| load_rules(paths, color, &mut print_errors);
    let new_rules = load(&args.rules)?;
    let varied = varied(args, &new_rules)?;
    let old_rules = if args.against.is_empty() { None } else { Some(load(&args.against)?) };
    let run_of = |rules: LoadedRules| over_events(args, &config, rules, graph.clone());
    let old = old_rules.map(run_of).transpose()?;
    let new = run_of(new_rules)?;
    let mut trials = Vec::new();
    for (threshold, rules) in varied {
        let result = run_of(rules)?;
        trials.push(trial(args, threshold, &result, &faults));
    }
    let difference = old.as_ref().map(|old| difference(&old.pages, &new.pages));
    let backtest = Backtest { old: old.as_ref(), new: &new, difference, faults: &faults, trials: &trials };
    match args.format {
        OutputFormat::Text => write!(terminal.out, "{}", text(&backtest))?,
        OutputFormat::Json => writeln!(terminal.out, "{}", to_json(&backtest))?,
    }
    Ok(())
}

fn trial(args: &BacktestArgs, threshold: String, result: &RunResult, faults: &[Fault]) -> Trial {
    let rule = args.what_if.as_deref().unwrap_or_default();
    Trial {
        threshold,
        alerts_of_rule: result.by_rule.get(rule).copied().unwrap_or(0),
        pages: result.pages.len(),
        faults_seen: faults.iter().filter(|fault| fault.first_page(&result.pages).is_some()).count(),
    }
}

/// The rules with each of the thresholds.
fn varied(args: &BacktestArgs, rules: &LoadedRules) -> Result<Vec<(String, LoadedRules)>> {
    let (Some(name), Some(threshold)) = (&args.what_if, &args.threshold) else { return Ok(Vec::new()) };
    let Some(rule) = rules.rules.iter().find(|rule| rule.name() == name) else { bail!("no rule is called {name}") };
    let sql = rule.file.sql();
    let places: Vec<usize> = places_of(&sql, threshold);
    if places.is_empty() {
        bail!("{threshold} does not stand in the SQL of {name}: give the threshold as it is written there");
    }
    let with = |value: &String| {
        let mut text = rule.file.text.to_string();
        for place in places.iter().rev() {
            text.replace_range(*place..place + threshold.len(), value);
        }
        let files = rules.rules.iter().map(|other| {
            let text = if other.name() == name { Arc::from(text.as_str()) } else { Arc::clone(&other.file.text) };
            (other.file.path.clone(), text)
        });
        let loaded = from_texts(files.collect()).with_context(|| format!("{name} with the threshold {value}"))?;
        Ok((value.clone(), loaded))
    };
    args.values.iter().map(with).collect()
}

/// Where a number stands in SQL, as a number of its own. Comments are left as they are.
fn places_of(sql: &str, number: &str) -> Vec<usize> {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.');
    let in_comment = |at: usize| sql[..at].rsplit('\n').next().is_some_and(|line| line.contains("--"));
    let found = sql.match_indices(number).map(|(at, _)| at);
    found
        .filter(|at| {
            let (before, after) = (sql[..*at].chars().next_back(), sql[at + number.len()..].chars().next());
            !is_part(before) && !is_part(after) && !in_comment(*at)
        })
        .collect()
}

fn over_events(args: &BacktestArgs, config: &Config, mut rules: LoadedRules, graph: Topology) -> Result<RunResult> {
    config.topology.learn.add_label_keys(&mut rules.label_keys);
    let decoder = Decoder::new(&rules.label_keys, i64::MAX);
    let engine = Engine::new(rules.rules, graph, &config.engine())?;
    let files = EventFiles::open(&args.events, config.time.future.0).context("cannot open the events")?;
    let files = files.with_commands(&args.commands).context("cannot open the commands")?;
    let bar = progress(files.bytes_total());
    let mut pages = PageCollector::default();
    let mut reject = |line: &Line<'_>, reason: &RejectReason| {
        tracing::debug!("{}:{}: {reason}", line.path.display(), line.number);
    };
    let (_, counts) = replay(engine, decoder, files, &bar, &mut reject, &mut |revision| {
        pages.take(&revision);
        Ok(())
    })?;
    let rejected: u64 = counts.rejected.values().sum();
    if rejected > 0 {
        tracing::warn!("{rejected} lines were rejected: `squelch replay` shows them");
    }
    Ok(pages.finish())
}

#[cfg(test)]
mod tests {
    use super::places_of;

    #[test]
    fn a_threshold_is_a_number_of_its_own() {
        let sql = "-- at 80 and above\nSELECT p80, 80.5, 180 FROM m HAVING avg(value) >= 80 AND x > 80";
        let places = places_of(sql, "80");
        assert_eq!(places.len(), 2);
        assert!(places.iter().all(|at| sql[..*at].ends_with(">= ") || sql[..*at].ends_with("> ")));
    }
}
