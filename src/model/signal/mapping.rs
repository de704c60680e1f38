//! A whole mapping: the lines of a user's file, then those that ship. The first line that matches a series decides.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use crate::model::signal::field_ref::SeriesFields;
use crate::model::signal::line::MappingLine;
use crate::model::signal::pattern::comparable;
use crate::model::signal::reader;

/// The text of the lines that ship.
pub const SHIPPED: &str = include_str!("shipped.yaml");

/// The label of a span's kind.
pub const SPAN_KIND: &str = "span.kind";
/// The label that names what a span calls.
pub const SPAN_PEER: &str = "peer.service";
/// The labels on which the signals of spans depend.
pub const SPAN_LABELS: [&str; 2] = [SPAN_KIND, SPAN_PEER];

/// Lines in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignalMapping {
    lines: Vec<MappingLine>,
    labels: BTreeSet<String>,
}

static SHIPPED_MAPPING: LazyLock<Arc<SignalMapping>> = LazyLock::new(|| match reader::read(SHIPPED) {
    Ok(lines) => Arc::new(SignalMapping::of(lines)),
    Err(errors) => unreachable!("a test reads the mapping that ships: {errors:?}"),
});

impl SignalMapping {
    /// The lines that ship, alone.
    pub fn shipped() -> &'static Arc<Self> {
        &SHIPPED_MAPPING
    }

    /// Lines of a user, before those that ship.
    pub fn with_shipped(own: Vec<MappingLine>) -> Self {
        Self::of(own.into_iter().chain(SHIPPED_MAPPING.lines.iter().cloned()).collect())
    }

    fn of(lines: Vec<MappingLine>) -> Self {
        let labels = lines.iter().flat_map(MappingLine::labels).map(String::from).collect();
        Self { lines, labels }
    }

    /// The lines.
    pub fn lines(&self) -> &[MappingLine] {
        &self.lines
    }

    /// The lines that can match a metric of this name, by index. It does not depend on anything else, so callers keep it.
    pub fn candidates(&self, name: &str) -> Vec<u32> {
        let name = comparable(name);
        let matching = self.lines.iter().enumerate().filter(|(_, line)| line.matches_name(&name));
        matching.map(|(at, _)| at as u32).collect()
    }

    /// The first of the candidates that matches a series.
    pub fn first_match(&self, candidates: &[u32], series: &impl SeriesFields) -> Option<&MappingLine> {
        candidates.iter().map(|at| &self.lines[*at as usize]).find(|line| line.matches_fields(series))
    }

    /// Whether the signals of metrics depend on a label.
    pub fn reads_label(&self, key: &str) -> bool {
        self.labels.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_that_ships_can_be_read() {
        if let Err(errors) = reader::read(SHIPPED) {
            let report = crate::model::diagnostic::report::Report::of_file("shipped.yaml", SHIPPED, errors);
            unreachable!("{report}");
        }
    }
}
