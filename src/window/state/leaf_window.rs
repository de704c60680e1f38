//! The window through which a leaf of a rule's plan reads its table.

use std::ops::Range;

use crate::model::time::TimestampMs;
use crate::rule::Rule;
use crate::rule::definition::window_spec::WindowSpec;
use crate::rule::plan::stream_scan::StreamSource;

/// A table and a window over it.
#[derive(Clone, Debug)]
pub struct LeafWindow {
    /// The index of the table.
    pub table: usize,
    /// The indices of the leaf's aggregates among the table's; empty for rows.
    pub columns: Vec<usize>,
    /// The length of the window.
    pub window_ms: i64,
    /// How long before the evaluation the window ends.
    pub ago_ms: i64,
}

impl LeafWindow {
    /// The window of the evaluation at `at`.
    pub fn range(&self, at: TimestampMs) -> Range<TimestampMs> {
        at - self.ago_ms - self.window_ms..at - self.ago_ms
    }

    /// How far before an evaluation the window starts.
    pub fn reach_ms(&self) -> i64 {
        self.window_ms + self.ago_ms
    }
}

/// `window_ms` and `ago_ms` of the window through which `rule` reads `stream`.
pub fn window_of(rule: &Rule, stream: &StreamSource) -> (i64, i64) {
    let named = stream.window.as_ref().and_then(|name| rule.front.windows.iter().find(|window| window.name == *name));
    match (named, &rule.front.window_spec) {
        (Some(named), _) => (named.window_ms, named.ago_ms),
        (None, WindowSpec::Window { window_ms, .. }) => (*window_ms, 0),
        // The sessions carry the state of earlier panes.
        (None, WindowSpec::Session { every_ms, .. }) => (*every_ms, 0),
        (None, WindowSpec::Instant) => (rule.front.every_ms, 0),
    }
}
