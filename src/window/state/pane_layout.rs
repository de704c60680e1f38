//! How a table divides event time into panes.
//!
//! The layout is part of snapshots and of partial windows as it is: a type of its own for them would be the same three fields.

use serde::{Deserialize, Serialize};

use crate::rule::Rule;
use crate::rule::definition::window_spec::{TimeSource, WindowSpec};

/// The division of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PaneLayout {
    /// The width of a pane.
    pub pane_ms: i64,
    /// By the broker's timestamps instead of the events' own.
    pub broker_time: bool,
    /// For sessions: the gap that ends one.
    pub session_gap_ms: Option<i64>,
}

impl PaneLayout {
    /// The layout that a rule alone would choose.
    pub fn of(rule: &Rule) -> Self {
        let session_gap_ms = match &rule.front.window_spec {
            WindowSpec::Session { gap_ms, .. } => Some(*gap_ms),
            _ => None,
        };
        Self { pane_ms: rule.front.every_ms, broker_time: rule.front.time == TimeSource::Broker, session_gap_ms }
    }

    /// Whether the two differ in nothing but the width of panes, and neither is for sessions.
    pub fn differs_in_width_only(&self, other: &Self) -> bool {
        let no_session = self.session_gap_ms.is_none() && other.session_gap_ms.is_none();
        self == other || (no_session && self.broker_time == other.broker_time)
    }

    /// Whether panes of this layout answer all that the rules over a table with layout `table` ask, which is at multiples of
    /// `tick_ms`. Panes here may be wider than the table's, or overlap two of them: rules that are gone may have left the table with
    /// narrower panes than anybody needs.
    pub fn can_feed(&self, table: &Self, tick_ms: i64) -> bool {
        self == table || (self.differs_in_width_only(table) && self.pane_ms > 0 && tick_ms % self.pane_ms == 0)
    }
}
