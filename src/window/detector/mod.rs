//! Detectors: they decide which rows of a rule's SQL are breaches, where a rule compares with the past. Each is a state machine with
//! a state for each label set, and depends on nothing but the rows and their times.
//!
//! A detector reads no clock. Its state is bounded, and is part of snapshots as it is.

pub mod absence;
mod baseline;
pub mod change;
pub mod deviation;
mod ewma;
pub mod first_seen;
mod label_states;
pub mod sequence;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::labels::Labels;
use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::DetectorSpec;
use crate::rule::definition::front_matter::FrontMatter;
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::absence::AbsenceDetector;
use crate::window::detector::change::ChangeDetector;
use crate::window::detector::deviation::DeviationDetector;
use crate::window::detector::first_seen::FirstSeenDetector;
use crate::window::detector::sequence::SequenceDetector;

/// The detector of one rule with its state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Detector {
    /// Values that deviate from their history.
    Deviation(DeviationDetector),
    /// Label sets that are missing.
    Absence(AbsenceDetector),
    /// Label sets that are new.
    FirstSeen(FirstSeenDetector),
    /// Columns with a new value.
    Change(ChangeDetector),
    /// Events that follow each other.
    Sequence(SequenceDetector),
}

impl Detector {
    /// The detector that the rule asks for, without state. `None` where every row is a breach.
    pub fn new(front: &FrontMatter) -> Option<Self> {
        Some(match front.detector.clone()? {
            DetectorSpec::Deviation(spec) => Self::Deviation(DeviationDetector::new(spec, front.window_ms)),
            DetectorSpec::Absence(spec) => Self::Absence(AbsenceDetector::new(spec)),
            DetectorSpec::FirstSeen(spec) => Self::FirstSeen(FirstSeenDetector::new(spec)),
            DetectorSpec::Change(spec) => Self::Change(ChangeDetector::new(spec)),
            DetectorSpec::Sequence(spec) => Self::Sequence(SequenceDetector::new(spec)),
        })
    }

    /// The breaches among the rows of the evaluation at `at`. Where the rule is about single events, those are the events of the
    /// interval that ends at `at`, in order of time.
    pub fn detect(&mut self, at: TimestampMs, rows: Vec<Breach>) -> Vec<Breach> {
        match self {
            Self::Deviation(detector) => detector.detect(at, rows),
            Self::Absence(detector) => detector.detect(at, rows),
            Self::FirstSeen(detector) => detector.detect(rows),
            Self::Change(detector) => detector.detect(rows),
            Self::Sequence(detector) => detector.detect(rows),
        }
    }

    /// Label sets that the last evaluation stopped waiting for: their alerts end, though nothing recovered.
    pub fn take_forgotten(&mut self) -> BTreeSet<Labels> {
        match self {
            Self::Absence(detector) => detector.take_forgotten(),
            Self::Deviation(_) | Self::FirstSeen(_) | Self::Change(_) | Self::Sequence(_) => BTreeSet::new(),
        }
    }

    /// Rows that found no room in its state so far.
    pub fn overflow(&self) -> u64 {
        match self {
            Self::Deviation(detector) => detector.overflow(),
            Self::Absence(detector) => detector.overflow(),
            Self::FirstSeen(detector) => detector.overflow(),
            Self::Change(detector) => detector.overflow(),
            Self::Sequence(detector) => detector.overflow(),
        }
    }

    /// Whether evaluations without rows find nothing until a row comes: then they can be left out.
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Absence(detector) => detector.is_idle(),
            Self::Deviation(_) | Self::FirstSeen(_) | Self::Change(_) | Self::Sequence(_) => true,
        }
    }
}
