//! Rules that change while squelch runs: the rule files are checked every so often, and on SIGHUP at once. They are read, checked and
//! planned here, beside the threads that work; those only exchange their rules between two batches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::EngineParams;
use crate::engine::next_rules::NextRules;
use crate::model::diagnostic::report::Report;
use crate::process::cluster::partition::refuse_unmergeable;
use crate::process::pipeline::messages::{NewRules, PipelineItem, RawItem};
use crate::process::reload::file_watcher::changed;
use crate::process::reload::signals::SignalsFile;
use crate::process::reload::status::RuleStatus;
use crate::rule::Rule;
use crate::rule::check::LoadedRules;
use crate::rule::lookup::files::is_lookup;
use crate::rule::reload::{FilesOnDisk, ReloadedRules, RuleTexts, reload};

/// Knows which rules are in force, and what the files contained last.
#[derive(Clone)]
pub struct Reloader {
    paths: Vec<PathBuf>,
    lookups: Option<PathBuf>,
    params: EngineParams,
    seen: FilesOnDisk,
    in_force: RuleTexts,
    names: BTreeMap<PathBuf, String>,
    /// Workers count for them.
    for_workers: bool,
    status: Arc<RuleStatus>,
    signals: Option<SignalsFile>,
}

impl Reloader {
    /// `rules` are in force; they were read from `paths`.
    pub fn new(paths: Vec<PathBuf>, rules: &LoadedRules, params: EngineParams, status: Arc<RuleStatus>) -> Self {
        let lookups = rules.lookups.values().map(|table| (table.path.clone(), Arc::clone(&table.text)));
        let in_force: RuleTexts =
            rules.rules.iter().map(|rule| (rule.file.path.clone(), Arc::clone(&rule.file.text))).chain(lookups).collect();
        let files = in_force.iter().map(|(path, text)| (path.clone(), Ok(Arc::clone(text)))).collect();
        status.update(|figures| figures.rules = rules.rules.len());
        let seen = FilesOnDisk { files, no_folders: Vec::new() };
        Self {
            paths,
            lookups: None,
            params,
            seen,
            in_force,
            names: names(&rules.rules),
            for_workers: false,
            status,
            signals: None,
        }
    }

    /// Watches a mapping of signals beside the rules: it decides, as they do, what the decoder makes of events.
    pub fn with_signals(self, signals: Option<SignalsFile>) -> Self {
        Self { signals, ..self }
    }

    /// Watches the lookups in a folder too.
    pub fn with_lookups(self, lookups: Option<PathBuf>) -> Self {
        Self { lookups, ..self }
    }

    /// Refuses rules that several workers cannot count for.
    pub fn for_workers(self) -> Self {
        Self { for_workers: true, ..self }
    }

    /// How many rules are in force.
    pub fn rules(&self) -> usize {
        self.names.len()
    }

    /// Checks the files. Returns new rules, if any; logs errors and changes. With `settle` it waits until the files stay the same.
    pub fn check(&mut self, settle: bool) -> Option<NewRules> {
        let mapping = self.signals.as_mut().and_then(|file| file.check(settle));
        let seen = changed(&self.seen, settle, || FilesOnDisk::read_with_lookups(&self.paths, self.lookups.as_deref()));
        if mapping.is_none() && seen.is_none() {
            return None;
        }
        let new_mapping = mapping.is_some();
        self.params.signals = mapping.or(self.params.signals.take());
        self.seen = seen.unwrap_or(std::mem::take(&mut self.seen));
        match reload(&self.seen, &self.in_force, self.params.time_zone) {
            Ok(reloaded) => self.take(reloaded, new_mapping),
            Err(report) => {
                log(&report);
                tracing::error!("all rules stay as they are");
                self.status.reloaded("failed");
                None
            }
        }
    }

    /// With a new mapping, rules that stay are handed on as well.
    fn take(&mut self, reloaded: ReloadedRules, new_mapping: bool) -> Option<NewRules> {
        let ReloadedRules { rules: new, texts, reports, stale, left_out } = reloaded;
        reports.iter().for_each(log);
        if self.for_workers
            && let Err(error) = refuse_unmergeable(&new.rules)
        {
            tracing::error!("{error:#}: all rules stay as they are");
            self.status.reloaded("failed");
            return None;
        }
        let names = names(&new.rules);
        let stale: BTreeSet<String> = stale.iter().filter_map(|path| names.get(path).cloned()).collect();
        for rule in &stale {
            tracing::error!(rule, "the file of this rule is bad: its last good version stays in force");
        }
        for path in &left_out {
            tracing::error!("{} is left out: it is bad, and no version of it was good", path.display());
        }
        let result = if reports.is_empty() { "ok" } else { "partly" };
        if texts == self.in_force && !new_mapping {
            self.status.update(|figures| figures.stale = stale);
            if reports.is_empty() {
                tracing::info!("the rule files contain the rules in force again");
            }
            self.status.reloaded(result);
            return None;
        }
        let number = new.rules.len();
        match NextRules::new(new.rules, &self.params) {
            Ok(rules) => {
                self.log_changes(&names, &texts, number);
                (self.in_force, self.names) = (texts, names);
                self.status.update(|figures| (figures.rules, figures.stale) = (number, stale));
                self.status.reloaded(result);
                let mut label_keys = new.label_keys;
                self.params.add_label_keys(&mut label_keys);
                Some(NewRules { label_keys, rules: Box::new(rules) })
            }
            Err(error) => {
                tracing::error!(%error, "the rules cannot be set up: all rules stay as they are");
                self.status.reloaded("failed");
                None
            }
        }
    }

    fn log_changes(&self, names: &BTreeMap<PathBuf, String>, texts: &RuleTexts, rules: usize) {
        let before = by_name(&self.names, &self.in_force);
        let after = by_name(names, texts);
        let list = |names: Vec<&str>| names.join(", ");
        let added = list(after.keys().filter(|name| !before.contains_key(*name)).copied().collect());
        let removed = list(before.keys().filter(|name| !after.contains_key(*name)).copied().collect());
        let differs = |(name, text): &(&&str, &&str)| before.get(**name).is_some_and(|before| before != *text);
        let lookup_texts = |texts: &RuleTexts| -> RuleTexts {
            texts.iter().filter(|(path, _)| is_lookup(path)).map(|(path, text)| (path.clone(), Arc::clone(text))).collect()
        };
        let lookups_changed = lookup_texts(&self.in_force) != lookup_texts(texts);
        let changed = list(after.iter().filter(differs).map(|(name, _)| *name).collect());
        tracing::info!(rules, added, changed, removed, lookups_changed, "the rules were reloaded");
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

/// A check for [`watch`](crate::process::reload::file_watcher::watch).
pub fn check(reloader: &mut Reloader, settle: bool) -> Option<RawItem> {
    let new = reloader.check(settle);
    if new.is_none() && !settle {
        tracing::info!("SIGHUP: the rules in force stay as they are");
    }
    new.map(PipelineItem::Rules)
}
