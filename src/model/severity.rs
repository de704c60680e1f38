//! Severity: how urgently a person should be notified.

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

    /// Reads a severity in any letter case: our own words, those of other systems and of syslog, and levels as `P1` and `SEV-2`.
    fn from_str(text: &str) -> Result<Self, UnknownSeverity> {
        let word = text.trim().to_ascii_lowercase();
        match word.as_str() {
            "info" | "information" | "informational" | "notice" | "none" | "ok" | "normal" | "debug" | "trace" => {
                Ok(Severity::Info)
            }
            "warning" | "warn" | "minor" | "low" | "medium" | "moderate" | "average" => Ok(Severity::Warning),
            "critical" | "crit" | "error" | "err" | "major" | "high" | "page" | "fatal" | "emergency" | "emerg" | "alert"
            | "panic" | "disaster" | "severe" | "urgent" => Ok(Severity::Critical),
            other => level(other).ok_or_else(|| UnknownSeverity(text.to_string())),
        }
    }
}

/// Priority and severity levels as incident managers number them: 1 and 2 wake somebody, 5 is for information.
fn level(word: &str) -> Option<Severity> {
    let number = ["priority", "severity", "sev", "p"].iter().find_map(|name| word.strip_prefix(name))?;
    match number.trim_start_matches(['-', '_', ' ']) {
        "0" | "1" | "2" => Some(Severity::Critical),
        "3" | "4" => Some(Severity::Warning),
        "5" => Some(Severity::Info),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_systems_are_known_in_any_letter_case() {
        let words = [
            (
                Severity::Critical,
                "critical CRIT Error err FATAL emerg Emergency alert panic page major High P1 p2 SEV1 sev-2 Sev_0 SEVERITY-1",
            ),
            (Severity::Warning, "warning WARN minor low Medium P3 p4 SEV3 sev-4"),
            (Severity::Info, "info INFORMATIONAL notice Debug none ok P5 sev5"),
        ];
        for (severity, words) in words {
            for word in words.split(' ') {
                assert_eq!(word.parse(), Ok(severity), "{word}");
                assert_eq!(format!(" {word} ").parse(), Ok(severity), "{word} with space around it");
            }
        }
        assert_eq!("sev 2".parse(), Ok(Severity::Critical));
        for word in ["", "p", "p6", "sev", "p1x", "sev10", "3", "bad"] {
            assert_eq!(word.parse::<Severity>(), Err(UnknownSeverity(word.into())));
        }
    }
}
