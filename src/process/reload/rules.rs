//! Rules that change under a running squelch: looks at the rule files now and then, and on SIGHUP at once. What is read is checked
//! and planned here, beside the threads that work; they only exchange their rules between two batches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::engine::EngineParams;
use crate::engine::next_rules::NextRules;
use crate::model::diagnostic::report::Report;
use crate::model::event::LabelKeys;
use crate::process::cluster;
use crate::process::pipeline::decode::ToDecoder;
use crate::process::reload::file_watcher::changed;
use crate::rule::Rule;
use crate::rule::check::LoadedRules;
use crate::rule::reload::{FilesOnDisk, ReloadedRules, RuleTexts, reload};

/// What the decoder and the engine go on with.
pub struct NewRules {
    /// The labels that the rules read.
    pub label_keys: LabelKeys,
    /// The rules.
    pub rules: NextRules,
}

/// What an operator sees of rules and reloads.
#[derive(Debug, Default)]
pub struct ReloadStatus(Mutex<Figures>);

#[derive(Clone, Debug, Default)]
struct Figures {
    rules: usize,
    /// Looks at files that had changed, by result.
    results: BTreeMap<&'static str, u64>,
    stale: BTreeSet<String>,
}

impl ReloadStatus {
    fn change(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Writes the metrics.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rules = ConstGauge::new(now.rules as i64);
        rules.encode(encoder.encode_descriptor("squelch_rules", "Rules that run", None, MetricType::Gauge)?)?;
        let help = "Rule files that had changed were read, by result";
        let mut results = encoder.encode_descriptor("squelch_reloads", help, None, MetricType::Counter)?;
        for result in ["ok", "partly", "failed"] {
            let number = ConstCounter::new(now.results.get(result).copied().unwrap_or(0));
            number.encode(results.encode_family(&[("result", result)])?)?;
        }
        let help = "1 where an old version of a rule runs because its file is bad";
        let mut stale = encoder.encode_descriptor("squelch_rule_stale", help, None, MetricType::Gauge)?;
        for rule in &now.stale {
            ConstGauge::new(1_i64).encode(stale.encode_family(&[("rule", rule.as_str())])?)?;
        }
        Ok(())
    }
}

/// Knows which texts run, and what the files looked like last.
#[derive(Clone)]
pub struct Reloader {
    paths: Vec<PathBuf>,
    params: EngineParams,
    seen: FilesOnDisk,
    good: RuleTexts,
    names: BTreeMap<PathBuf, String>,
    /// Workers count for them.
    shared: bool,
    status: Arc<ReloadStatus>,
}

impl Reloader {
    /// The rules of `book` run; they were read from `paths`.
    pub fn new(paths: Vec<PathBuf>, book: &LoadedRules, params: EngineParams, status: Arc<ReloadStatus>) -> Self {
        let good: RuleTexts = book.rules.iter().map(|rule| (rule.file.path.clone(), Arc::clone(&rule.file.text))).collect();
        let files = good.iter().map(|(path, text)| (path.clone(), Ok(Arc::clone(text)))).collect();
        status.change(|figures| figures.rules = book.rules.len());
        let seen = FilesOnDisk { files, no_folders: Vec::new() };
        Self { paths, params, seen, good, names: names(&book.rules), shared: false, status }
    }

    /// Takes no rules that several workers cannot count for.
    pub fn for_workers(self) -> Self {
        Self { shared: true, ..self }
    }

    /// How many rules run.
    pub fn rules(&self) -> usize {
        self.names.len()
    }

    /// Looks at the files. Returns other rules where there are any, having said what is wrong and what changes.
    pub fn look(&mut self, settle: bool) -> Option<NewRules> {
        self.seen = changed(&self.seen, settle, || FilesOnDisk::read(&self.paths))?;
        match reload(&self.seen, &self.good) {
            Ok(renewed) => self.take(renewed),
            Err(report) => {
                log(&report);
                tracing::error!("all rules go on as they are");
                self.count("failed");
                None
            }
        }
    }

    fn take(&mut self, renewed: ReloadedRules) -> Option<NewRules> {
        let ReloadedRules { rules: book, texts, reports, stale, left_out } = renewed;
        reports.iter().for_each(log);
        if self.shared
            && let Err(error) = cluster::refuse(&book.rules)
        {
            tracing::error!("{error:#}: all rules go on as they are");
            self.count("failed");
            return None;
        }
        let names = names(&book.rules);
        let stale: BTreeSet<String> = stale.iter().filter_map(|path| names.get(path).cloned()).collect();
        for rule in &stale {
            tracing::error!(rule, "the file of this rule is bad: its last good version goes on");
        }
        for path in &left_out {
            tracing::error!("{} is left out: it is bad, and no version of it was good", path.display());
        }
        let result = if reports.is_empty() { "ok" } else { "partly" };
        if texts == self.good {
            self.status.change(|figures| figures.stale = stale);
            if reports.is_empty() {
                tracing::info!("the rule files are again those of the rules that run");
            }
            self.count(result);
            return None;
        }
        let number = book.rules.len();
        match NextRules::new(book.rules, &self.params) {
            Ok(rules) => {
                self.say_changes(&names, &texts, number);
                (self.good, self.names) = (texts, names);
                self.status.change(|figures| (figures.rules, figures.stale) = (number, stale));
                self.count(result);
                let mut label_keys = book.label_keys;
                self.params.learn.add_label_keys(&mut label_keys);
                Some(NewRules { label_keys, rules })
            }
            Err(error) => {
                tracing::error!(%error, "the rules cannot be set up: all rules go on as they are");
                self.count("failed");
                None
            }
        }
    }

    fn say_changes(&self, names: &BTreeMap<PathBuf, String>, texts: &RuleTexts, rules: usize) {
        let before = by_name(&self.names, &self.good);
        let after = by_name(names, texts);
        let list = |names: Vec<&str>| names.join(", ");
        let added = list(after.keys().filter(|name| !before.contains_key(*name)).copied().collect());
        let removed = list(before.keys().filter(|name| !after.contains_key(*name)).copied().collect());
        let differs = |(name, text): &(&&str, &&str)| before.get(**name).is_some_and(|before| before != *text);
        let changed = list(after.iter().filter(differs).map(|(name, _)| *name).collect());
        tracing::info!(rules, added, changed, removed, "the rules were reloaded");
    }

    fn count(&self, result: &'static str) {
        self.status.change(|figures| *figures.results.entry(result).or_default() += 1);
    }
}

fn names(rules: &[Rule]) -> BTreeMap<PathBuf, String> {
    rules.iter().map(|rule| (rule.file.path.clone(), rule.name().to_string())).collect()
}

fn by_name<'a>(names: &'a BTreeMap<PathBuf, String>, texts: &'a RuleTexts) -> BTreeMap<&'a str, &'a str> {
    names.iter().filter_map(|(path, name)| Some((name.as_str(), texts.get(path)?.as_ref()))).collect()
}

fn log(report: &Report) {
    report.to_string().lines().filter(|line| !line.is_empty()).for_each(|line| tracing::error!("{line}"));
}

/// A look for [`watch`](crate::process::reload::file_watcher::watch).
pub fn look(reloader: &mut Reloader, settle: bool) -> Option<ToDecoder> {
    let found = reloader.look(settle);
    if found.is_none() && !settle {
        tracing::info!("SIGHUP: the rules that run go on");
    }
    found.map(|rules| ToDecoder::Rules(Box::new(rules)))
}
