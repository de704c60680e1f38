//! Which part of the events a worker reads, as people write it; and which rules several workers can count for.

use std::str::FromStr;

use anyhow::{Result, bail};

use crate::model::limits::PARTITIONS_MAX;
use crate::rule::Rule;
use crate::rule::plan::mergeable;

/// A worker's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerPartition {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl FromStr for WorkerPartition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("write which one of how many, from 1/1 to {PARTITIONS_MAX}/{PARTITIONS_MAX}: for example 1/2");
        let (which, of) = text.split_once('/').ok_or_else(wrong)?;
        let (which, of): (usize, usize) = (which.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if which == 0 || which > of || of > PARTITIONS_MAX {
            return Err(wrong());
        }
        Ok(Self { index: which - 1, of })
    }
}

impl std::fmt::Display for WorkerPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

/// Parses the number of partitions.
///
/// # Errors
///
/// What to write instead.
pub fn partitions(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=PARTITIONS_MAX).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {PARTITIONS_MAX}"))
}

/// Refuses rules whose result depends on which worker counted which event.
///
/// # Errors
///
/// The names of such rules, and why.
pub fn refuse_unmergeable(rules: &[Rule]) -> Result<()> {
    let problems: Vec<String> = rules
        .iter()
        .filter_map(|rule| {
            let complaint = mergeable::complaint(rule)?;
            Some(format!("{}: rule {} cannot be counted by several workers: {complaint}", rule.file.path.display(), rule.name()))
        })
        .collect();
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(())
}
