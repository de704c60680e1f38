//! The files that people write: rules, settings, topologies.

use std::sync::Arc;

use squelch::io::files::topology_file;
use squelch::process::config::Config;
use squelch::rule::check;
use squelch::topology::Topology;

use super::harness::{files, fuzz};
use crate::support::root;

const SQL: &[&str] = &[
    "SELECT ",
    " FROM metrics ",
    " GROUP BY ",
    "(",
    ")",
    "'",
    "labels['",
    "']",
    " JOIN ",
    " UNION ALL ",
    "count(*)",
    "CAST(",
    " AS ",
    "/*---\n",
    "---*/",
    ": ",
    "- ",
    "{{",
    "}}",
    "{% for i in range(99) %}",
    "{% endfor %}",
    "&a ",
    "*a ",
    "9999999999999d",
    "-1s",
    "1h",
    "window: ",
    "absence: { after: ",
    "sequence: { steps: [",
    "session: ",
    "é",
    "INTERVAL '1' DAY",
    "repeat('x', 1000000000)",
    "WITH RECURSIVE a AS (",
    "'/etc/passwd'",
    " OVER (ORDER BY ts)",
    "\u{0}",
    "[[[[[[[[",
    "~",
    "1e400",
    "NULL",
    "9223372036854775808",
    "::int::int::int::int::int::int::int::int",
    " OR name = 'a' OR name = 'b' OR name = 'c' OR name = 'd'",
    " UNION SELECT service, value FROM a",
    " ~ '(a{1,1000}){1,1000}'",
    " LIKE '%a%a%a%a%'",
    "{{ ---- not not 1 | abs | abs }}",
];

#[test]
fn rules() {
    let corpus =
        || files(&["fixtures/kinds", "fixtures/scenarios", "fixtures/bad_rules", "fixtures/corpus/rules", "rules"], ".sql");
    fuzz(module_path!(), "rules", 2_000, corpus, SQL, &|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let file = (std::path::PathBuf::from("fuzz.sql"), Arc::from(text.as_ref()));
        match check::from_texts(vec![file]) {
            Ok(book) => book.rules.len() == 1,
            Err(report) => {
                assert!(!report.is_empty(), "what is wrong is reported");
                assert!(!report.to_string().is_empty());
                false
            }
        }
    });
}

const YAML: &[&str] = &[
    ": ",
    "- ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!binary ",
    "? ",
    "| ",
    "> ",
    "'",
    "\"",
    "#",
    "---\n",
    "<<: *a",
    "~",
    ".nan",
    ".inf",
    "1e999",
    "-1",
    "9999999999999999999d",
    "0x7fffffffffffffff",
    "\t",
    "\u{0}",
    "\u{feff}",
    "[[[[[[[[[[[[[[[[",
    "{a: {a: {a: {a: ",
];

#[test]
fn settings() {
    let corpus = || {
        let mut all = files(&["fixtures/bad_config", "fixtures/scenarios", "fixtures/corpus/settings"], ".yaml");
        all.push(std::fs::read(root().join("squelch.example.yaml")).unwrap());
        all
    };
    fuzz(module_path!(), "settings", 5_000, corpus, YAML, &|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let config = Config::parse(&text, "squelch.yaml").map_err(|error| assert!(!error.to_string().is_empty()));
        config.is_ok_and(|config| config.engine().lateness_ms >= 0)
    });
}

#[test]
fn topologies() {
    let corpus = || {
        let folders = ["fixtures/bad_topology", "fixtures/corpus/topology"];
        let yaml = files(&folders, ".yaml").into_iter().chain(files(&folders, ".json"));
        yaml.chain(files(&["fixtures/scenarios"], "topology.yaml")).filter(|bytes| bytes.len() < 20_000).collect()
    };
    fuzz(module_path!(), "topologies", 5_000, corpus, YAML, &|bytes| {
        let parts = topology_file::parse(&String::from_utf8_lossy(bytes), "topology")
            .map_err(|error| assert!(!error.to_string().is_empty()));
        parts.is_ok_and(|parts| Topology::new(parts).size().0 < 1_000_000)
    });
}
