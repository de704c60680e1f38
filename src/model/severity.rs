//! Severity: how loudly a person should be told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// From quiet to loud; the order is the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Worth a line in a channel: a deploy finished.
    Info,
    /// Worth a look today: CPU at 80% for ten minutes.
    Warning,
    /// Worth waking somebody: an outage, loss of data.
    Critical,
}

impl Severity {
    /// All severities, from quiet to loud.
    pub const ALL: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

    /// The name used in rules, messages and subjects.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no severity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown severity {0:?}: use info, warning or critical")]
pub struct UnknownSeverity(pub String);

impl FromStr for Severity {
    type Err = UnknownSeverity;

    /// Reads a severity in any letter case, with the synonyms that other systems send.
    fn from_str(text: &str) -> Result<Self, UnknownSeverity> {
        match text.trim().to_ascii_lowercase().as_str() {
            "info" | "information" | "informational" | "notice" | "none" | "ok" => Ok(Severity::Info),
            "warning" | "warn" | "minor" | "low" | "medium" => Ok(Severity::Warning),
            "critical" | "crit" | "error" | "major" | "high" | "page" | "fatal" | "emergency" | "disaster" => {
                Ok(Severity::Critical)
            }
            _ => Err(UnknownSeverity(text.to_string())),
        }
    }
}
