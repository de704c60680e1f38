//! `squelch import`: rule files of other systems as squelch's.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::io::files::bounded_text;
use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::report::Report;
use crate::model::limits::TEST_FILE_BYTES_MAX;
use crate::process::cli::answer::{Answer, Terminal, print_errors};
use crate::process::cli::output_file::write_file;
use crate::process::import::prometheus::rule_file::{self, Makes, RuleDefinition};
use crate::process::import::prometheus::rule_sql::{Records, Written, file_name, translate_rule};
use crate::process::report::plural::count;
use crate::rule::check::from_texts;

#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    system: System,
}

#[derive(Subcommand, Debug)]
enum System {
    /// Rule files of Prometheus: each alert becomes a rule in SQL, with the original as a comment and a test
    ///
    /// Recording rules are written out where they are read. What cannot be the same is refused with its place and the reason, and
    /// everything else goes on. See docs/import.md.
    #[command(after_help = "Example:\n  squelch import prometheus alerts.yaml --output rules/imported")]
    Prometheus(PrometheusArgs),
}

#[derive(Args, Debug)]
struct PrometheusArgs {
    /// Rule files; a Kubernetes PrometheusRule is one
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write the rules below this folder, a folder for each group
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// A label that series have beyond those that the rules name: their alerts get it
    #[arg(long = "label", value_name = "NAME")]
    labels: Vec<String>,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &ImportArgs, terminal: &mut Terminal) -> Result<Answer> {
    let System::Prometheus(args) = &args.system;
    prometheus(args, terminal)
}

fn prometheus(args: &PrometheusArgs, terminal: &mut Terminal) -> Result<Answer> {
    let (mut report, mut rules) = (Report::default(), Vec::new());
    for path in &args.files {
        let text = bounded_text::read(path, TEST_FILE_BYTES_MAX).with_context(|| format!("cannot read {}", path.display()))?;
        rules.extend(rule_file::read(path, &text.into(), &mut report));
    }
    let records = Records::of(&rules);
    let alerts: Vec<&RuleDefinition> = rules.iter().filter(|rule| matches!(rule.makes, Makes::Alert(_))).collect();
    let names = names(&alerts);
    let mut all = Vec::new();
    for (rule, name) in alerts.iter().zip(&names) {
        match translate_rule(rule, name, &records, &args.labels).and_then(checked) {
            Ok(written) => all.push(written),
            Err(why) => report.add(&rule.path, Diagnostic::without_hint(rule.span.clone(), format!("{name}: {why}"))),
        }
    }
    refuse_to_overwrite(&all, args)?;
    let mut tests = 0;
    for written in &all {
        write_file(&args.output.join(&written.path), &written.text)?;
        if let Some((path, text)) = &written.test {
            write_file(&args.output.join(path), text)?;
            tests += 1;
        }
    }
    report.sort();
    print_errors(&report.render(terminal.style.color));
    let (refused, made) = (alerts.len() - all.len(), count(all.len(), "rule"));
    let recorded = rules.len() - alerts.len();
    write!(terminal.out, "{made} with {} in {}", count(tests, "test"), args.output.display())?;
    if recorded > 0 {
        write!(terminal.out, ", {} written out where they are read", count(recorded, "recording rule"))?;
    }
    if refused > 0 {
        write!(terminal.out, ", {} refused", count(refused, "alert"))?;
    }
    writeln!(terminal.out)?;
    Ok(if report.is_empty() { Answer::Yes } else { Answer::No })
}

/// A name for each alert, unique: several that share one are told apart by their severities, then by numbers.
fn names(alerts: &[&RuleDefinition]) -> Vec<String> {
    let name_of = |rule: &RuleDefinition| match &rule.makes {
        Makes::Alert(name) | Makes::Record(name) => file_name(name),
    };
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    alerts.iter().for_each(|rule| *uses.entry(name_of(rule)).or_default() += 1);
    let mut taken = BTreeSet::new();
    alerts
        .iter()
        .map(|rule| {
            let name = name_of(rule);
            let severity = rule.labels.get("severity").map_or("warning".into(), |severity| file_name(severity));
            let first = if uses.get(&name) == Some(&1) { name.clone() } else { format!("{name}.{severity}") };
            let mut unique = first.clone();
            let mut number = 2;
            while !taken.insert(unique.clone()) {
                unique = format!("{first}.{number}");
                number += 1;
            }
            unique
        })
        .collect()
}

/// The rule, if `squelch check` finds nothing wrong with it.
fn checked(written: Written) -> Result<Written, String> {
    match from_texts(vec![(written.path.clone(), Arc::from(written.text.as_str()))]) {
        Ok(_) => Ok(written),
        Err(report) => {
            let first = report.diagnostics().next().map(|(_, wrong)| wrong.message.clone()).unwrap_or_default();
            Err(format!("its translation is no rule: {first}"))
        }
    }
}

/// A file that is there belongs to a person.
fn refuse_to_overwrite(all: &[Written], args: &PrometheusArgs) -> Result<()> {
    let there = all.iter().map(|written| args.output.join(&written.path)).find(|path| path.exists());
    match there {
        Some(path) if !args.force => {
            bail!("{} is there already: name another folder, or set --force to write over it", path.display())
        }
        _ => Ok(()),
    }
}
