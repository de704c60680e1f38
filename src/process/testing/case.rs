//! A test as it was read: what comes in, and what is expected to come out when. Pure data.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::severity::Severity;
use crate::model::time::TimestampMs;

/// A file of tests.
#[derive(Debug)]
pub(crate) struct TestFile {
    pub(crate) path: PathBuf,
    pub(crate) text: Arc<str>,
    /// Folders or files of rules.
    pub(crate) rules: Vec<PathBuf>,
    pub(crate) topology: Option<PathBuf>,
    pub(crate) settings: Option<PathBuf>,
    pub(crate) tests: Vec<TestCase>,
}

/// One test.
#[derive(Debug)]
pub(crate) struct TestCase {
    pub(crate) name: String,
    /// Where it stands in its file.
    pub(crate) span: Range<usize>,
    /// Time of the first sample; times of the test are counted from here.
    pub(crate) start: TimestampMs,
    /// Lines of native JSON, in order of time.
    pub(crate) events: Vec<u8>,
    /// Recordings beside it.
    pub(crate) event_files: Vec<PathBuf>,
    /// Lines of JSON, in order of time.
    pub(crate) commands: Vec<u8>,
    pub(crate) expectations: Vec<Expectation>,
    /// What of it cannot be run, in words.
    pub(crate) skipped: Vec<String>,
}

/// What is expected at one time.
#[derive(Debug)]
pub(crate) struct Expectation {
    pub(crate) at: TimestampMs,
    /// Where it stands in its file.
    pub(crate) span: Range<usize>,
    /// Only alerts of this rule are compared.
    pub(crate) rule: Option<RuleName>,
    /// All alerts that fire.
    pub(crate) alerts: Option<Vec<ExpectedAlert>>,
    /// Rules of which no alert fires.
    pub(crate) silent: Vec<RuleName>,
    /// All incidents that are open.
    pub(crate) incidents: Option<Vec<ExpectedIncident>>,
    /// All notifications since the expectation before this one, and decisions not to notify.
    pub(crate) notifications: Option<Vec<ExpectedNotification>>,
}

/// A rule as a test names it.
#[derive(Clone, Debug)]
pub(crate) struct RuleName {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
    /// It is a name of Prometheus, which several rules may have: imported as `name`, `name.warning`, and so on.
    pub(crate) is_shared: bool,
}

impl RuleName {
    pub(crate) fn matches(&self, rule: &str) -> bool {
        let rest = rule.strip_prefix(self.name.as_str());
        rest.is_some_and(|rest| rest.is_empty() || self.is_shared && rest.starts_with('.'))
    }
}

/// An alert. What is not given is not compared.
#[derive(Debug, Default)]
pub(crate) struct ExpectedAlert {
    pub(crate) rule: Option<RuleName>,
    pub(crate) labels: BTreeMap<String, String>,
    /// The alert has no other labels, except those that name environment, service and host.
    pub(crate) only_these_labels: bool,
    pub(crate) severity: Option<Severity>,
    pub(crate) value: Option<ExpectedValue>,
    pub(crate) summary: Option<String>,
    pub(crate) description: Option<String>,
}

/// A number, compared to the digits that were written.
#[derive(Clone, Debug)]
pub(crate) struct ExpectedValue {
    pub(crate) number: f64,
    pub(crate) written: String,
}

impl ExpectedValue {
    pub(crate) fn matches(&self, value: f64) -> bool {
        let digits =
            self.written.split(['e', 'E']).next().unwrap_or_default().split_once('.').map_or(0, |(_, digits)| digits.len());
        let half_a_digit =
            if digits == 0 || self.written.contains(['e', 'E']) { 0.0 } else { 0.5 * 10_f64.powi(-(digits as i32)) };
        (value - self.number).abs() <= half_a_digit + 1e-9 * self.number.abs().max(1e-9)
    }
}

/// An incident. What is not given is not compared.
#[derive(Debug, Default)]
pub(crate) struct ExpectedIncident {
    pub(crate) env: Option<String>,
    pub(crate) severity: Option<Severity>,
    /// The likeliest cause.
    pub(crate) cause: Option<String>,
    /// All of its entities.
    pub(crate) entities: Option<Vec<String>>,
    /// All rules of its alerts.
    pub(crate) rules: Option<Vec<String>>,
    /// A part of its title.
    pub(crate) title: Option<String>,
}

/// A decision to notify or to stay silent. What is not given is not compared.
#[derive(Debug, Default)]
pub(crate) struct ExpectedNotification {
    pub(crate) at: Option<TimestampMs>,
    /// The reason's code.
    pub(crate) code: Option<String>,
    /// Whether people are notified: the code says so.
    pub(crate) is_sent: bool,
    pub(crate) severity: Option<Severity>,
    pub(crate) env: Option<String>,
    pub(crate) cause: Option<String>,
    /// A part of its title.
    pub(crate) title: Option<String>,
}
