//! `squelch run --role`: the work of one squelch, shared by several processes. Workers ([`worker`], [`partition_counting`]) read and count the
//! events, the correlator ([`correlator`]) makes incidents of what they say. Its rules ([`rule_distribution`]) are those of all.

pub mod correlator;
pub mod partition_counting;
pub mod rule_distribution;
pub mod standby;
pub mod worker;

use std::str::FromStr;

use anyhow::{Result, bail};

use crate::model::limits::PARTITIONS_MAX;
use crate::rule::Rule;
use crate::rule::plan::mergeable;

/// A worker's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("write which one of how many, from 1/1 to {PARTITIONS_MAX}/{PARTITIONS_MAX}: 1/2, say");
        let (which, of) = text.split_once('/').ok_or_else(wrong)?;
        let (which, of): (usize, usize) = (which.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if which == 0 || which > of || of > PARTITIONS_MAX {
            return Err(wrong());
        }
        Ok(Self { index: which - 1, of })
    }
}

/// How many partitions there are.
pub fn partitions(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=PARTITIONS_MAX).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {PARTITIONS_MAX}"))
}

/// Refuses rules whose rows cannot be counted by several processes.
pub fn refuse(rules: &[Rule]) -> Result<()> {
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
