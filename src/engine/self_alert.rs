//! An alert about squelch itself, for example that its input has a gap. It enters the life of alerts as other systems' do, at the
//! current event time: no clock is read.

use serde::{Deserialize, Serialize};

use crate::model::labels::Labels;
use crate::model::severity::Severity;

/// An alert that squelch raises about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfAlert {
    /// Stands for the rule's name.
    pub name: String,
    /// How bad it is.
    pub severity: Severity,
    /// Its labels.
    pub labels: Labels,
    /// One line for a person.
    pub summary: String,
    /// It ends after this much event time, unless it is raised again.
    pub lasts_ms: i64,
}
