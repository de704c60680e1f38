//! Judges: between the rows of a rule's SQL and its breaches. Each is a state machine with a memory per label set, and depends on
//! nothing but the rows and their times.
//!
//! A judge never reads a clock. Its memory is bounded, and is stored and restored as a whole.

pub mod absence;
pub mod change;
pub mod deviation;
mod ewma;
pub mod first_seen;
mod label_memory;
pub mod sequence;
#[cfg(test)]
mod test_rows;

use serde::{Deserialize, Serialize};

use crate::model::time::TimestampMs;
use crate::rule::definition::detectors::DetectorSpec;
use crate::rule::definition::front_matter::FrontMatter;
use crate::rule::definition::output_columns::Breach;
use crate::window::detector::absence::Absence;
use crate::window::detector::change::Changes;
use crate::window::detector::deviation::Deviation;
use crate::window::detector::first_seen::FirstSeen;
use crate::window::detector::sequence::Sequences;

/// What decides which rows of one rule are breaches, and all that it remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Judge {
    /// Values that depart from their history.
    Deviation(Deviation),
    /// Label sets that stay away.
    Absence(Absence),
    /// Label sets that are new.
    FirstSeen(FirstSeen),
    /// Columns that hold something else.
    Change(Changes),
    /// Steps that follow each other.
    Sequence(Sequences),
}

impl Judge {
    /// The judge that the rule asks for, without memories. `None` where every row is a breach.
    pub fn new(front: &FrontMatter) -> Option<Self> {
        Some(match front.detector.clone()? {
            DetectorSpec::Deviation(spec) => Self::Deviation(Deviation::new(spec, front.window_ms)),
            DetectorSpec::Absence(spec) => Self::Absence(Absence::new(spec)),
            DetectorSpec::FirstSeen(spec) => Self::FirstSeen(FirstSeen::new(spec)),
            DetectorSpec::Change(spec) => Self::Change(Changes::new(spec)),
            DetectorSpec::Sequence(spec) => Self::Sequence(Sequences::new(spec)),
        })
    }

    /// Judges the rows of the evaluation at `at`; where the rule looks at each event alone, those of the stretch of time up to
    /// `at`, in order of time.
    pub fn judge(&mut self, at: TimestampMs, rows: Vec<Breach>) -> Vec<Breach> {
        match self {
            Self::Deviation(judge) => judge.judge(at, rows),
            Self::Absence(judge) => judge.judge(at, rows),
            Self::FirstSeen(judge) => judge.judge(rows),
            Self::Change(judge) => judge.judge(rows),
            Self::Sequence(judge) => judge.judge(rows),
        }
    }

    /// Rows so far that found no room in the memory.
    pub fn refused(&self) -> u64 {
        match self {
            Self::Deviation(judge) => judge.refused(),
            Self::Absence(judge) => judge.refused(),
            Self::FirstSeen(judge) => judge.refused(),
            Self::Change(judge) => judge.refused(),
            Self::Sequence(judge) => judge.refused(),
        }
    }

    /// Whether evaluations without rows yield nothing, now and ever: then time may pass without them.
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Absence(judge) => judge.is_idle(),
            Self::Deviation(_) | Self::FirstSeen(_) | Self::Change(_) | Self::Sequence(_) => true,
        }
    }
}
