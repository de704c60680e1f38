//! What an operator sees of files and buckets that are reloaded: figures, shared between the watchers and `/metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::topology::definition::TopologySource;

/// Of the rules and their files.
#[derive(Debug, Default)]
pub struct RuleStatus(Mutex<RuleFigures>);

/// The figures of the rules.
#[derive(Clone, Debug, Default)]
pub struct RuleFigures {
    /// Rules in force.
    pub rules: usize,
    /// Reloads of changed files, by result.
    pub reloads: BTreeMap<&'static str, u64>,
    /// Rules whose last good version is in force, because the file is bad.
    pub stale: BTreeSet<String>,
}

impl RuleStatus {
    /// Changes the figures.
    pub fn update(&self, update: impl FnOnce(&mut RuleFigures)) {
        update(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts a reload.
    pub fn reloaded(&self, result: &'static str) {
        self.update(|figures| *figures.reloads.entry(result).or_default() += 1);
    }

    /// The figures.
    pub fn figures(&self) -> RuleFigures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Of the topology's file and bucket.
#[derive(Debug)]
pub struct TopologyStatus(Mutex<TopologyFigures>);

/// The figures of the topology.
#[derive(Clone, Debug)]
pub struct TopologyFigures {
    /// Changes that were read, by source and result.
    pub reloads: BTreeMap<(&'static str, &'static str), u64>,
    /// Files or keys whose newest version is bad, by source.
    pub invalid: BTreeMap<&'static str, usize>,
}

impl Default for TopologyStatus {
    fn default() -> Self {
        let sources = [TopologySource::File, TopologySource::Bucket].map(TopologySource::as_str);
        Self(Mutex::new(TopologyFigures {
            reloads: sources.into_iter().flat_map(|source| ["ok", "failed"].map(|result| ((source, result), 0))).collect(),
            invalid: sources.into_iter().map(|source| (source, 0)).collect(),
        }))
    }
}

impl TopologyStatus {
    /// Counts a change that was read, and how many files or keys of the source are bad now.
    pub fn reloaded(&self, source: TopologySource, result: &'static str, invalid: usize) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *figures.reloads.entry((source.as_str(), result)).or_default() += 1;
        figures.invalid.insert(source.as_str(), invalid);
    }

    /// The figures.
    pub fn figures(&self) -> TopologyFigures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
