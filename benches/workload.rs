//! Synthetic metrics and as many rules as asked for: each rule has its own metric, every event matches one rule.

use std::path::PathBuf;
use std::sync::Arc;

use squelch::rule::check::{LoadedRules, from_texts};

const START_MS: i64 = 1_773_446_400_000;
const HOSTS: usize = 200;
/// How many events share a second of event time, where nothing else is said.
pub const EVENTS_A_SECOND: usize = 2_000;

/// Messages and the rules over them.
pub struct Workload {
    pub rules: usize,
    pub messages: Vec<Vec<u8>>,
}

impl Workload {
    pub fn new(rules: usize, events: usize, events_a_message: usize) -> Self {
        Self::dense(rules, events, events_a_message, EVENTS_A_SECOND)
    }

    /// With this many events in a second of event time.
    pub fn dense(rules: usize, events: usize, events_a_message: usize, events_a_second: usize) -> Self {
        let lines: Vec<String> = (0..events).map(|i| line(i, rules, events_a_second)).collect();
        let messages = lines.chunks(events_a_message).map(|lines| lines.join("\n").into_bytes()).collect();
        Self { rules, messages }
    }

    pub fn rule_texts(&self) -> Vec<(PathBuf, Arc<str>)> {
        let text = |i: usize| {
            format!(
                "/*---\nrule: rule_{i}\nseverity: warning\nwindow: 1m\nevery: 10s\nentity: host\n---*/\n\
                 SELECT host, service, avg(value) AS value, count(*) AS samples FROM metrics WHERE name = 'metric_{i}' \
                 GROUP BY host, service HAVING value > 1000"
            )
        };
        (0..self.rules).map(|i| (PathBuf::from(format!("rule_{i}.sql")), Arc::from(text(i).as_str()))).collect()
    }

    pub fn book(&self) -> LoadedRules {
        from_texts(self.rule_texts()).unwrap_or_else(|report| panic!("{report}"))
    }
}

fn line(i: usize, rules: usize, events_a_second: usize) -> String {
    let (ts, host, value) = (START_MS + (i / events_a_second) as i64 * 1000, i / rules % HOSTS, (i * 7919 % 1000) as f64 / 10.0);
    format!(
        r#"{{"ts":{ts},"name":"metric_{}","value":{value},"service":"service-{}","host":"host-{host}","env":"production","labels":{{"region":"eu-central-1","code":"200"}}}}"#,
        i % rules,
        host % 20,
    )
}
