//! Faults that are known to have happened: when, and what failed. They judge the rules of a backtest.

use std::path::Path;

use crate::io::files::bounded_text;
use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::report::Report;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::limits::TEST_FILE_BYTES_MAX;
use crate::model::time::{TimestampMs, parse_rfc3339};
use crate::process::backtest::pages::Page;
use crate::rule::definition::detectors::map_reader::MapReader;

const KEYS: [&str; 5] = ["name", "env", "entities", "from", "to"];
const EXAMPLE: &str = "- { name: database down, entities: [postgres], from: 2026-03-14T02:48:00Z, to: 2026-03-14T02:58:00Z }";

/// A fault.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) env: Option<String>,
    /// What failed: a page about any of them counts.
    pub(crate) entities: Vec<String>,
    pub(crate) from: TimestampMs,
    pub(crate) to: TimestampMs,
}

impl Fault {
    /// The first page about it.
    pub(crate) fn first_page<'p>(&self, pages: &'p [Page]) -> Option<&'p Page> {
        let about = |page: &&Page| {
            let during = page.at >= self.from && page.started_at <= self.to;
            let env = self.env.as_ref().is_none_or(|env| *env == page.env);
            during && env && self.entities.iter().any(|entity| page.entities.contains(entity))
        };
        pages.iter().find(about)
    }
}

/// Reads a file of faults: a list.
pub(crate) fn read(path: &Path) -> Result<Vec<Fault>, Report> {
    let text = match bounded_text::read(path, TEST_FILE_BYTES_MAX) {
        Ok(text) => text,
        Err(error) => {
            let mut report = Report::default();
            report.add(path, Diagnostic::without_hint(0..0, format!("cannot be read: {error}")));
            return Err(report);
        }
    };
    let parsed = Node::parse(&text, 0..text.len()).map_err(|error| vec![error]).and_then(|tree| {
        let no_list = || vec![Diagnostic::new(tree.span.clone(), "the file holds no list of faults", format!("write {EXAMPLE}"))];
        let (mut faults, mut errors) = (Vec::new(), Vec::new());
        for item in tree.items().ok_or_else(no_list)? {
            match fault(item) {
                Ok(fault) => faults.push(fault),
                Err(wrong) => errors.extend(wrong),
            }
        }
        if errors.is_empty() { Ok(faults) } else { Err(errors) }
    });
    parsed.map_err(|errors| Report::of_file(path, text, errors))
}

fn fault(node: &Node) -> Result<Fault, Vec<Diagnostic>> {
    let mut map = MapReader::open("faults", node, None, EXAMPLE, &KEYS)?;
    let (name, env, entities) = (map.word("name"), map.word("env"), map.words("entities"));
    let mut time = |key: &str| {
        let word = map.word(key)?;
        let at = parse_rfc3339(&word);
        if at.is_none() {
            map.error_at(key, format!("`{key}`: {word:?} is no time"), Some("write RFC 3339: 2026-03-14T02:48:00Z".into()));
        }
        at
    };
    let (from, to) = (time("from"), time("to"));
    for key in ["name", "entities", "from", "to"] {
        if !map.has(key) {
            map.missing(key, &format!("write {EXAMPLE}"));
        }
    }
    match (name, entities, from, to) {
        (Some(name), Some(entities), Some(from), Some(to)) => map.finish(Fault { name, env, entities, from, to }),
        _ => Err(map.errors),
    }
}
