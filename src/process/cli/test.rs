//! `squelch test`: rule authors' tests.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::io::files::topology_file;
use crate::model::diagnostic::report::Report;
use crate::model::diagnostic::{Diagnostic, line_and_column, nearest};
use crate::model::event::LabelKeys;
use crate::process::cli::answer::{Answer, Terminal, print_errors};
use crate::process::config::Config;
use crate::process::load::engine_params;
use crate::process::load_rules::load_rules;
use crate::process::report::plural::count;
use crate::process::telemetry::stopwatch::stopwatch;
use crate::process::testing::case::{Expectation, RuleName, TestCase, TestFile};
use crate::process::testing::compare::{compare, totals};
use crate::process::testing::junit::{self, TestResult};
use crate::process::testing::run::{World, run as run_test};
use crate::process::testing::{file, find};
use crate::rule::Rule;
use crate::rule::check::LoadedRules;
use crate::topology::Topology;

/// Events that could not be taken, shown for one test.
const REJECTED_SHOWN: usize = 5;

#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Folders or files of tests: `*_test.yaml`, and any YAML in a folder `tests`
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// Write the results as JUnit XML to this file as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(crate) fn run(args: &TestArgs, terminal: &mut Terminal) -> Result<Answer> {
    let took = stopwatch();
    let mut files = Vec::new();
    for path in &args.paths {
        let found = find::find(path).with_context(|| format!("cannot read {}", path.display()))?;
        if found.is_empty() {
            bail!("no tests in {}: they are files that end in `_test.yaml`, and YAML files in a folder `tests`", path.display());
        }
        files.extend(found);
    }
    let (mut rules, mut results) = (RuleSets::default(), Vec::new());
    let mut broken = Vec::new();
    for path in &files {
        match of_file(path, &mut rules, terminal.style.color) {
            Ok(of_file) => results.extend(of_file),
            Err(error) => {
                match error.downcast_ref::<Report>() {
                    Some(report) => print_errors(&report.render(terminal.style.color)),
                    None => print_errors(&format!("error: {}: {error:#}\n", path.display())),
                }
                broken.push(path);
            }
        }
    }
    let failed = results.iter().filter(|result| !result.failure.is_empty()).count();
    for result in results.iter().filter(|result| !result.failure.is_empty()) {
        writeln!(terminal.out, "{}\n", result.failure)?;
    }
    let skipped: Vec<&TestResult> = results.iter().filter(|result| !result.skipped.is_empty()).collect();
    for result in &skipped {
        writeln!(terminal.out, "not run: {}: {}: {}", result.file, result.name, result.skipped.join("; "))?;
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, junit::to_xml(&results)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let totals = totals(results.len(), failed, skipped.len());
    writeln!(terminal.out, "{totals} in {:.1} s", took().as_secs_f64())?;
    if !broken.is_empty() {
        terminal.out.flush()?;
        bail!("{} of tests could not be run", count(broken.len(), "file"));
    }
    Ok(if failed == 0 { Answer::Yes } else { Answer::No })
}

/// Rules by the folders that they come from: planning takes longer than a test.
#[derive(Default)]
struct RuleSets(BTreeMap<Vec<PathBuf>, Option<RuleSet>>);

/// Rules that several engines share, and the labels that they read.
#[derive(Clone)]
struct RuleSet {
    rules: Vec<Arc<Rule>>,
    label_keys: LabelKeys,
}

impl RuleSets {
    fn get(&mut self, paths: &[PathBuf], color: bool) -> Result<RuleSet> {
        let loaded = match self.0.entry(paths.to_vec()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let shared = |loaded: LoadedRules| RuleSet {
                    rules: loaded.rules.into_iter().map(Arc::new).collect(),
                    label_keys: loaded.label_keys,
                };
                new.insert(load_rules(paths, color, &mut print_errors).ok().map(shared))
            }
        };
        let named = || paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        loaded.clone().with_context(|| format!("there are errors in the rules of {}", named()))
    }
}

fn of_file(path: &Path, rules: &mut RuleSets, color: bool) -> Result<Vec<TestResult>> {
    let file = file::read(path)?;
    let config = file.settings.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let RuleSet { rules, mut label_keys } = rules.get(&file.rules, color)?;
    let (params, _) = engine_params(&config)?;
    params.add_label_keys(&mut label_keys);
    let graph = match &file.topology {
        Some(path) => Topology::new(topology_file::read(path)?),
        None => Topology::default(),
    };
    refuse_unknown_rules(&file, &rules)?;
    let world = World { rules, label_keys, topology: graph, params };
    file.tests.iter().map(|test| of_test(test, &file, &world)).collect()
}

fn of_test(test: &TestCase, file: &TestFile, world: &World) -> Result<TestResult> {
    let took = stopwatch();
    let outcome = run_test(test, file, world).with_context(|| test.name.clone())?;
    let place = |offset: usize| {
        let (line, column) = line_and_column(&file.text, offset);
        format!("{}:{line}:{column}", file.path.display())
    };
    let mut failures: Vec<String> = outcome.failing;
    let more = outcome.rejected.len().saturating_sub(REJECTED_SHOWN);
    failures.extend(outcome.rejected.into_iter().take(REJECTED_SHOWN).map(|rejected| format!("rejected: {rejected}")));
    if more > 0 {
        failures.push(format!("{more} more were rejected"));
    }
    failures.extend(
        compare(test, &outcome.history).into_iter().map(|failure| format!("{}: {}", place(failure.offset), failure.text)),
    );
    let failure = match failures.is_empty() {
        true => String::new(),
        false => format!("FAILED {}: {}\n  {}", place(test.span.start), test.name, failures.join("\n  ")),
    };
    Ok(TestResult {
        file: file.path.display().to_string(),
        name: test.name.clone(),
        failure,
        skipped: test.skipped.clone(),
        seconds: took().as_secs_f64(),
    })
}

/// A misspelt rule would be silent for ever, and a test of its silence pass.
fn refuse_unknown_rules(file: &TestFile, rules: &[Arc<Rule>]) -> Result<(), Report> {
    let known = || rules.iter().map(|rule| rule.name());
    let mut errors = Vec::new();
    for test in &file.tests {
        // Alerts of other systems are named by their events.
        let of_events = !test.event_files.is_empty() || test.events.windows(14).any(|bytes| bytes == br#""kind":"alert""#);
        let of_alerts = |expectation: &Expectation| -> Vec<RuleName> {
            let alerts = expectation.alerts.iter().flatten().filter_map(|alert| alert.rule.clone());
            expectation.rule.iter().chain(&expectation.silent).cloned().chain(alerts).collect()
        };
        let named = test.expectations.iter().flat_map(of_alerts);
        for rule in named.filter(|rule| !of_events && !known().any(|name| rule.matches(name))) {
            let hint = match nearest(&rule.name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "the rules are those of {}",
                    file.rules.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
                ),
            };
            errors.push(Diagnostic::new(rule.span, format!("no rule is called `{}`", rule.name), hint));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Report::of_file(&file.path, Arc::clone(&file.text), errors)) }
}
