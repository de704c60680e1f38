//! Reads a file of tests, in squelch's form or promtool's: everything that is wrong with it, each with its place.

use std::path::Path;
use std::sync::Arc;

use crate::io::files::bounded_text;
use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::report::Report;
use crate::model::diagnostic::yaml_tree::Node;
use crate::model::limits::TEST_FILE_BYTES_MAX;
use crate::process::testing::case::TestFile;
use crate::process::testing::{native, promtool};

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<TestFile, Report> {
    match bounded_text::read(path, TEST_FILE_BYTES_MAX) {
        Ok(text) => parse(path, &text.into()),
        Err(error) => {
            let mut report = Report::default();
            report.add(path, Diagnostic::without_hint(0..0, format!("cannot be read: {error}")));
            Err(report)
        }
    }
}

fn parse(path: &Path, text: &Arc<str>) -> Result<TestFile, Report> {
    let report = |errors| Report::of_file(path, Arc::clone(text), errors);
    let tree = Node::parse(text, 0..text.len()).map_err(|error| report(vec![error]))?;
    if !tree.is_map() {
        let hint = "write a map with `tests:`; docs/testing.md has an example";
        return Err(report(vec![Diagnostic::new(tree.span, "the file holds no tests", hint)]));
    }
    let read = if tree.entry("rule_files").is_some() { promtool::read } else { native::read };
    read(path, text, &tree).map_err(report)
}
